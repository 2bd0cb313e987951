"""Who trains beside others, and who has the process to itself.

An initializer may set what all threads of a process share: the global random streams, torch's default type, the way
modules are called. So no thread trains while another draws parameters, nor while another trains a model of which there
can be no copies.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Lets many threads train at the same time, or one do what needs the process to itself."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = self._waiting = 0

    def __reduce__(self) -> tuple[type[Gate], tuple[()]]:
        """Another process has a gate of its own."""
        return Gate, ()

    @contextmanager
    def among_others(self) -> Iterator[None]:
        """Train, while others may."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def let_pass(self) -> None:
        """Step aside for a moment, from time to time, where somebody waits to be alone."""
        if self._waiting:
            self._leave()
            self._enter()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Draw, or train what cannot be shared, while nobody trains or draws."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._inside)
            try:
                yield
            finally:
                self._waiting -= 1
                self._changed.notify_all()

    def _enter(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._inside += 1

    def _leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()
