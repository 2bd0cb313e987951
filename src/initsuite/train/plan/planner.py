"""From missing trials to a plan: rehearse each workload, recall or measure its speed, and pack its trials."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from initsuite.config.settings import Settings
from initsuite.engine.workload import Cell
from initsuite.train.plan.composition import Group, bytes_a_trial, widest
from initsuite.train.plan.placement import Draft, Limits, choose, expected_s
from initsuite.train.plan.speeds import Speeds, machine
from initsuite.train.plan.stored import Plans, still_valid
from initsuite.train.task import Stack
from initsuite.train.workers import Pools


@dataclass(frozen=True)
class Rehearsal:
    """What two steps of a workload have shown.

    Attributes:
        cell: the one that took them; None if no initializer works, so that each trial fails alone.
        error: the traceback of a workload that cannot take two steps.
    """

    cell: Cell | None = None
    error: str | None = None


@dataclass
class Planner:
    """Plans the trials of one launch.

    Attributes:
        pools: where they will be trained; this process rehearses and measures.
        rehearsals: those that have been made, by group.
    """

    settings: Settings
    plans: Plans
    pools: Pools
    rehearsals: dict[str, Rehearsal] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return torch.device(self.settings.device).type

    @property
    def workers(self) -> int | None:
        """How many processes to use: as the user asked, or one for each of several GPUs; None = to be measured."""
        num_devices = len(self.pools.devices)
        return self.settings.workers or (num_devices if num_devices > 1 else None)

    def rehearse(self, group: Group) -> Rehearsal:
        """Take two steps of a workload, once."""
        if group.key not in self.rehearsals:
            self.rehearsals[group.key] = self._rehearse(group)
        return self.rehearsals[group.key]

    def plan(self, groups: Sequence[Group], *, timing_s: float = math.inf, is_stored: bool = True) -> list[Draft]:
        """Pack trials as an earlier launch did, where all of a stack is missing, and the rest by measured speed.

        Args:
            timing_s: after this time, workloads of unknown speed are planned without measuring it.
            is_stored: keep the plan, because it will be carried out.

        Returns:
            A draft for each group.

        Raises:
            StoreError: the plan cannot be stored.
        """
        stored, planned = self.plans.read()
        pins = f"max_stack={self.settings.max_stack}/workers={self.workers}"
        speeds = Speeds(self.pools, f"{machine(self.settings.device, self.pools.threads)}/{pins}", planned)
        begin = time.monotonic()
        drafts = [self._draft(group, stored, speeds, time.monotonic() - begin < timing_s) for group in groups]
        new = [stack for draft in drafts for stack in draft.new]
        if new and is_stored:
            self.plans.save(new, speeds.planned)
        return drafts

    def _draft(self, group: Group, stored: Sequence[Stack], speeds: Speeds, is_timed: bool) -> Draft:
        """Plan a group; `stored` are stacks of earlier plans, and `is_timed` allows measuring what is not known."""
        if not group.pairs:
            return Draft()
        rehearsal = self.rehearse(group)
        if rehearsal.error:
            return Draft(label=group.label, error=rehearsal.error)
        kept = still_valid(stored, group.trial_ids, self.kind, self.settings.max_stack, self.workers)
        left = group.without({trial_id for stack in kept for trial_id in stack.trial_ids})
        bytes_each, max_stack = bytes_a_trial(group.cell.workload), self.settings.max_stack
        limits = Limits(
            self.kind,
            self.pools.threads,
            max_width=max_stack or widest(self.settings.device, bytes_each),
            is_shared=max_stack is None and len(self.pools.devices) == 1,
            workers=self.workers,
        )
        known = speeds.recall(group, len(left.pairs) if is_timed else 0)
        if known is None and is_timed and left.pairs and rehearsal.cell:
            known = speeds.measure(left, rehearsal.cell, limits)
        draft = choose(known or (), left, limits) if left.pairs else Draft()
        seconds = expected_s(kept, known or (), group.num_steps) + draft.seconds
        return replace(draft, kept=tuple(kept), seconds=seconds, label=group.label, bytes_each=bytes_each)

    def _rehearse(self, group: Group) -> Rehearsal:
        executor = self.pools.here.executor
        for cell in group.cells:
            try:
                member = executor.member(cell)
            except Exception:  # the trials of this initializer fail alone
                continue
            try:
                executor.step_s(member, 1, 2, self.pools.threads)
            except Exception:  # a user's model or loss may raise anything
                return Rehearsal(cell, traceback.format_exc())
            return Rehearsal(cell)
        return Rehearsal()
