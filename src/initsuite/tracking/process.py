"""W&B in a process of its own, so that training waits neither for its arithmetic nor for its server.

The parent hands messages to a thread, which feeds a pipe; the child (`python -m initsuite.tracking.writer`) does the
work of `WandbSink` at a lower priority and answers with each run that it has written and, in the end, with lines for
the user. It has a session of its own, so that Ctrl-C reaches the parent alone. W&B's service checks whether the child
is there, and ends after it; where the parent ends the child, it ends the service too.
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
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from initsuite.errors import ConfigError
from initsuite.spec import Abandoned, Announced, Ended, Evaluated, News, Stored
from initsuite.tracking.labels import run_name
from initsuite.tracking.service import kill, services
from initsuite.tracking.settings import Tracking, requested_mode
from initsuite.tracking.sink import upload_line, warning_line

START_TIMEOUT_S = 30.0
"""What the import of W&B may take where an answer is awaited before training, seconds."""

END_S = 6.0
"""What the child may take to end after its last answer, seconds: a little more than it allows itself."""


@dataclass(frozen=True)
class Close:
    """Sent to the child after the settings and all news."""


@dataclass(frozen=True)
class Ready:
    """The child's answer to settings that it accepts."""


@dataclass(frozen=True)
class Written:
    """The run of a trial is complete."""

    trial_id: str


@dataclass(frozen=True)
class Closed:
    """The answer to `Close`, with lines for the user."""

    lines: list[str]


Answer = ConfigError | Ready | Written | Closed
"""What the child sends; a ConfigError says why it refuses the settings."""


class WandbProcess:
    """A sink that hands everything to the child.

    Raises:
        ConfigError: `tracking.mode=online` without an API key.
        StoreError: see `Tracking.folder`.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._messages: queue.SimpleQueue[Tracking | News | Close | None] = queue.SimpleQueue()
        """None ends the feeder."""
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        """None is the end of the child."""
        self._labels: dict[str, dict[str, str]] = {}
        """By stack in training, the label of each run by its trial_id."""
        self._awaited: dict[str, str] = {}
        """By trial_id, the label of each run that is still to be written although the child has all it needs for it."""
        self._is_listening = True
        with _log(tracking.folder) as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "initsuite.tracking.writer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        for target, pipe in ((self._feed, self._child.stdin), (self._listen, self._child.stdout)):
            threading.Thread(target=target, args=(pipe,), name="wandb", daemon=True).start()
        self._send(tracking)
        if tracking.mode == "online":  # the only one that may be refused
            self._await_start()

    def take(self, news: News) -> None:
        match news:
            case Announced(stack_id, trials):
                tracked = [info for info in trials if info.trial.stage in self._tracking.stages]
                self._labels[stack_id] = {info.trial.trial_id: run_name(info) for info in tracked}
            case Stored(stack_id):
                self._awaited |= self._labels.pop(stack_id, {})
            case Abandoned(stack_id):
                self._labels.pop(stack_id, None)
            case Evaluated() | Ended():
                pass
        self._send(news)

    def close(self) -> list[str]:
        """Wait until every run is written, but not longer than `finish_timeout_s` without one."""
        self._send(Close())
        limit_s = self._tracking.finish_timeout_s
        deadline = time.monotonic() + limit_s
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return self._give_up(f"no run was completed within {limit_s:g} s")
            match answer:
                case None:
                    return self._give_up(f"its process ended with exit code {self._child.wait()}")
                case ConfigError():
                    return self._give_up(str(answer))
                case Ready():
                    pass
                case Written(trial_id):
                    self._awaited.pop(trial_id, None)
                    deadline = time.monotonic() + limit_s
                case Closed(lines):
                    self._end(END_S)
                    return lines

    def _await_start(self) -> None:
        with contextlib.suppress(queue.Empty):
            answer = self._answers.get(timeout=START_TIMEOUT_S)
            if answer is None:
                self._answers.put(None)  # for `close`
            elif isinstance(answer, ConfigError):
                self._end()
                raise answer

    def _send(self, message: Tracking | News | Close) -> None:
        if self._is_listening:
            self._messages.put(message)

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
        labels, otherwise = list(self._awaited.values()), "it ended early, with no run incomplete"
        return [warning_line(labels, otherwise, f"Reason: {why}"), upload_line(self._tracking)]

    def _end(self, patience_s: float = 0.0) -> None:
        """Let the child end by itself for so long, then kill it."""
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
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # no link of somebody else
        return open(directory / "writer.log", "ab", opener=lambda path, _: os.open(path, flags, 0o666))
    except OSError:
        return open(os.devnull, "wb")


def wandb_sink(tracking: Tracking) -> WandbProcess | None:
    """The sink for these settings; None where tracking is disabled, so that wandb is not even imported.

    Raises:
        ConfigError: `tracking.mode=online` without an API key, or an unknown `WANDB_MODE`.
        StoreError: see `Tracking.folder`.
    """
    return None if requested_mode(tracking) == "disabled" else WandbProcess(tracking)
