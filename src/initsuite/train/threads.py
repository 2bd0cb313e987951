"""Tasks in Python threads of this process.

Torch releases Python's interpreter lock in its operations; the rest of a step is Python, for which they wait in turn.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue

from initsuite.train.events import Emit, Event, Finished, StopLaunch
from initsuite.train.executor import Executor
from initsuite.train.task import Done, Task


class Threads:
    """Python threads that train tasks; `emit` and `done` are called in the thread that calls `run`.

    Args:
        executor: shared by all of them.
        count: how many.
    """

    def __init__(self, executor: Executor, count: int) -> None:
        self.executor, self.count = executor, count

    def run(self, tasks: Iterator[Task], emit: Emit, done: Done) -> None:
        """Train tasks until there are no more. What `emit` raises, and Ctrl-C, stop all of them.

        Each thread stops at its next draw or evaluation. What has ended by then is emitted before this returns.
        """
        if self.count == 1:
            for task in tasks:
                self.executor.run(task, emit)
                done(task)
            return
        messages: Queue[Event | _Ended] = Queue()
        is_over = threading.Event()
        try:
            with ThreadPoolExecutor(self.count, thread_name_prefix="initsuite") as pool:
                try:
                    num_running = 0
                    while True:
                        while num_running < self.count and (task := next(tasks, None)):
                            pool.submit(self._train, task, messages, is_over)
                            num_running += 1
                        if not num_running:
                            return
                        message = messages.get()
                        if not isinstance(message, _Ended):
                            emit(message)
                            continue
                        num_running -= 1
                        if message.error:
                            raise message.error
                        done(message.task)
                finally:
                    is_over.set()
        finally:
            _emit_rest(messages, emit)

    def _train(self, task: Task, messages: Queue[Event | _Ended], is_over: threading.Event) -> None:
        def stop_if_over() -> None:
            if is_over.is_set():
                raise _Over

        def emit(event: Event) -> None:
            if not isinstance(event, Finished):  # results are kept
                stop_if_over()
            messages.put(event)

        try:
            self.executor.run(task, emit, before_draw=stop_if_over)
        except _Over:
            pass
        except BaseException as error:  # whatever it is, it ends the launch, not only a thread
            messages.put(_Ended(task, error))
        else:
            messages.put(_Ended(task))


def _emit_rest(messages: Queue[Event | _Ended], emit: Emit) -> None:
    """Emit what the threads said before they stopped, in a launch that has an error to end with already."""
    while not messages.empty():
        message = messages.get()
        if not isinstance(message, _Ended):
            with contextlib.suppress(Exception, StopLaunch):  # again, or a disk that is still full
                emit(message)


class _Over(BaseException):
    """Nobody listens to a thread any more. No code of users that handles errors may catch it."""


@dataclass(frozen=True)
class _Ended:
    """A thread has trained its task, or has failed in a way that no trial accounts for."""

    task: Task
    error: BaseException | None = None
