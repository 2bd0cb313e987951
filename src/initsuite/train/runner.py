"""Trains the missing trials of a launch: plans them, takes leases on their stacks, trains these where it is fastest."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from initsuite.results.leases import Leases
from initsuite.results.store import Store
from initsuite.spec import short_hash
from initsuite.train.cluster.nodes import Nodes
from initsuite.train.events import Event, Finished, tell_at_once
from initsuite.train.plan.composition import Group, groups_of
from initsuite.train.plan.placement import Place
from initsuite.train.plan.planner import PlannedGroup, Planner
from initsuite.train.pools import Pools
from initsuite.train.progress import Progress
from initsuite.train.recorder import Recorder
from initsuite.train.stopping import STOP
from initsuite.train.task import Task, failure
from initsuite.train.threads import Threads
from initsuite.train.trials import Wanted
from initsuite.train.workers import Workers
from initsuite.wording import format_count, format_duration

POLL_S = 1.0
"""Between two looks at what another launch is training, seconds."""
MAX_LINES = 8


@dataclass
class Runner:
    """What one launch trains.

    Attributes:
        attempted: ids of the trials that it took on; a trial that fails is tried again by a rerun, not here.
    """

    store: Store
    leases: Leases
    planner: Planner
    pools: Pools
    recorder: Recorder
    progress: Progress
    attempted: set[str] = field(default_factory=set)

    def train(self, wanted: Iterable[Wanted], later: Iterable[Wanted] = ()) -> None:
        """Train the trials that are neither stored nor already tried in this launch.

        Args:
            later: what will be trained after them, as far as that is known, for the time that people are told.

        Raises:
            StoreError: the results folder cannot be written.
            StopLaunch: as many trials have failed as `on_error` allows.
        """
        skip = self.store.stored() | self.attempted
        missing = {trial.trial_id: (job.cell, trial) for job, trial in wanted if trial.trial_id not in skip}
        self.attempted |= missing.keys()
        self.progress.planned(len(missing))
        groups = groups_of(missing.values())
        for group in groups:
            if error := self.planner.rehearse(group).error:
                self._fail(group, error)
        with self.leases.hold("planning", self.progress.say):
            planned = self.planner.plan(groups)
        lines = [f"{one.group.label}: {line}" for one in planned for line in one.lines()]
        more = [f"... and {len(lines) - MAX_LINES} more workloads"] if len(lines) > MAX_LINES else []
        self.progress.say(*lines[:MAX_LINES], *more)
        trials = {trial_id: trial for trial_id, (_, trial) in missing.items()}
        tasks = [
            Task(stack, tuple(trials[trial_id] for trial_id in stack.trial_ids), stack.stack_id, one.manner)
            for one in planned
            for stack in one.stacks
        ]
        if tasks:
            place = self.planner.place(planned)
            then = [(job.cell, trial) for job, trial in later if trial.trial_id not in skip]
            seconds = self._expect(planned, place, groups_of(then))
            about = "" if math.isnan(seconds) else f", for about {format_duration(seconds)} in all"
            self.progress.say(f"Training {place.line()}{about}.")
            cells = {cell.cell_id: cell for cell, _ in missing.values()}
            self.pools.learn(cells)
            self._train_all(tasks, self.pools.get(place))

    def _expect(self, planned: Sequence[PlannedGroup], place: Place, later: Sequence[Group]) -> float:
        """Tell the forecast what these groups promise, and what is left after them; returns the seconds of it all."""
        promised = {trial_id: seconds for one in planned for trial_id, seconds in one.promised_s.items()}
        each = {one.group.key: one.stack_s / one.width for one in planned if one.stacks}
        then = [each.get(group.key, math.nan) * len(group.pairs) for group in later]
        progress = self.progress
        progress.later_trials = sum(len(group.pairs) for group in later)
        progress.forecast.expect(promised, place.workers, sum(seconds for seconds in then if not math.isnan(seconds)))
        is_known = any(not math.isnan(seconds) for seconds in promised.values())
        return progress.forecast.left_s if is_known else math.nan

    def _train_all(self, tasks: list[Task], pool: Threads | Workers | Nodes) -> None:
        """Train what no other launch has a lease on, and wait for what another launch is training."""
        is_told = False
        while tasks:
            elsewhere: list[Task] = []
            leased = self._leased(tasks, elsewhere)
            with STOP.heard():
                pool.run(leased, self._take, lambda task: self.leases.release(task.lease))
            tasks = elsewhere
            if tasks:
                if not is_told:
                    count = format_count(sum(len(task.trials) for task in tasks), "trial")
                    who = self.leases.holder(tasks[0].lease)
                    self.progress.say(f"Waiting for {count} that another launch is training ({who}).")
                    is_told = True
                time.sleep(POLL_S)

    def _take(self, event: Event) -> None:
        self.recorder.take(event)
        if isinstance(event, Finished):
            self.planner.check(event)
        STOP.raise_if_asked()

    def _leased(self, tasks: Iterable[Task], elsewhere: list[Task]) -> Iterator[Task]:
        """The tasks, each under a lease taken when it is needed; what others hold a lease on goes into `elsewhere`."""
        for task in tasks:
            if not self.leases.take(task.lease):
                elsewhere.append(task)
                continue
            stored = self.store.stored()
            left = [trial for trial in task.trials if trial.trial_id not in stored]
            found = [trial.trial_id for trial in task.trials if trial.trial_id in stored]
            if found:  # another launch was faster
                self.progress.found(found)
            if left:
                yield task.part(left) if found else task
            else:
                self.leases.release(task.lease)

    def _fail(self, group: Group, error: str) -> None:
        """Store the trials of a workload that cannot take a step."""
        results = [failure(trial, error, 1, self.planner.kind) for trial in group.trials]
        tell_at_once(self.recorder.take, short_hash(group.trial_ids), results)
