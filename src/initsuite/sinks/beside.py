"""W&B in a process of its own, so that training waits neither for its arithmetic nor for its server.

The parent hands messages to a thread, which feeds a pipe; the child (`python -m initsuite.sinks.writer`) does the work
of `WandbSink` at a lower priority and answers with how many runs it has written and, in the end, with lines for the
user. It has a session of its own: Ctrl-C reaches the parent alone, and ending the session ends W&B's service with it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from initsuite.errors import ConfigError
from initsuite.sinks.tracking import Tracking, needs_wandb
from initsuite.sinks.wandb import upload_line
from initsuite.spec import Evaluation, TrialInfo

START_TIMEOUT_S = 30.0
"""What the import of W&B may take where an answer is awaited before training, seconds."""


class WandbProcess:
    """A sink that hands everything to the child.

    Raises:
        ConfigError: `tracking.mode=online` without an API key.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._messages: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        directory = Path(tracking.dir).expanduser().absolute() / "wandb"
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / "writer.log", "ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "initsuite.sinks.writer"],
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
        self._send("stack_started", stack_id, list(trials))

    def evaluated(self, stack_id: str, evaluation: Evaluation) -> None:
        self._send("evaluated", stack_id, evaluation)

    def stack_finished(self, stack_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._send("stack_finished", stack_id, list(rows))

    def stack_abandoned(self, stack_id: str) -> None:
        self._send("stack_abandoned", stack_id)

    def close(self) -> list[str]:
        """Wait until every run is written, but not longer than `finish_timeout_s` without one."""
        self._send("close")
        limit_s = self._tracking.finish_timeout_s
        written, deadline = 0, time.monotonic() + limit_s
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return self._give_up(f"no run was completed within {limit_s:g} s")
            if answer is None:
                return self._give_up(f"its process ended with exit code {self._child.wait()}")
            word, content = answer
            if word == "lines":
                self._end()
                return content
            if word == "written":
                written, deadline = written + 1, time.monotonic() + limit_s

    def _await_start(self) -> None:
        with contextlib.suppress(queue.Empty):
            answer = self._answers.get(timeout=START_TIMEOUT_S)
            if answer is not None and answer[0] == "refused":
                self._end()
                raise ConfigError(answer[1])

    def _send(self, word: str, *content: Any) -> None:
        self._messages.put((word, content))

    def _feed(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError):  # a child that has ended; `close` tells
            while (message := self._messages.get()) is not None:
                pickle.dump(message, pipe)
                pipe.flush()
            pipe.close()

    def _listen(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                self._answers.put(pickle.load(pipe))
        self._answers.put(None)

    def _give_up(self, why: str) -> list[str]:
        self._end()
        return [
            f"W&B warning: runs are incomplete, for {why}; training and the results store are not affected.",
            upload_line(Path(self._tracking.dir)),
        ]

    def _end(self) -> None:
        self._messages.put(None)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()


def wandb_sink(tracking: Tracking) -> WandbProcess | None:
    """The sink for these settings; None, without a process, where tracking is disabled.

    Raises:
        ConfigError: `tracking.mode=online` without an API key, or an unknown `WANDB_MODE`.
    """
    return WandbProcess(tracking) if needs_wandb(tracking) else None
