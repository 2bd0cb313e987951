"""From missing trials to a plan: rehearse each workload, pack its trials, and say how long they take and where."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from initsuite.config.settings import Settings
from initsuite.engine.manner import STACKED, Manner
from initsuite.engine.memory import bytes_a_trial, lacking, set_up_bytes
from initsuite.engine.workload import Cell
from initsuite.train.events import Finished
from initsuite.train.plan.composition import (
    FEWEST,
    Group,
    compose,
    widest,
    width_for,
)
from initsuite.train.plan.placement import Place, place_for
from initsuite.train.plan.speeds import TOO_SLOW, Speed, Speeds, machine
from initsuite.train.plan.stored import Plans, still_valid
from initsuite.train.pools import Pools
from initsuite.train.task import Stack
from initsuite.wording import format_count

TIMING_S = 5.0
"""After this time, workloads of unknown speed are no longer timed: other launches may be waiting for the plan."""


@dataclass(frozen=True)
class Rehearsal:
    """What two steps of a workload have shown.

    Attributes:
        cell: the one that took them; None if no initializer works, so that each trial fails alone.
        error: why the workload cannot be trained: the traceback of its two steps, or the memory that it lacks.
        bytes_each: memory that a trial of a stack takes.
        manner: how its trials are to be computed.
    """

    cell: Cell | None
    error: str | None
    bytes_each: int
    manner: Manner = STACKED


@dataclass(frozen=True)
class PlannedGroup:
    """How missing trials of a group are to be trained.

    Attributes:
        group: the trials.
        new: stacks that are planned now.
        kept: stacks as an earlier launch planned them.
        speed: of a stack of the width of the widest; None where it was not measured.
        note: a clause about memory, where stacks are narrower than the workload asks for.
        bytes_each: memory that a trial of a stack takes.
        error: why the workload cannot be trained; it has no stacks.
        manner: how the trials are computed.
    """

    group: Group
    new: tuple[Stack, ...] = ()
    kept: tuple[Stack, ...] = ()
    speed: Speed | None = None
    note: str = ""
    bytes_each: int = 0
    error: str | None = None
    manner: Manner = STACKED

    @property
    def stacks(self) -> tuple[Stack, ...]:
        return (*self.kept, *self.new)

    @property
    def width(self) -> int:
        return max((len(stack.trial_ids) for stack in self.stacks), default=0)

    @property
    def seeds_of_widest(self) -> list[int]:
        """The seed of each trial of a widest stack."""
        widest_stack = max(self.stacks, key=lambda stack: len(stack.trial_ids))
        return [trial.seed for trial in self.group.trials if trial.trial_id in widest_stack.trial_ids]

    @property
    def computes(self) -> str:
        """What the speed of a widest stack depends on: trials of one seed share their batches."""
        return f"{self.group.key}/{self.width}/{len(set(self.seeds_of_widest))}"

    @property
    def stack_s(self) -> float:
        """Seconds that a stack takes at this speed; NaN if it is not known."""
        return self.speed.stack_s(self.group.cell.workload) if self.speed else math.nan

    @property
    def promised_s(self) -> dict[str, float]:
        """By trial_id, its share of the seconds of its stack on one core; NaN if they are not known."""
        each = self.stack_s / max(1, self.width)
        return {trial_id: each for stack in self.stacks for trial_id in stack.trial_ids}

    @property
    def seconds(self) -> float:
        """What the stacks take together on one core; NaN if that is not known."""
        return self.stack_s * len(self.stacks) if self.stacks else 0.0

    def lines(self) -> list[str]:
        """What was chosen and why, in a line or two."""
        lines = [f"{format_count(len(self.kept), 'stack')} as an earlier launch planned"] if self.kept else []
        if self.new:
            sizes = [len(stack.trial_ids) for stack in self.new]
            alone, width = f"{format_count(len(self.new), 'trial')}, each by itself", max(sizes)
            together = f"{sum(sizes)} trials in {format_count(len(sizes), 'stack')}, up to {width} trained together"
            lines.append(f"{alone if width == 1 else together}{self.note}")
        if lines and self.speed:
            lines[-1] += f" ({self.speed.line(self.width)})"
        return [*lines, self.manner.line()] if lines and self.manner.why_unstacked else lines


class Planner:
    """Plans the trials of one launch.

    Args:
        plans: those of the results folder.
        pools: where the trials will be trained; this process rehearses and measures.
    """

    def __init__(self, settings: Settings, plans: Plans, pools: Pools) -> None:
        self.settings, self.plans, self.pools = settings, plans, pools
        self.speeds = Speeds(machine(settings.device), is_forgetful=settings.replan)
        self._rehearsals: dict[str, Rehearsal] = {}
        self._promised: dict[str, PlannedGroup] = {}
        self._num_threads = 1

    @property
    def kind(self) -> str:
        return torch.device(self.settings.device).type

    def rehearse(self, group: Group) -> Rehearsal:
        """Take two steps of a workload, once; none of one that memory cannot hold."""
        if group.key not in self._rehearsals:
            self._rehearsals[group.key] = self._rehearse(group)
        return self._rehearsals[group.key]

    def plan(self, groups: Sequence[Group], *, is_stored: bool = True) -> list[PlannedGroup]:
        """Pack trials as an earlier launch did, where all of a stack is missing, and the rest by their shapes.

        Args:
            is_stored: keep the plan, because it will be carried out.

        Returns:
            How each group is to be trained.

        Raises:
            StoreError: the plan cannot be stored.
        """
        stored, begin = self.plans.read(), time.monotonic()
        planned = [self._planned(group, stored, is_timed=time.monotonic() - begin < TIMING_S) for group in groups]
        new = [stack for one in planned for stack in one.new]
        if new and is_stored:
            self.plans.save(new, [f"{one.group.label}: {one.note}" for one in planned if one.note])
        return planned

    def place(self, planned: Sequence[PlannedGroup]) -> Place:
        """Where the stacks of these groups are trained; one of unknown speed counts as the slowest known."""
        slowest_s = max((one.stack_s for one in planned if one.speed), default=math.nan)
        seconds = sum(one.seconds if one.speed else slowest_s * len(one.stacks) for one in planned)
        largest = max((one.width * one.bytes_each for one in planned), default=0)
        num_stacks = sum(len(one.stacks) for one in planned)
        if self.pools.nodes:
            return Place(max(1, min(self.pools.nodes.count(), num_stacks)), are_elsewhere=True)
        place = place_for(self.pools.room(self.settings.workers), num_stacks, seconds, largest)
        if not self.settings.has_processes:
            place = replace(place, are_processes=False)
        self._num_threads = 1 if place.are_processes else place.workers
        return place

    def check(self, event: Finished) -> None:
        """Forget the speed of a stack that took much longer than it promised.

        Threads wait for each other in Python, up to as many times as long as a stack alone, which is what was timed.
        """
        promise = self._promised.get(event.stack_id)
        took_s = sum(result.wall_s for result in event.results)
        if promise and took_s > TOO_SLOW * self._num_threads * promise.stack_s:
            self.speeds.forget(promise.computes)

    def _planned(self, group: Group, stored: Sequence[Stack], *, is_timed: bool) -> PlannedGroup:
        if not group.pairs:
            return PlannedGroup(group)
        rehearsal = self.rehearse(group)
        if rehearsal.error:
            return PlannedGroup(group, error=rehearsal.error)
        max_stack = self.settings.max_stack
        bytes_each = rehearsal.bytes_each
        asked, fitting = max_stack or width_for(bytes_each, self.kind), widest(self.pools.devices, bytes_each)
        kept = still_valid(stored, group.trial_ids, self.kind, min(max_stack or fitting, fitting))
        left = group.without({trial_id for stack in kept for trial_id in stack.trial_ids})
        if rehearsal.manner.why_unstacked:
            asked = 1  # nothing is gained by more, and other cores may take the other trials
        is_split = fitting < min(asked, len(left.pairs))
        note = f", in place of up to {asked}: there is no memory for more" if is_split else ""
        composed = compose(left.trials, min(asked, fitting), FEWEST[self.kind])
        new = [Stack(trial_ids, self.kind) for trial_ids in composed]
        planned = PlannedGroup(group, tuple(new), tuple(kept), None, note, bytes_each, manner=rehearsal.manner)
        planned = replace(planned, speed=self._speed(planned, rehearsal.cell, is_timed=is_timed))
        self._promised |= {stack.stack_id: planned for stack in planned.stacks}
        return planned

    def _speed(self, planned: PlannedGroup, cell: Cell | None, *, is_timed: bool) -> Speed | None:
        """The speed of the widest stack; None where it is not known and cannot be measured."""
        known = self.speeds.recall(planned.computes)
        if known or cell is None or not is_timed:
            return known
        executor = self.pools.here.executor
        try:
            pace = executor.pace(executor.member(cell), planned.seeds_of_widest, planned.manner)
            return self.speeds.remember(planned.computes, *pace)
        except Exception:  # too wide for the memory; the executor will find a narrower width
            return None

    def _rehearse(self, group: Group) -> Rehearsal:
        executor, workload = self.pools.here.executor, group.cell.workload
        bytes_each = bytes_a_trial(workload)
        if error := self._lacking(group, bytes_each):
            return Rehearsal(group.cell, error, bytes_each)
        _ = workload.can_be_shared  # makes a copy of the model, now that no thread draws with it or trains it
        for cell in group.cells:
            try:
                member = executor.member(cell)
            except Exception:  # the trials of this initializer fail alone
                continue
            try:
                return Rehearsal(cell, None, bytes_each, executor.rehearse(member))
            except Exception:  # a user's model or loss may raise anything
                return Rehearsal(cell, traceback.format_exc(), bytes_each)
        return Rehearsal(None, None, bytes_each)

    def _lacking(self, group: Group, bytes_each: int) -> str:
        """What memory a trial lacks; empty where it lacks none. It is set up on the CPU, whatever trains it."""
        workload, name = group.cell.workload, group.cell.config["model"]["name"]
        set_up, why = set_up_bytes(workload.model), f"train a trial at batch_size={workload.batch_size}"
        if not self.pools.are_gpus:
            return lacking(name, workload.model, bytes_each + set_up, why)
        without = lacking(name, workload.model, set_up, "make and draw them")
        return without or lacking(name, workload.model, bytes_each, why, self.pools.devices)
