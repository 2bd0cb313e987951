"""Where tasks are trained: here, in Python threads of this process, or in worker processes.

Each stack has one thread, wherever it is trained, so that the place changes no number.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import torch

from initsuite.engine.workload import Cell
from initsuite.train.events import Abandoned, Emit, Evaluated, Event, Finished, Note, Started, tell_at_once
from initsuite.train.executor import Executor
from initsuite.train.plan.composition import memory_limit
from initsuite.train.plan.placement import Place, Room
from initsuite.train.task import Done, Task, failure
from initsuite.train.threads import Threads
from initsuite.wording import format_count, last_line

PROCESS_BYTES = 190 << 20
"""Memory of a Python process with torch that it shares with no other. Measured on Linux."""


@dataclass(frozen=True)
class _Idle:
    """A worker has loaded its executor, or trained its task."""


_Answer = Event | _Idle | ChildProcessError
"""An error says why a worker cannot load its executor."""


class Pools:
    """The places where a launch trains, created when first needed. Use it as a context manager.

    Args:
        executor: the one of this process.
        devices: the GPUs that the launch trains on, or the CPU alone.
        say: shows the user a line.

    Attributes:
        threads: those that torch had in this process before; it has one until the end.
    """

    def __init__(self, executor: Executor, devices: Sequence[str], say: Callable[[str], None]) -> None:
        self.here = Threads(executor, 1)
        self.devices, self.say = devices, say
        self.are_gpus = torch.device(devices[0]).type == "cuda"
        self.threads = torch.get_num_threads()
        self._threads: dict[int, Threads] = {1: self.here}
        self._processes: Workers | None = None
        self._needs_one_process = self._is_told = False

    def __enter__(self) -> Pools:
        torch.set_num_threads(1)
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_processes()
        torch.set_num_threads(self.threads)

    def room(self, asked: int | None) -> Room:
        """What there is to train on, with a line for a user who asked for more workers than that."""
        count = len(self.devices) if self.are_gpus else self._cores_for(asked)
        if asked and asked > count and not self._is_told:
            self._is_told = True
            there = format_count(count, "GPU" if self.are_gpus else "core")
            used = f"{count} {'is' if count == 1 else 'are'} used"
            self.say(f"workers={asked} is more than the {there} of this launch, which have one worker each: {used}.")
        if self.are_gpus:
            return Room(count, self.are_gpus, asked)
        return Room(count, False, asked, memory_limit(self.devices), self._process_bytes)

    def _process_bytes(self) -> int:
        """Memory that a worker process takes before it trains: its own, and what it is sent."""
        try:
            return PROCESS_BYTES + len(_sent(self.here.executor))
        except Exception:  # then there will be no processes
            return PROCESS_BYTES

    def _cores_for(self, asked: int | None) -> int:
        """The cores that torch would use, or all of this process if more are asked for."""
        if asked is None or asked <= self.threads:
            return self.threads
        return max(self.threads, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)

    def learn(self, cells: Mapping[str, Cell]) -> None:
        """Make cells known wherever tasks are trained. Processes that started without them end, for new ones.

        That is rare: another launch has stored trials in the meantime, which ask more of cells that had all they need.
        """
        known = self.here.executor.cells
        if known.keys() >= cells.keys():
            return
        self.here.executor.cells = {**known, **cells}
        self._end_processes()

    def get(self, place: Place) -> Threads | Workers:
        """The pool of a place; threads of this process where the cells cannot be sent to others.

        There is one pool of processes at a time. It serves places with fewer workers, too, and ends for one with more.
        """
        if place.are_processes and not self._needs_one_process:
            if not self._processes or len(self._processes.workers) < place.workers:
                self._end_processes()
                self._processes = self._started(place.workers)
            if self._processes:
                self._processes.count = place.workers
                return self._processes
        count = 1 if self.are_gpus else place.workers
        return self._threads.setdefault(count, Threads(self.here.executor, count))

    def _started(self, count: int) -> Workers | None:
        """So many processes; None where there can be none, which the user is told."""
        devices = self.devices[:count] if self.are_gpus else [*self.devices] * count
        try:
            return Workers(self.here.executor, devices)
        except (pickle.PicklingError, AttributeError, TypeError, OSError, AssertionError) as error:
            self.say(f"Training in one process: no other can do it ({last_line(str(error))}).")
            self._needs_one_process = True
            return None

    def _end_processes(self) -> None:
        if self._processes:
            self._processes.end()
        self._processes = None


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
        self.executor = _sent(executor)
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


def _sent(executor: Executor) -> bytes:
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
