"""From missing trials to a plan: rehearse each workload, measure it or recall its speed, pack its trials."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import torch

from initsuite.config import Settings
from initsuite.engine.planner import (
    WORKER_START_S,
    WORTH,
    Choice,
    Speed,
    bytes_a_trial,
    choose,
    measure,
    memory_limit,
    unmeasured,
    widths_for,
)
from initsuite.engine.stack import Member
from initsuite.engine.workload import Cell
from initsuite.executor import Executor
from initsuite.plans import Plans, Stack, still_valid
from initsuite.pool import Pools, Workers
from initsuite.spec import Trial
from initsuite.speeds import recall, remember

Pair = tuple[Cell, Trial]

WORKERS_PAY_FROM_S = 20 * WORKER_START_S
"""Work that takes longer than this in one process is worth the start of workers to time them, seconds: 5 % at most."""


@dataclass(frozen=True)
class Group:
    """Trials of one workload and one optimizer kind, the only ones that can share a stack, by seed."""

    pairs: tuple[Pair, ...]

    @property
    def cell(self) -> Cell:
        return self.pairs[0][0]

    @property
    def key(self) -> str:
        return f"{self.cell.workload.workload_id}-{self.cell.optimizer.kind}"

    @property
    def cells(self) -> list[Cell]:
        return list({cell.cell_id: cell for cell, _ in self.pairs}.values())

    @property
    def num_steps(self) -> int:
        return self.cell.workload.max_steps

    def label(self) -> str:
        return "/".join(self.cell.axes[axis] for axis in ("dataset", "model", "activation", "optimizer"))


def groups_of(pairs: Iterable[Pair]) -> list[Group]:
    """Sort trials into groups; in each, those of one seed stand together, for they see the same batches."""
    groups: dict[tuple[str, str], list[Pair]] = {}
    for cell, trial in pairs:
        groups.setdefault((cell.workload.workload_id, cell.optimizer.kind), []).append((cell, trial))
    return [Group(tuple(sorted(group, key=lambda pair: pair[1].seed))) for group in groups.values()]


@dataclass
class Planner:
    """Plans the trials of one launch.

    Attributes:
        executor: of this process; it rehearses and measures.
        rehearsed: by group, the traceback of a workload that is broken, else "".
        members: by group, a trial to measure with.
    """

    settings: Settings
    plans: Plans
    executor: Executor
    pools: Pools
    rehearsed: dict[str, str] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return torch.device(self.settings.device).type

    def broken(self, groups: Iterable[Group]) -> dict[str, str]:
        """Take two steps of each workload that is new; the tracebacks of those that raise, by group."""
        for group in groups:
            if group.key not in self.rehearsed:
                self.rehearsed[group.key] = self._rehearse(group)
        return {key: error for key, error in self.rehearsed.items() if error}

    def plan(self, groups: Sequence[Group]) -> tuple[list[Stack], list[str]]:
        """Pack trials as an earlier launch did, where all of a stack is missing, and the rest by measured speed.

        Returns:
            The stacks, stored; and a line for each group, what was chosen and why.

        Raises:
            StoreError: the plan cannot be stored.
        """
        stored, speeds = self.plans.read()
        stacks, lines, new = [], [], []
        for group in groups:
            ids = [trial.trial_id for _, trial in group.pairs]
            kept = still_valid(stored, ids, self.kind, self.settings.max_stack)
            planned = {trial_id for stack in kept for trial_id in stack.trial_ids}
            left = [pair for pair in group.pairs if pair[1].trial_id not in planned]
            stacks += kept
            if kept:
                lines.append(f"{group.label()}: {len(kept)} stacks as an earlier launch planned them")
            if left:
                choice, speeds[group.key] = self._choose(Group(tuple(left)), speeds.get(group.key))
                packed = pack([trial.trial_id for _, trial in left], choice, self.kind)
                lines.append(f"{group.label()}: {in_words(choice)}")
                new += packed
        if new:
            self.plans.save(new, speeds)
        return stacks + new, lines

    def choose(self, group: Group, *, is_timed: bool) -> Choice:
        """The choice for a group, without storing it; with `is_timed` false nothing new is measured."""
        return self._choose(group, self.plans.read()[1].get(group.key), is_timed)[0]

    def _choose(
        self, group: Group, stored: Sequence[Mapping[str, Any]] | None, is_timed: bool = True
    ) -> tuple[Choice, list[dict[str, Any]]]:
        """The choice for a group, and the speeds behind it as plain values.

        Args:
            stored: speeds in the results folder, if any: a rerun chooses as the first run did.
        """
        max_width = self.max_width(group)
        known = stored or recall(group.key, self.settings.device, self.pools.threads)
        speeds = [Speed(**speed) for speed in known]
        choice = self._fastest(speeds, group, max_width)
        if choice is None and is_timed:
            speeds += self._measure(group, max_width)
            choice = self._fastest(speeds, group, max_width)
        if choice is None:
            workers = self.settings.workers or 1
            threads = max(1, self.pools.threads // workers)
            workload = group.cell.workload
            choice = unmeasured(workload, len(group.pairs), self.kind, max_width, workers, threads)
        return choice, [asdict(speed) for speed in speeds]

    def _fastest(self, speeds: Sequence[Speed], group: Group, max_width: int) -> Choice | None:
        workers = self.settings.workers
        return choose(speeds, len(group.pairs), group.num_steps, max_width=max_width, workers=workers)

    def max_width(self, group: Group) -> int:
        """The widest stack by the user's word, else a power of two by memory, so that a rerun finds the same."""
        if self.settings.max_stack is not None:
            return self.settings.max_stack
        limit = memory_limit(torch.device(self.settings.device)) // (self.settings.workers or 1)
        return 1 << max(1, limit // bytes_a_trial(group.cell.workload)).bit_length() - 1

    def _rehearse(self, group: Group) -> str:
        """The traceback of a workload that cannot take two steps, else ""."""
        for cell in group.cells:
            try:
                self.members[group.key] = self.executor.member(cell)
            except Exception:  # the trials of this initializer fail alone
                continue
            try:
                self.executor.step_s(self.members[group.key], 1, 2, self.pools.threads)
            except Exception:  # a user's model or loss may raise anything
                return traceback.format_exc()
            break
        return ""

    def _measure(self, group: Group, max_width: int) -> list[Speed]:
        """Time widths with all threads, the best of them with one, and with worker processes where these may pay."""
        if group.key not in self.members:
            return []  # no initializer of this group works
        member, num_trials = self.members[group.key], len(group.pairs)
        widths = widths_for(self.kind, num_trials, max_width)
        workers = self.settings.workers or 1
        threads = max(1, self.pools.threads // workers)
        speeds = measure(
            lambda width, steps: self.executor.step_s(member, width, steps, threads),
            widths,
            workers,
            threads,
            num_trials,
            group.num_steps,
        )
        if len(speeds) < min(2, len(widths)):
            return []  # too little work: nothing was compared
        if self.settings.workers is None and self.kind == "cpu" and threads > 1:
            best = min(speeds, key=lambda speed: speed.step_s / speed.width).width
            single = [Speed(width, 1, 1, self.executor.step_s(member, width, 3, 1)) for width in sorted({1, best})]
            speeds += single + self._measure_workers(group, speeds, single)
        if self.settings.max_stack is None and self.settings.workers is None:
            remember(group.key, self.settings.device, threads, speeds)
        return speeds

    def _measure_workers(self, group: Group, speeds: Sequence[Speed], single: Sequence[Speed]) -> list[Speed]:
        """Time worker processes of one thread each, if they could save more than they cost."""
        num_workers, num_trials = self.pools.threads, len(group.pairs)
        hoped = [Speed(speed.width, num_workers, 1, speed.step_s) for speed in single]
        here = choose(speeds, num_trials, group.num_steps, max_width=num_trials)
        there = choose(hoped, num_trials, group.num_steps, max_width=num_trials)
        if here is None or there is None or here.seconds < max(WORKERS_PAY_FROM_S, WORTH * there.seconds):
            return []
        pool = self.pools.get(num_workers)
        if not isinstance(pool, Workers):
            return []
        try:
            return [
                Speed(speed.width, num_workers, 1, pool.step_s(self.members[group.key].cell, speed.width, 3, 1))
                for speed in single
            ]
        except ChildProcessError:  # too wide for the memory of several processes
            return []


def pack(trial_ids: Sequence[str], choice: Choice, device: str) -> list[Stack]:
    """Split trials evenly, in their order: the same trials and choice give the same stacks."""
    bounds = [len(trial_ids) * i // choice.num_stacks for i in range(choice.num_stacks + 1)]
    return [Stack(tuple(trial_ids[low:high]), choice.threads, choice.workers, device) for low, high in pairwise(bounds)]


def in_words(choice: Choice) -> str:
    """The choice in a line.

    Example:
        >>> in_words(Choice(2, 53, 1, 2, 30.0, "measured: 0.13 ms a step and trial, 2.4 ms one by one"))
        '2 stacks of up to 53 trials, 1 process of 2 threads (measured: 0.13 ms a step and trial, 2.4 ms one by one)'
    """
    stacks = f"{choice.num_stacks} stack{'s' * (choice.num_stacks > 1)} of up to {choice.width} trials"
    if choice.width == 1:
        stacks = f"{choice.num_stacks} trials one by one"
    processes = f"{choice.workers} process{'es' * (choice.workers > 1)} of {choice.threads} thread"
    return f"{stacks}, {processes}{'s' * (choice.threads > 1)} ({choice.why})"
