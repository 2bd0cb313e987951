"""From missing trials to a plan: rehearse each workload, measure it or recall its speed, pack its trials."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch

from initsuite.config.settings import Settings
from initsuite.engine.workload import Cell
from initsuite.train.executor import Executor
from initsuite.train.plan.speeds import Measured, machine, measured, recall, remember
from initsuite.train.plan.stored import Plans, still_valid
from initsuite.train.plan.widths import (
    WORKER_START_S,
    WORTH,
    Choice,
    Speed,
    bytes_a_trial,
    choose,
    measure,
    memory_limit,
    step_seconds,
    unmeasured,
    widths_for,
)
from initsuite.train.task import Pair, Stack
from initsuite.train.workers import Pools, Workers

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


@dataclass(frozen=True)
class Draft:
    """How the missing trials of a group are to be trained.

    Attributes:
        kept: stacks as an earlier launch planned them.
        new: stacks of the other trials.
        choice: how these are packed; None where there are none.
        seconds: expected for all of them; NaN where nothing was measured.
    """

    kept: list[Stack]
    new: list[Stack]
    choice: Choice | None
    seconds: float


@dataclass
class Planner:
    """Plans the trials of one launch.

    Attributes:
        executor: of this process; it rehearses and measures.
        rehearsed: by group, the traceback of a workload that is broken, else "".
        rehearsing: by group, a cell whose initializer works.
    """

    settings: Settings
    plans: Plans
    executor: Executor
    pools: Pools
    rehearsed: dict[str, str] = field(default_factory=dict)
    rehearsing: dict[str, Cell] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return torch.device(self.settings.device).type

    @property
    def workers(self) -> int | None:
        """How many processes are asked for: by the user, or one for each of several GPUs; None = to be measured."""
        num_devices = len(self.pools.devices)
        return self.settings.workers or (num_devices if num_devices > 1 else None)

    def broken(self, groups: Iterable[Group]) -> dict[str, str]:
        """Take two steps of each workload that is new; the tracebacks of those that raise, by group."""
        for group in groups:
            if group.key not in self.rehearsed:
                self.rehearsed[group.key] = self._rehearse(group)
        return {key: error for key, error in self.rehearsed.items() if error}

    def plan(self, groups: Sequence[Group]) -> tuple[list[Stack], list[str]]:
        """Pack trials as an earlier launch did, where all of a stack is missing, and the rest by measured speed.

        Returns:
            The stacks, stored; and lines for each group, what was chosen and why.

        Raises:
            StoreError: the plan cannot be stored.
        """
        stored, speeds = self.plans.read()
        drafts = [self.draft(group, stored, speeds) for group in groups]
        new = [stack for draft in drafts for stack in draft.new]
        if new:
            self.plans.save(new, speeds)
        lines = [f"{g.label()}: {line}" for g, draft in zip(groups, drafts, strict=True) for line in in_words(draft)]
        return [stack for draft in drafts for stack in (*draft.kept, *draft.new)], lines

    def draft(self, group: Group, stored: Sequence[Stack], speeds: dict[str, Any], *, is_timed: bool = True) -> Draft:
        """Plan a group.

        Args:
            stored: stacks of earlier plans.
            speeds: of earlier plans, as plain values; what is measured here is added.
            is_timed: measure what is not known.
        """
        ids = [trial.trial_id for _, trial in group.pairs]
        kept = still_valid(stored, ids, self.kind, self.settings.max_stack, self.workers)
        planned = {trial_id for stack in kept for trial_id in stack.trial_ids}
        left = Group(tuple(pair for pair in group.pairs if pair[1].trial_id not in planned))
        known = self._known(left if left.pairs else group, speeds, is_timed and bool(left.pairs))
        seconds = sum(
            group.num_steps * step_seconds(known, len(stack.trial_ids), stack.workers, stack.threads) / stack.workers
            for stack in kept
        )
        if not left.pairs:
            return Draft(kept, [], None, seconds)
        choice = self._choose(left, known)
        new = pack([trial.trial_id for _, trial in left.pairs], choice, self.kind)
        return Draft(kept, new, choice, seconds + choice.seconds)

    def _known(self, group: Group, speeds: dict[str, Any], is_timed: bool) -> tuple[Speed, ...]:
        """Speeds of a workload on this machine, under what the user pins.

        From earlier plans, so that a rerun chooses as the first run did, else from the cache, else measured; measured
        again where there are many more trials now.
        """
        key = "/".join(
            [
                group.key,
                machine(self.settings.device, self.pools.threads),
                f"max_stack={self.settings.max_stack}",
                f"workers={self.workers}",
            ]
        )
        for known in (measured(speeds.get(key)), recall(key)):
            if known is not None and (known.is_enough(len(group.pairs)) or not is_timed):
                speeds[key] = known.plain()
                return known.speeds
        if not is_timed:
            return ()
        known = Measured(len(group.pairs), tuple(self._measure(group)))
        if known.speeds:
            remember(key, known)
        speeds[key] = known.plain()
        return known.speeds

    def _choose(self, group: Group, speeds: Sequence[Speed]) -> Choice:
        choice = self._fastest(speeds, group)
        if choice is None:
            workers = self.workers or 1
            threads = max(1, self.pools.threads // workers)
            width = self.max_width(group)
            choice = unmeasured(group.cell.workload, len(group.pairs), self.kind, width, workers, threads)
        return choice

    def _fastest(self, speeds: Sequence[Speed], group: Group) -> Choice | None:
        return choose(
            speeds,
            len(group.pairs),
            group.num_steps,
            max_width=self.max_width(group),
            is_shared=self.settings.max_stack is None and len(self.pools.devices) == 1,
            workers=self.workers,
        )

    def max_width(self, group: Group) -> int:
        """The widest stack by the user's word, else a power of two by memory, so that a rerun finds the same."""
        if self.settings.max_stack is not None:
            return self.settings.max_stack
        limit = memory_limit(torch.device(self.settings.device))
        return 1 << max(1, limit // bytes_a_trial(group.cell.workload)).bit_length() - 1

    def _rehearse(self, group: Group) -> str:
        """The traceback of a workload that cannot take two steps, else ""."""
        for cell in group.cells:
            try:
                member = self.executor.member(cell)
            except Exception:  # the trials of this initializer fail alone
                continue
            self.rehearsing[group.key] = cell
            try:
                self.executor.step_s(member, 1, 2, self.pools.threads)
            except Exception:  # a user's model or loss may raise anything
                return traceback.format_exc()
            break
        return ""

    def _measure(self, group: Group) -> list[Speed]:
        """Time widths with all threads, the best of them with one, and with worker processes where these may pay."""
        cell = self.rehearsing.get(group.key)
        if cell is None:
            return []  # no initializer of this group works
        member, num_trials = self.executor.member(cell), len(group.pairs)
        widths = widths_for(self.kind, num_trials, self.max_width(group))
        workers = self.workers or 1
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
        if self.workers is None and self.kind == "cpu" and threads > 1:
            best = min(speeds, key=lambda speed: speed.step_s / speed.width).width
            single = [Speed(width, 1, 1, self.executor.step_s(member, width, 3, 1)) for width in sorted({1, best})]
            speeds += single + self._measure_workers(group, cell, speeds, single)
        return speeds

    def _measure_workers(
        self, group: Group, cell: Cell, speeds: Sequence[Speed], single: Sequence[Speed]
    ) -> list[Speed]:
        """Time worker processes of one thread each, if they could save more than they cost."""
        num_workers = self.pools.threads
        hoped = [Speed(speed.width, num_workers, 1, speed.step_s) for speed in single]
        here, there = self._fastest(speeds, group), self._fastest(hoped, group)
        if here is None or there is None or here.seconds < max(WORKERS_PAY_FROM_S, WORTH * there.seconds):
            return []
        pool = self.pools.get(num_workers)
        if not isinstance(pool, Workers):
            return []
        try:
            return [Speed(speed.width, num_workers, 1, pool.step_s(cell, speed.width, 3, 1)) for speed in single]
        except ChildProcessError:  # too wide for the memory of several processes
            return []


def pack(trial_ids: Sequence[str], choice: Choice, device: str) -> list[Stack]:
    """Split trials evenly, in their order: the same trials and choice give the same stacks."""
    bounds = [len(trial_ids) * i // choice.num_stacks for i in range(choice.num_stacks + 1)]
    return [Stack(tuple(trial_ids[low:high]), choice.threads, choice.workers, device) for low, high in pairwise(bounds)]


def in_words(draft: Draft) -> list[str]:
    """A draft in a line or two.

    Example:
        >>> choice = Choice(2, 53, 1, 2, 30.0, "measured: 0.13 ms a step and trial, 2.4 ms one by one")
        >>> in_words(Draft([], [], choice, 30.0))
        ['2 stacks of up to 53 trials, 1 process of 2 threads (measured: 0.13 ms a step and trial, 2.4 ms one by one)']
    """
    lines = []
    if draft.kept:
        lines.append(f"{len(draft.kept)} stack{'s' * (len(draft.kept) > 1)} as an earlier launch planned")
    choice = draft.choice
    if choice is not None:
        stacks = f"{choice.num_stacks} stack{'s' * (choice.num_stacks > 1)} of up to {choice.width} trials"
        if choice.width == 1:
            stacks = f"{choice.num_stacks} trial{'s' * (choice.num_stacks > 1)} one by one"
        processes = f"{choice.workers} process{'es' * (choice.workers > 1)} of {choice.threads} thread"
        lines.append(f"{stacks}, {processes}{'s' * (choice.threads > 1)} ({choice.why})")
    return lines
