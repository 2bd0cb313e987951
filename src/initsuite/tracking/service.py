"""W&B's own process, `wandb-core`, which does the work behind `import wandb`: its urgency, and how to replace it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import psutil

NAME = "wandb-core"

NICENESS = 5
"""Training comes first. A quarter of each busy core is left, enough to keep up with 1,000 runs of 50 ms in a sweep of
140 s; 10 would leave a tenth, and more to write when the training is over."""

AUTOGROUP_TRIES = 3
AUTOGROUP_PAUSE_S = 0.15
"""Linux lets only one user in 0.1 s change the niceness of an autogroup."""

TEARDOWN_S = 5.0
"""W&B takes milliseconds to notice that its process has gone."""

HANDLES_PER_RUN = 3
HANDLES_KEPT_FREE = 256
HANDLES_WANTED = 65_536
"""File handles: an open run holds three, measured with wandb 0.31; beyond the limit whole runs are lost silently. The
program keeps some for itself, and requests no more than any system allows."""

T = TypeVar("T")


def services(parent: int | None = None) -> list[int]:
    """W&B's processes among the children of a process; None = this one."""
    try:
        return [child.pid for child in psutil.Process(parent).children() if _is_service(child)]
    except psutil.NoSuchProcess:  # the parent has ended
        return []


def _is_service(process: psutil.Process) -> bool:
    try:
        return NAME in " ".join(process.cmdline())
    except psutil.Error:  # it ends in this moment
        return False


def keep_back() -> None:
    """Lower the priority of this process, and of those that it will start.

    Its share of a core matters less than its manners: W&B's process wakes 200 times a second for a moment, and each
    time would take a core from a training thread, for which the others wait. A batch process waits for its turn.
    """
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # forbidden in some containers
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    yield_to_others(os.getpid())


def yield_to_others(pid: int) -> None:
    """Lower the priority of a process that leads a session.

    Where Linux shares the cores between sessions (autogroup), the niceness of a process counts only within its own
    session: a session of nice processes takes half of the cores from the training. Each session has a niceness too.
    """
    for _ in range(AUTOGROUP_TRIES):
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS))
            return
        except BlockingIOError:
            time.sleep(AUTOGROUP_PAUSE_S)
        except OSError:  # no such thing here
            return


def kill(pids: list[int]) -> None:
    """End these processes at once.

    W&B's process checks whether its parent is there and ends without it, but one that was waiting for a server that
    answers 500 was seen not to (wandb 0.31).
    """
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).kill()


def replace_service(wandb: Any) -> None:
    """Kill W&B's process, so that the next run starts another. Runs that are open in it are lost.

    One that waits for a dead server refuses the ids of its runs ("run ID ... is in use"), and is seconds late with
    everything else.
    """
    if running := services():
        kill(running)
        with contextlib.suppress(BaseException):  # it reports the end of its process, as SystemExit among others
            within(TEARDOWN_S, wandb.teardown)


def within(limit_s: float, action: Callable[[], T]) -> T:
    """The result of an action, if it comes in time; a thread that is left behind is a daemon.

    Raises:
        TimeoutError: it takes longer.
        BaseException: whatever the action raises.

    Example:
        >>> within(0.01, lambda: time.sleep(1))
        Traceback (most recent call last):
        TimeoutError: not done within 0.01 s
    """
    outcome: Future[T] = Future()

    def act() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=act, name="wandb-limit", daemon=True).start()
    try:
        return outcome.result(limit_s)
    except TimeoutError as error:
        if outcome.done():  # the action's own
            raise
        raise TimeoutError(f"not done within {limit_s:g} s") from error


def affordable_runs() -> int:
    """How many runs can be open at once, after raising the soft limit on file handles to the hard one.

    To be called before the choice of the mode, which starts W&B's process: that keeps the limit it was born with.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit to raise; its default allows 512 files per process
        return max(1, (512 - HANDLES_KEPT_FREE) // HANDLES_PER_RUN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = HANDLES_WANTED if hard == unlimited else min(hard, HANDLES_WANTED)
    if soft != unlimited and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS refuses more than its own maximum
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    limit = HANDLES_WANTED if soft == unlimited else soft
    return max(1, (limit - HANDLES_KEPT_FREE) // HANDLES_PER_RUN)
