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
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import torch

from initsuite.train.events import Abandoned, Emit, Evaluated, Event, Finished, Note, Started, tell_at_once
from initsuite.train.executor import Executor
from initsuite.train.task import Done, Task, failure


@dataclass(frozen=True)
class _Idle:
    """A worker has loaded its executor, or trained its task."""


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

        A task is done after the last of its parts.
        """
        idle, again = self.workers[: self.count], list[_Part]()
        num_parts = Counter[Task]()
        busy: dict[Any, _Assignment] = {}
        while True:
            while idle and (part := again.pop(0) if again else _first_part(tasks, num_parts)):
                worker = self._send(idle.pop(0), part.task)
                busy[worker.connection] = _Assignment(worker, part)
            if not busy:
                return
            for connection in wait(list(busy)):
                assignment = busy[connection]
                answer = assignment.worker.receive()
                if isinstance(answer, Event):
                    assignment.note(answer)
                    emit(answer)
                    continue
                del busy[connection]
                is_alive, whole = isinstance(answer, _Idle), assignment.part.whole
                rest = [] if is_alive else _rest_of(assignment, emit)
                again += [_Part(task, whole) for task in rest]
                num_parts[whole] += len(rest) - 1
                if not num_parts[whole]:
                    done(whole)
                idle.append(assignment.worker if is_alive else self._replace(assignment.worker))

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


class _Part(NamedTuple):
    """What is sent to a worker: a task, which is the whole or a part of one that broke its worker."""

    task: Task
    whole: Task


def _first_part(tasks: Iterator[Task], num_parts: Counter[Task]) -> _Part | None:
    """The next task as a part of itself; None after the last."""
    task = next(tasks, None)
    if task is None:
        return None
    num_parts[task] += 1
    return _Part(task, task)


@dataclass
class _Assignment:
    """A part in a worker: which of its stacks are in training, and which of its trials are finished."""

    worker: _Worker
    part: _Part
    training: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)

    def note(self, event: Event) -> None:
        match event:
            case Started(stack_id):
                self.training.add(stack_id)
            case Finished(stack_id, results):
                self.training.discard(stack_id)
                self.finished |= {result.trial.trial_id for result in results}
            case Abandoned(stack_id):
                self.training.discard(stack_id)
            case Evaluated() | Note():
                pass


def _rest_of(assignment: _Assignment, emit: Emit) -> list[Task]:
    """What is left of the task of a worker that ended, in halves; a trial that was left alone has failed."""
    task, worker = assignment.part.task, assignment.worker
    for stack_id in assignment.training:
        emit(Abandoned(stack_id))
    left = [trial for trial in task.trials if trial.trial_id not in assignment.finished]
    how = f"The worker process ended with exit code {worker.exit_code()}; the system may have been out of memory."
    if len(left) > 1:
        emit(Note(f"{how} Its {len(left)} trials are tried again in halves."))
        half = -(-len(left) // 2)
        return [task.part(left[:half]), task.part(left[half:])]
    for trial in left:
        part = task.part([trial])
        tell_at_once(emit, part.stack.stack_id, [failure(trial, how, 1, worker.device)])
    return []


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent decides
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
    while True:
        task: Task = connection.recv()
        executor.run(task, connection.send)
        connection.send(_Idle())


def _end_with_parent() -> None:
    """Do what a parent that is killed cannot: end its workers."""
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)
