"""How a signal stops a launch: where stacks are in training, at their next evaluation, with a checkpoint."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

GRACE_S = 20
"""How long a launch that was told to stop waits for an evaluation, seconds. Schedulers kill 30 s after their signal."""
SIGNALS = [name for name in ("SIGTERM", "SIGUSR2") if hasattr(signal, name)]
"""With which schedulers tell a program to stop: before a time limit, or for the sake of another user."""


class Stop:
    """Whether this process was told to stop.

    Attributes:
        is_asked: whether training is to stop at the next evaluation.
    """

    def __init__(self) -> None:
        self.is_asked = self._is_heard = self._is_stopping = False

    def listen(self) -> None:
        """Take the signals of schedulers from now on: they are a Ctrl-C that can wait for an evaluation."""
        for name in SIGNALS:
            signal.signal(getattr(signal, name), self._take)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """For a `with` block that calls `raise_if_asked` at each evaluation; its end is asked, too, if none comes."""
        self._is_heard = True
        try:
            yield
            self._is_heard = False  # before the last look: a signal after it is not put off
            self.raise_if_asked()
        finally:
            self._is_heard = self._is_stopping = self.is_asked = False
            if hasattr(signal, "alarm"):
                signal.alarm(0)

    def raise_if_asked(self) -> None:
        """Raises KeyboardInterrupt, if so, once: what ends meanwhile is still taken."""
        if self.is_asked:
            self.is_asked = False
            raise KeyboardInterrupt

    def _take(self, number: int, frame: object) -> None:
        if not self._is_heard:
            raise KeyboardInterrupt
        if self._is_stopping:  # schedulers repeat themselves
            return
        self.is_asked = self._is_stopping = True
        if hasattr(signal, "alarm"):
            signal.signal(signal.SIGALRM, self._end_waiting)
            signal.alarm(GRACE_S)

    def _end_waiting(self, number: int, frame: object) -> None:
        """No evaluation came in time."""
        self.is_asked = False
        raise KeyboardInterrupt


STOP = Stop()
"""That of this process: it has one handler of each signal."""


def ignore_signals() -> None:
    """Leave it to the parent of this process to stop it: some schedulers signal every process."""
    for name in ("SIGINT", *SIGNALS):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
