"""Commands of Python in forks of one process that has imported torch and the suite: that takes most of a short command.

Each command runs the same file under the same name as in an interpreter of its own, in its own folder, with its own
limits; what it changes in memory ends with it.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRELOADED = ("initsuite.train.launch", "initsuite.train.plan.preview", "initsuite.apply.initialize")
"""What most commands import; no module that is a command, which would run twice."""


@dataclass(frozen=True)
class Done:
    """The exit code of a command, None where it did not end in time, and what it printed."""

    code: int | None
    stdout: str
    stderr: str


def run_forked(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float, limit_bytes: int
) -> Done:
    """Run `python ARGUMENTS`, which are `-m MODULE ...` or `-c CODE`, in a folder.

    Args:
        environment: variables in addition to those of this process.
        limit_s: when it is killed, with the processes that it started.
        limit_bytes: memory that it may take for data.

    Raises:
        ValueError: a zero byte, which no command line can hold.
    """
    if any("\0" in argument for argument in arguments):
        raise ValueError("embedded null byte")
    printed = [folder.with_name(f"{folder.name}.{stream}") for stream in ("stdout", "stderr")]
    with _STARTING:
        process = _server().Process(
            target=_command, args=(list(arguments), str(folder), dict(environment), limit_bytes, *map(str, printed))
        )
        process.start()
    process.join(limit_s)
    code = process.exitcode
    if code is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
    return Done(code, *(path.read_text(errors="replace") if path.exists() else "" for path in printed))


_STARTING = threading.Lock()


@functools.cache
def _server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def _command(
    arguments: list[str], folder: str, environment: dict[str, str], limit_bytes: int, stdout: str, stderr: str
) -> None:
    """The command, in the fork."""
    import resource

    os.setsid()
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
    os.environ.update(environment)
    os.chdir(folder)
    kind, what, *rest = arguments
    sys.path.insert(0, folder if kind == "-m" else "")
    sys.argv = [kind, *rest]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
