"""Where tasks are trained: here, in Python threads of this process, in worker processes, or on a Ray cluster.

Each stack has one thread, wherever it is trained, so that the place changes no number.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence

import torch

from initsuite.engine.workload import Cell
from initsuite.train.cluster.nodes import Nodes
from initsuite.train.executor import Executor
from initsuite.train.plan.composition import memory_limit
from initsuite.train.plan.placement import Place, Room
from initsuite.train.threads import Threads
from initsuite.train.workers import Workers, by_value
from initsuite.wording import format_count, last_line

PROCESS_BYTES = 190 << 20
"""Memory of a Python process with torch that it shares with no other. Measured on Linux."""


class Pools:
    """The places where a launch trains, created when first needed. Use it as a context manager.

    Args:
        executor: the one of this process.
        devices: the GPUs that the launch trains on, or the CPU alone.
        say: shows the user a line.
        nodes: the Ray cluster that trains everything, if there is one.

    Attributes:
        threads: those that torch had in this process before; it has one until the end.
    """

    def __init__(
        self, executor: Executor, devices: Sequence[str], say: Callable[[str], None], nodes: Nodes | None = None
    ) -> None:
        self.here, self.nodes = Threads(executor, 1), nodes
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
        if self.nodes:
            self.nodes.end()
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
            return PROCESS_BYTES + len(by_value(self.here.executor))
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
        if self.nodes:
            self.nodes.forget(self.here.executor)

    def get(self, place: Place) -> Threads | Workers | Nodes:
        """The pool of a place; threads of this process where the cells cannot be sent to others.

        There is one pool of processes at a time. It serves places with fewer workers, too, and ends for one with more.
        """
        if place.are_elsewhere and self.nodes:
            return self.nodes
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
