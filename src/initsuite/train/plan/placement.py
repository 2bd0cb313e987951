"""Placement: at which width, and in how many processes and threads, stacks train fastest, and how long it takes.

A step of a stack costs about a + b width: stacking shares a. Whether b falls, stays or grows depends on the model and
the machine (`vmap` turns a linear layer into one batched product and a convolution into a grouped one), so it is timed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from initsuite.train.plan.composition import Group, compose
from initsuite.train.task import Stack
from initsuite.wording import format_count

UNMEASURED_WIDTH = 128
WORTH = 1.03
"""What a wider stack, more threads or more processes must gain: narrow stacks lose less when a launch dies."""
WORKER_START_S = 5.0
"""What a worker process costs before its first step, seconds."""


@dataclass(frozen=True)
class Speed:
    """A measurement: `step_s` seconds for one step of a stack of `width` trials, in each of `workers` processes of
    `threads` threads that step at the same time."""

    width: int
    workers: int
    threads: int
    step_s: float


@dataclass(frozen=True)
class Limits:
    """What the machine and the user allow a workload.

    Attributes:
        device: cpu or cuda.
        threads: those of all processes together.
        max_width: the widest stack, by memory or as the user asked.
        is_shared: `max_width` is for all processes together, which share one memory.
        workers: how many processes the user asked for; None = any number.
    """

    device: str
    threads: int
    max_width: int
    is_shared: bool = False
    workers: int | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Processes, and the threads of each, where no others are compared."""
        workers = self.workers or 1
        return workers, max(1, self.threads // workers)


@dataclass(frozen=True)
class Draft:
    """How missing trials of a group are to be trained.

    Attributes:
        new: stacks that are planned now.
        seconds: the time expected for all stacks; NaN where nothing was measured.
        why: a clause for the user about the new stacks.
        kept: stacks as an earlier launch planned them.
        label: the label of the group.
        bytes_each: memory that a trial of a stack takes.
        error: the traceback of a workload that cannot take a step; it has no stacks.
    """

    new: tuple[Stack, ...] = ()
    seconds: float = 0.0
    why: str = ""
    kept: tuple[Stack, ...] = ()
    label: str = ""
    bytes_each: int = 0
    error: str | None = None

    @property
    def stacks(self) -> tuple[Stack, ...]:
        return (*self.kept, *self.new)

    def lines(self) -> list[str]:
        """What was chosen and why, in a line or two.

        Example:
            >>> stacks = place([("a", "b"), ("c",)], workers=1, threads=2, device="cpu")
            >>> Draft(stacks, why="too little work to measure").lines()
            ['2 stacks of up to 2 trials, 1 process of 2 threads (too little work to measure)']
        """
        lines = []
        if self.kept:
            lines.append(f"{format_count(len(self.kept), 'stack')} as an earlier launch planned")
        if self.new:
            count, width = len(self.new), max(len(stack.trial_ids) for stack in self.new)
            alone = f"{format_count(count, 'trial')} one at a time"
            stacks = alone if width == 1 else f"{format_count(count, 'stack')} of up to {width} trials"
            workers, threads = self.new[0].workers, self.new[0].threads
            processes = f"{workers} process{'es' * (workers > 1)} of {format_count(threads, 'thread')}"
            lines.append(f"{stacks}, {processes} ({self.why})")
        return lines


def choose(speeds: Sequence[Speed], group: Group, limits: Limits) -> Draft:
    """The fastest way to train a group, of those that were measured on this machine."""
    best: Draft | None = None
    for speed in sorted(speeds, key=lambda speed: (speed.workers, speed.threads, speed.width)):
        if limits.workers in (None, speed.workers):
            option = _draft(speed, speeds, group, limits)
            if best is None or option.seconds * WORTH < best.seconds:
                best = option
    return best or _unmeasured(group, limits)


def place(composed: Iterable[tuple[str, ...]], workers: int, threads: int, device: str) -> tuple[Stack, ...]:
    """Composed trials as stacks, with the place where they are trained."""
    return tuple(Stack(trial_ids, threads, workers, device) for trial_ids in composed)


def expected_s(stacks: Iterable[Stack], speeds: Sequence[Speed], num_steps: int) -> float:
    """Seconds that stacks take together; NaN if the speed of one of them is unknown."""
    seconds = ((step_seconds(speeds, len(each.trial_ids), each.workers, each.threads), each.workers) for each in stacks)
    return sum(num_steps * step_s / workers for step_s, workers in seconds)


def step_seconds(speeds: Sequence[Speed], width: int, workers: int, threads: int) -> float:
    """Seconds per step: linear between the measured widths, in proportion beyond them; NaN if none was measured."""
    points = sorted((s.width, s.step_s) for s in speeds if (s.workers, s.threads) == (workers, threads))
    if not points:
        return math.nan
    known, seconds = zip(*points, strict=True)
    inside = float(np.interp(width, known, seconds))
    return inside * max(1.0, width / known[-1]) if len(points) > 1 or width >= known[0] else seconds[0]


def _draft(speed: Speed, speeds: Sequence[Speed], group: Group, limits: Limits) -> Draft:
    """A group in stacks of the width of a measurement, and in its processes."""
    workers, threads = speed.workers, speed.threads
    widest = max(1, limits.max_width // workers) if limits.is_shared else limits.max_width
    # as many stacks as leave no process idle in the last round
    composed = compose(group.trial_ids, min(speed.width, widest), multiple=workers)
    width = max(map(len, composed))
    step_s = step_seconds(speeds, width, workers, threads)
    start_s = WORKER_START_S if workers > 1 else 0.0
    seconds = start_s + -(-len(composed) // workers) * group.num_steps * step_s
    return Draft(place(composed, workers, threads, limits.device), seconds, _why(speeds, step_s, width))


def _unmeasured(group: Group, limits: Limits) -> Draft:
    """The choice where there is too little work to measure anything.

    On a CPU, convolutions gain nothing from stacking, so they train one at a time; everything else is stacked.
    """
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    modules = group.cell.workload.model.modules()
    alone = limits.device == "cpu" and any(isinstance(module, convolutions) for module in modules)
    composed = compose(group.trial_ids, 1 if alone else min(UNMEASURED_WIDTH, limits.max_width))
    return Draft(place(composed, *limits.place, limits.device), math.nan, "too little work to measure")


def _why(speeds: Sequence[Speed], step_s: float, width: int) -> str:
    alone = [speed.step_s for speed in speeds if speed.width == speed.workers == 1]
    each = f"measured: {1e3 * step_s / width:.3g} ms per step and trial"
    return f"{each}, {1e3 * min(alone):.3g} ms one at a time" if alone else each
