"""W&B in a process of its own, so that training waits neither for its arithmetic nor for its server.

The parent hands messages to a thread, which feeds a pipe; the child (`python -m initsuite.tracking.writer`) does the
work of `WandbSink` at a lower priority and answers with how many runs it has written and, in the end, with lines for
the user. It has a session of its own, so that Ctrl-C reaches the parent alone. W&B's service looks whether the child is
there, and ends after it; where the parent ends the child, it ends the service too.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from initsuite.errors import ConfigError
from initsuite.spec import Evaluation, TrialInfo
from initsuite.tracking.labels import run_label
from initsuite.tracking.service import kill, services
from initsuite.tracking.settings import Tracking, needs_wandb
from initsuite.tracking.sink import incomplete, upload_line

START_TIMEOUT_S = 30.0
"""What the import of W&B may take where an answer is awaited before training, seconds."""

END_S = 6.0
"""What the child may take to end after its last word, seconds: a little more than it allows itself."""

Answer = tuple[str, Any] | None
"""A word and its content; None is the end of the child."""


class WandbProcess:
    """A sink that hands everything to the child.

    Raises:
        ConfigError: `tracking.mode=online` without an API key.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._directory = Path(tracking.dir).expanduser().absolute()
        self._messages: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._infos: dict[str, list[TrialInfo]] = {}
        self._awaited: dict[str, str] = {}
        """Label by trial_id of the runs that have all they need, until the child says that they are written."""
        self._is_listening = True
        with _log(self._directory / "wandb") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "initsuite.tracking.writer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        for target, pipe in ((self._feed, self._child.stdin), (self._listen, self._child.stdout)):
            threading.Thread(target=target, args=(pipe,), name="wandb", daemon=True).start()
        self._send("start", tracking)
        if tracking.mode == "online":  # the only one that may be refused
            self._await_start()

    def stack_started(self, stack_id: str, trials: Sequence[TrialInfo]) -> None:
        self._infos[stack_id] = list(trials)
        self._send("stack_started", stack_id, list(trials))

    def evaluated(self, stack_id: str, evaluation: Evaluation) -> None:
        self._send("evaluated", stack_id, evaluation)

    def stack_finished(self, stack_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        for info in self._infos.pop(stack_id, []):
            if info.trial.stage in self._tracking.stages:
                self._awaited[info.trial.trial_id] = run_label(info)
        self._send("stack_finished", stack_id, list(rows))

    def stack_abandoned(self, stack_id: str) -> None:
        self._infos.pop(stack_id, None)
        self._send("stack_abandoned", stack_id)

    def close(self) -> list[str]:
        """Wait until every run is written, but not longer than `finish_timeout_s` without one."""
        self._send("close")
        limit_s = self._tracking.finish_timeout_s
        deadline = time.monotonic() + limit_s
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return self._give_up(f"no run was completed within {limit_s:g} s")
            if answer is None:
                return self._give_up(f"its process ended with exit code {self._child.wait()}")
            word, content = answer
            if word == "lines":
                self._end(END_S)
                return content
            if word == "refused":
                return self._give_up(content)
            if word == "written":
                self._awaited.pop(content, None)
                deadline = time.monotonic() + limit_s

    def _await_start(self) -> None:
        with contextlib.suppress(queue.Empty):
            answer = self._answers.get(timeout=START_TIMEOUT_S)
            if answer is None:
                self._answers.put(None)  # for `close`
            elif answer[0] == "refused":
                self._end()
                raise ConfigError(answer[1])

    def _send(self, word: str, *content: Any) -> None:
        if self._is_listening:
            self._messages.put((word, content))

    def _feed(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError):  # a child that has ended; `close` tells
            while (message := self._messages.get()) is not None:
                pickle.dump(message, pipe)
                pipe.flush()
            pipe.close()
        self._is_listening = False

    def _listen(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                self._answers.put(pickle.load(pipe))
        self._answers.put(None)

    def _give_up(self, why: str) -> list[str]:
        self._end()
        what = incomplete(list(self._awaited.values())) if self._awaited else "it ended early, with no run incomplete"
        return [
            f"W&B warning: {what}; training and the results store are not affected. Reason: {why}",
            upload_line(self._tracking),
        ]

    def _end(self, patience_s: float = 0.0) -> None:
        """Let the child end by itself for so long, then make it."""
        self._messages.put(None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(patience_s)
        orphans = services(self._child.pid) if self._child.poll() is None else []
        self._child.kill()
        self._child.wait()
        kill(orphans)


def _log(directory: Path) -> IO[bytes]:
    """Where the child's complaints go; nowhere if the folder cannot be written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return open(directory / "writer.log", "ab")
    except OSError:
        return open(os.devnull, "wb")


def wandb_sink(tracking: Tracking) -> WandbProcess | None:
    """The sink for these settings; None, without a process, where tracking is disabled.

    Raises:
        ConfigError: `tracking.mode=online` without an API key, or an unknown `WANDB_MODE`.
    """
    return WandbProcess(tracking) if needs_wandb(tracking) else None
