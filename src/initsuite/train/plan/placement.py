"""Placement: how many stacks are trained at the same time, and in threads of this process or in processes of their own.

Each stack has one thread. Nothing here changes a number: it decides only who trains which stack.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from initsuite.wording import format_count

PROCESSES_FROM_S = 40.0
"""Work on one core, in seconds, from which worker processes pay: threads share Python's interpreter lock, and processes
take seconds to start."""


@dataclass(frozen=True)
class Place:
    """Where the stacks of a launch are trained.

    Attributes:
        workers: how many are trained at the same time.
        are_processes: in processes of their own, not in threads of this one.
        are_on_gpus: each on a GPU, not on one core.
        are_elsewhere: on the workers of a Ray cluster.
    """

    workers: int = 1
    are_processes: bool = False
    are_on_gpus: bool = False
    are_elsewhere: bool = False

    def line(self) -> str:
        """For the user.

        Example:
            >>> Place(2).line()
            '2 stacks at a time, each on one thread of this process'
        """
        if self.are_elsewhere:
            count = "one stack" if self.workers == 1 else f"{self.workers} stacks"
            return f"{count} at a time, each on a worker of the Ray cluster"
        if self.workers == 1:
            return f"one stack at a time, on one {'GPU' if self.are_on_gpus else 'thread'}"
        if self.are_on_gpus:
            return f"{self.workers} stacks at a time, each on a GPU and in a process of its own"
        where = "in a process of its own" if self.are_processes else "on one thread of this process"
        return f"{format_count(self.workers, 'stack')} at a time, each {where}"


@dataclass(frozen=True)
class Room:
    """What there is to train on.

    Attributes:
        count: cores that this process may use, or GPUs that the launch trains on: each has one stack at a time.
        are_gpus: whether they are GPUs. Each has a process and a memory of its own.
        asked: how many worker processes the user asked for; None = one on each core or GPU.
        memory: bytes that all stacks together may take; infinity on GPUs, where each has what `widest` gave it.
        process_bytes: tells what a worker process takes before it trains; asked where there may be some.
    """

    count: int
    are_gpus: bool = False
    asked: int | None = None
    memory: float = math.inf
    process_bytes: Callable[[], int] = lambda: 0

    @property
    def most(self) -> int:
        """How many stacks may be trained at the same time."""
        return min(self.asked or self.count, self.count)


def place_for(room: Room, num_stacks: int, seconds: float, stack_bytes: int) -> Place:
    """The place for some stacks.

    Args:
        seconds: what they take together on one core; NaN, if that is not known, counts as little.
        stack_bytes: memory of the largest.
    """

    def fitting(each: int) -> int:
        return int(max(1, min(room.most, num_stacks, room.memory // max(1, each))))

    are_processes = room.asked is not None or room.are_gpus or seconds > PROCESSES_FROM_S
    workers = fitting(stack_bytes)
    if are_processes and workers > 1 and (processes := fitting(stack_bytes + room.process_bytes())) > 1:
        return Place(processes, True, room.are_gpus)
    return Place(workers, are_on_gpus=room.are_gpus)
