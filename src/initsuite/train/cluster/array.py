"""A task of a SLURM array: one launch of a command, told to stop before its time is over and then queued again.

Nothing of the suite is imported here: it runs in the process that SLURM starts, beside the launch.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

POLL_S = 0.2
"""Between two looks at the launch, seconds."""
_PR_SET_PDEATHSIG = 1
"""Of prctl(2) on Linux: the signal that a process gets when its parent ends, however that ends."""


class ArrayTask:
    """Runs a command, and hands itself on to its next run.

    Args:
        command: what to run, as a list of words.
        cpus: cores of this task, each of which trains a stack.
    """

    def __init__(self, command: Sequence[str], cpus: int) -> None:
        self.command, self.cpus = list(command), cpus
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """The exit code: 0, or 1 where trials have failed, which are rows of the store.

        Raises:
            RuntimeError: the command could not do its work.
        """
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.cpus)}
        self.process = subprocess.Popen(self.command, env=environment, preexec_fn=_end_with_parent)
        while _is_running(self.process):
            time.sleep(POLL_S)
        code = self.process.wait()
        if code not in (0, 1):
            raise RuntimeError(f"The launch ended with exit code {code}; above is what it said.")
        return code

    def checkpoint(self) -> Any:
        """What submitit queues again when this run has stopped: the same command, which goes on where it was."""
        import submitit

        if self.process and _is_running(self.process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGTERM)
            while _is_running(self.process):
                time.sleep(POLL_S)
        return submitit.helpers.DelayedSubmission(ArrayTask(self.command, self.cpus))


def _is_running(process: subprocess.Popen[bytes]) -> bool:
    """Asked also in a signal handler, which may interrupt `Popen.poll` or `Popen.wait` while they hold their lock."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:  # it has been waited for
        return False


def _end_with_parent() -> None:
    """In the child, before the command: a launch must not go on without its task. It is asked to stop first."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def without_cluster(arguments: Sequence[str]) -> list[str]:
    """The words of a command without those of the group cluster: what each machine runs by itself.

    Example:
        >>> without_cluster(["-m", "init=he,xavier", "cluster=slurm", "cluster.tasks=8", "+cluster.sbatch.account=ml"])
        ['-m', 'init=he,xavier']
    """
    return [word for word in arguments if word.lstrip("+~").partition("=")[0].partition(".")[0] != "cluster"]


def launch_command() -> list[str]:
    """The command of this process, for one machine. It is one that trains: other doors have another meaning."""
    return [sys.executable, "-m", "initsuite.train", *without_cluster(sys.argv[1:])]
