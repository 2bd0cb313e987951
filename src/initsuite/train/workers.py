"""Worker processes that train tasks.

A worker process is spawned, not forked: a forked child of a process that has used OpenMP or CUDA hangs. It gets an
executor once, by value, and then tasks; it sends back the events of `train/events.py`, and says when it is idle. It
ends with its parent, however that ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from initsuite.train.events import Emit, Event, Finished, StopLaunch
from initsuite.train.executor import Executor
from initsuite.train.parts import Part, Parts
from initsuite.train.stopping import ignore_signals
from initsuite.train.task import Done, Task

STOP_S = 15.0
"""How long a launch that stops waits for the evaluations of its workers, seconds; what they last saved stays."""


@dataclass(frozen=True)
class _Idle:
    """A worker has loaded its executor, or trained its task."""


@dataclass(frozen=True)
class _Stop:
    """Nobody waits for more: a worker stops at its next draw or evaluation, with a checkpoint."""


class _Stopped(BaseException):
    """No code of users that handles errors may catch it."""


_Answer = Event | _Idle | ChildProcessError
"""An error says why a worker cannot load its executor."""


class Workers:
    """Processes that train tasks, until `end` is called.

    Args:
        executor: copied into each of them.
        devices: one for each worker.

    Attributes:
        count: how many of them train, the others wait.

    Raises:
        ChildProcessError: a worker that cannot start, or cannot load a cell.
        Exception: a cell that cannot be pickled, a class defined inside a function for example.
    """

    def __init__(self, executor: Executor, devices: Sequence[str]) -> None:
        self.executor = by_value(executor)
        self.workers, self.count = [_Worker(device) for device in devices], len(devices)
        try:
            for worker in self.workers:  # after all of them have started: a pipe is full until its reader is there
                worker.load(self.executor)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the processes, wherever they are."""
        for worker in self.workers:
            worker.end()

    def run(self, tasks: Iterator[Task], emit: Emit, done: Done) -> None:
        """Train tasks until there are no more; `emit` and `done` are called in this process.

        A task is done after the last of its parts. What `emit` raises, and Ctrl-C, stop all workers; then they end.
        """
        idle, parts = self.workers[: self.count], Parts(tasks, emit, done)
        busy: dict[Any, tuple[_Worker, Part]] = {}
        try:
            while True:
                while idle and (part := parts.next()):
                    worker = self._send(idle.pop(0), part.task)
                    busy[worker.connection] = worker, part
                if not busy:
                    return
                for connection in wait(list(busy)):
                    worker, part = busy[connection]
                    answer = worker.receive()
                    if isinstance(answer, Event):
                        part.note(answer)
                        emit(answer)
                        continue
                    del busy[connection]
                    if isinstance(answer, _Idle):
                        parts.end(part)
                        idle.append(worker)
                    else:
                        how = f"The worker process ended with exit code {worker.exit_code()}; "
                        parts.lose(part, f"{how}the system may have been out of memory.", worker.device)
                        idle.append(self._replace(worker))
        except BaseException:
            self._stop([worker for worker, _ in busy.values()], emit)
            raise

    def _stop(self, busy: Sequence[_Worker], emit: Emit) -> None:
        """Let workers stop at their next draw or evaluation, with a checkpoint, but do not wait long for one of them.

        What has ended by then is emitted.
        """
        for worker in busy:
            with contextlib.suppress(OSError):
                worker.connection.send(_Stop())
        deadline = time.monotonic() + STOP_S
        waiting: dict[Any, _Worker] = {worker.connection: worker for worker in busy}
        while waiting and (ready := wait(list(waiting), max(0.0, deadline - time.monotonic()))):
            for connection in ready:
                worker, answer = waiting[connection], None
                with contextlib.suppress(Exception, StopLaunch):  # a message that was cut; a disk that is still full
                    answer = worker.receive()
                    if isinstance(answer, Event):
                        emit(answer)
                if not isinstance(answer, Event):
                    del waiting[connection]

    def _send(self, worker: _Worker, message: Task) -> _Worker:
        """Send to a worker, or to its successor if it has ended. Returns the one that got the message."""
        try:
            worker.connection.send(message)
        except OSError:
            worker = self._replace(worker)
            worker.connection.send(message)
        return worker

    def _replace(self, worker: _Worker) -> _Worker:
        worker.end()
        new = _Worker(worker.device)
        new.load(self.executor)
        self.workers[self.workers.index(worker)] = new
        return new


def by_value(executor: Executor) -> bytes:
    """What a worker process gets: by value, as shared memory is too small for a data set in many containers."""
    return pickle.dumps(replace(executor, narrowed={}))


class _Worker:
    """The parent's end of a process."""

    def __init__(self, device: str) -> None:
        self.device = device
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, device), name="initsuite-worker", daemon=True)
        self.process.start()
        theirs.close()

    def load(self, executor: bytes) -> None:
        """Hand over an executor.

        Raises:
            ChildProcessError: the worker has ended, or cannot load it.
        """
        with contextlib.suppress(OSError):  # from a worker that has ended; then nothing can be received either
            self.connection.send_bytes(executor)
        answer = self.receive()
        if isinstance(answer, ChildProcessError):
            raise answer
        if answer is None:
            raise ChildProcessError(f"a worker process ended with exit code {self.exit_code()}")

    def receive(self) -> _Answer | None:
        """The next message; None from a worker that has ended."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def exit_code(self) -> int | None:
        self.process.join(timeout=5)
        return self.process.exitcode

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, device: str) -> None:
    """The life of a worker."""
    ignore_signals()  # Ctrl-C reaches all processes; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        if torch.device(device).type == "cuda":
            torch.cuda.set_device(device)  # else what names no device would open the first GPU in every worker
        executor: Executor = pickle.loads(connection.recv_bytes())
    except Exception as error:  # a user's class that only the parent can import, for example
        connection.send(ChildProcessError(repr(error)))
        return
    executor.device = device
    connection.send(_Idle())

    def stop_if_told() -> None:
        if connection.poll():
            raise _Stopped

    def emit(event: Event) -> None:
        connection.send(event)
        if not isinstance(event, Finished):
            stop_if_told()

    while isinstance(task := connection.recv(), Task):
        with contextlib.suppress(_Stopped):
            executor.run(task, emit, before_draw=stop_if_told)
        connection.send(_Idle())


def _end_with_parent() -> None:
    """Do what a parent that is killed cannot: end its workers."""
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)
