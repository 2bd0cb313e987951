"""Where tasks are trained: in this process, or in worker processes that step at the same time.

A worker is spawned, not forked: a forked child of a process that has used OpenMP or CUDA hangs. It gets an executor
once, by value, and then tasks; it sends back the events of `train/events.py`, and says when it is idle. It ends with
its parent, however that ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from initsuite.engine.workload import Cell
from initsuite.train.events import Abandoned, Emit, Evaluated, Event, Finished, Note, Started
from initsuite.train.executor import Executor
from initsuite.train.task import Task, failure
from initsuite.wording import last_line

Done = Callable[[Task], None]


@dataclass(frozen=True)
class _Timing:
    """Asks a worker for `Executor.step_s`; everything else that it is sent is a `Task`."""

    cell_id: str
    width: int
    num_steps: int
    threads: int


@dataclass(frozen=True)
class _Idle:
    """A worker has loaded its executor, or trained its task."""


_Answer = Event | _Idle | float | ChildProcessError
"""A float is the seconds of a step, an error says why a worker cannot load its executor or be timed."""


class Pools:
    """The places where a launch trains, created when first needed.

    Args:
        executor: the one of this process.
        devices: one for each worker of a launch on several GPUs; one device otherwise.
        say: shows the user a line.

    Attributes:
        threads: those of this process when the launch began, to be split between workers.
    """

    def __init__(self, executor: Executor, devices: Sequence[str], say: Callable[[str], None]) -> None:
        self.here = ThisProcess(executor)
        self.devices, self.say = devices, say
        self.threads = torch.get_num_threads()
        self._pools: dict[int, ThisProcess | Workers] = {1: self.here}

    def __enter__(self) -> Pools:
        return self

    def __exit__(self, *exception: object) -> None:
        for pool in self._pools.values():
            pool.end()
        torch.set_num_threads(self.threads)

    def get(self, num_workers: int) -> ThisProcess | Workers:
        """A place with this many processes; this process where the cells cannot be sent to others."""
        if num_workers not in self._pools:
            devices = self.devices if len(self.devices) > 1 else [self.devices[0]] * num_workers
            try:
                self._pools[num_workers] = Workers(self.here.executor, devices[:num_workers])
            except (pickle.PicklingError, AttributeError, TypeError, OSError, AssertionError) as error:
                self.say(f"Training in one process: no other can do it ({last_line(str(error))}).")
                self._pools[num_workers] = self.here
        return self._pools[num_workers]


@dataclass
class ThisProcess:
    """Trains tasks here, one after another."""

    executor: Executor

    def run(self, tasks: Iterator[Task], emit: Emit, done: Done) -> None:
        for task in tasks:
            self.executor.run(task, emit)
            done(task)

    def end(self) -> None:
        """Nothing to end."""


class Workers:
    """Processes that train tasks, until `end` is called.

    Args:
        executor: copied into each of them.
        devices: one for each worker.

    Raises:
        ChildProcessError: a worker that cannot start, or cannot load a cell.
        Exception: a cell that cannot be pickled, a class defined inside a function for example.
    """

    def __init__(self, executor: Executor, devices: Sequence[str]) -> None:
        # by value: shared memory is too small for a data set in many containers
        self.executor = pickle.dumps(replace(executor, narrowed={}))
        self.workers = [_Worker(device) for device in devices]
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

    def step_s(self, cell: Cell, width: int, num_steps: int, threads: int) -> float:
        """Mean seconds of a step of a stack, all workers stepping at the same time.

        Raises:
            ChildProcessError: a worker could not, for lack of memory for example.
        """
        for worker in list(self.workers):
            self._send(worker, _Timing(cell.cell_id, width, num_steps, threads))
        answers = [worker.receive() for worker in self.workers]
        for worker, answer in zip(list(self.workers), answers, strict=True):
            if answer is None:
                self._replace(worker)
        seconds = [answer for answer in answers if isinstance(answer, float)]
        if len(seconds) < len(self.workers):
            raise ChildProcessError(f"pool: {len(self.workers) - len(seconds)} workers broke while being timed")
        return sum(seconds) / len(seconds)

    def run(self, tasks: Iterator[Task], emit: Emit, done: Done) -> None:
        """Train tasks until there are no more; `emit` and `done` are called in this process."""
        idle, again = list(self.workers), list[Task]()
        busy: dict[Any, _Assignment] = {}
        while True:
            while idle and (task := again.pop(0) if again else next(tasks, None)):
                worker = self._send(idle.pop(0), task)
                busy[worker.connection] = _Assignment(worker, task)
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
                is_alive = isinstance(answer, _Idle)
                rest = [] if is_alive else _rest_of(assignment, emit)
                again += rest
                if not rest:
                    done(assignment.task)
                idle.append(assignment.worker if is_alive else self._replace(assignment.worker))

    def _send(self, worker: _Worker, message: Task | _Timing) -> _Worker:
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


@dataclass
class _Assignment:
    """A task in a worker: which of its stacks are in training, and which of its trials are finished."""

    worker: _Worker
    task: Task
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
    task, worker = assignment.task, assignment.worker
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
        emit(Started(part.stack.stack_id, part.trials))
        emit(Finished(part.stack.stack_id, [failure(trial, how, 1, worker.device)]))
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
        executor: Executor = pickle.loads(connection.recv_bytes())
    except Exception as error:  # a user's class that only the parent can import, for example
        connection.send(ChildProcessError(repr(error)))
        return
    executor.device = device
    connection.send(_Idle())
    while True:
        request: Task | _Timing = connection.recv()
        match request:
            case Task():
                executor.run(request, connection.send)
                connection.send(_Idle())
            case _Timing(cell_id, width, num_steps, threads):
                try:
                    member = executor.member(executor.cells[cell_id])
                    connection.send(executor.step_s(member, width, num_steps, threads))
                except Exception as error:  # too wide for the memory of several processes
                    connection.send(ChildProcessError(repr(error)))


def _end_with_parent() -> None:
    """Do what a parent that is killed cannot: end its workers."""
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)
