"""From cells to stored results: trials, stacks, store, sinks."""

from __future__ import annotations

import json
import math
import shlex
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from initsuite import tuning
from initsuite.config import Job, Settings
from initsuite.engine.loop import train_stack
from initsuite.engine.measures import measure
from initsuite.engine.planner import default_width
from initsuite.engine.stack import Member, pack, start_of
from initsuite.engine.workload import Cell
from initsuite.errors import InitsuiteError
from initsuite.progress import Progress
from initsuite.provenance import provenance
from initsuite.sinks.wandb import wandb_sink
from initsuite.spec import PROTOCOL_VERSION, Curve, Initialization, Sink, Stage, Status, Trial, TrialInfo, TrialResult
from initsuite.store import Store
from initsuite.tuning import FIRST_TUNING_SEED

Pair = tuple[Cell, Trial]


class TrialsFailed(InitsuiteError):
    """Some trials raised. Everything else is stored, and so are the tracebacks."""


@dataclass(frozen=True)
class Outcome:
    """What a launch leaves behind.

    Attributes:
        scores: for each job the mean best validation accuracy over its scoring seeds; NaN if all of them failed.
        failed: rows of the store, trials of this launch that raised.
    """

    scores: list[float]
    failed: pd.DataFrame


def run_cells(jobs: Sequence[Job], settings: Settings) -> Outcome:
    """Train what the jobs ask for and the store lacks, and tell the user about it.

    Tuning trials come first; the scoring trials of each cell then run at its best lr, read back from the store.

    Raises:
        StoreError: the store cannot be written.
    """
    store = Store(settings.results_dir)
    wandb = wandb_sink(settings.tracking)
    with ExitStack() as closing:
        progress = closing.enter_context(Progress())
        sinks: list[Sink] = [progress]
        if wandb:
            sinks.append(wandb)
            closing.callback(lambda: progress.say(wandb.close()))
        launch = _Launch(store, settings, progress, sinks, jobs)
        launch.tune()
        launch.score()
    progress.say([f"Table and figures: python -m initsuite.report {shlex.quote(str(settings.results_dir))}"])
    return launch.outcome()


def raise_if_failed(outcome: Outcome, settings: Settings) -> None:
    """End a launch whose trials did not all run, after everything else is done.

    Raises:
        TrialsFailed: one trial or more raised.
    """
    if len(outcome.failed):
        raise TrialsFailed(
            f"train: {len(outcome.failed)} trials failed. Their tracebacks are in the column `error` of the trials in "
            f"{settings.results_dir}. Everything else is stored; the same command tries the failed ones again."
        )


@dataclass
class _Launch:
    store: Store
    settings: Settings
    progress: Progress
    sinks: list[Sink]
    jobs: Sequence[Job]
    attempted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.job_of = {
            job.cell.cell_id: job for job in reversed(self.jobs)
        }  # the first job of a cell names its protocol

    def tune(self) -> None:
        """Train the lr grid of every tuned job, extending the grid of a context until no best lr sits on its edge."""
        tuned = [job for job in self.jobs if job.protocol.is_tuned]
        grids = {job.cell.context_id: sorted(job.cell.lr_grid) for job in tuned}
        while True:
            self.train(
                (job.cell, job.cell.trial(lr, FIRST_TUNING_SEED + index, Stage.TUNE))
                for job in tuned
                for lr in grids[job.cell.context_id]
                for index in range(job.protocol.tuning_seeds)
            )
            trials = self.store.read().trials
            extended = {job.cell.context_id: self._extended(job.cell, trials) for job in tuned}
            if extended == grids:
                return
            grids = extended

    def score(self) -> None:
        """Train the scoring seeds of every job at its lr."""
        trials = self.store.read().trials
        self.train(pair for job in self.jobs for pair in self._scoring(job, trials))

    def train(self, wanted: Iterable[Pair]) -> None:
        """Train the trials that are neither stored nor already tried in this launch."""
        trials = self.store.read().trials
        skip = set(trials.trial_id[trials.status != Status.FAILED]) | self.attempted
        missing = {trial.trial_id: (cell, trial) for cell, trial in wanted if trial.trial_id not in skip}
        self.attempted |= missing.keys()
        self.progress.planned(sum(cell.workload.max_steps for cell, _ in missing.values()), len(missing))
        device = torch.device(self.settings.device)
        for stack in pack(missing.values(), lambda work: self.settings.max_stack or default_width(work, device)):
            self._train_stack(stack)

    def outcome(self) -> Outcome:
        trials = self.store.read().trials
        failed = trials[trials.trial_id.isin(self.attempted) & (trials.status == Status.FAILED)]
        scores = []
        for job in self.jobs:
            ids = [trial.trial_id for _, trial in self._scoring(job, trials)]
            best = trials.best_val_accuracy[trials.trial_id.isin(ids) & (trials.status != Status.FAILED)]
            scores.append(float(best.fillna(job.cell.yardstick.chance).mean()))
        return Outcome(scores, failed)

    def _extended(self, cell: Cell, trials: pd.DataFrame) -> list[float]:
        yardstick = cell.yardstick
        arms = trials[(trials.context_id == cell.context_id) & (trials.stage == Stage.TUNE)].groupby("cell_id")
        scores = [tuning.lr_scores(arm, yardstick.chance) for _, arm in arms]
        return tuning.extended_grid(cell.lr_grid, scores, yardstick.chance, yardstick.levels.get("hard"))

    def _scoring(self, job: Job, trials: pd.DataFrame) -> list[Pair]:
        cell, lr = job.cell, job.protocol.lr
        if lr is None:
            tune = trials[(trials.cell_id == cell.cell_id) & (trials.stage == Stage.TUNE)]
            chance, hard = cell.yardstick.chance, cell.yardstick.levels.get("hard")
            lr = tuning.best_lr(tuning.lr_scores(tune, chance), cell.lr_grid, chance, hard)
        return [(cell, cell.trial(lr, seed, Stage.SCORE)) for seed in range(job.protocol.scoring_seeds)]

    def _train_stack(self, stack: Sequence[Pair]) -> None:
        members, broken = self._initialise(stack)
        if broken:
            self._record([result.trial for result in broken], lambda: broken)
        if members:
            self._record([member.trial for member in members], lambda: self._results(members))

    def _record(self, trials: Sequence[Trial], run: Callable[[], list[TrialResult]]) -> None:
        """Tell the sinks, run, store, tell the sinks."""
        infos = [self._info(trial) for trial in trials]
        self._tell("stack_started", "", infos)
        results = run()
        rows = [self._row(result) for result in results]
        self.store.append(rows, {result.trial.trial_id: result.curve for result in results})
        self._tell("stack_finished", "", rows)

    def _initialise(self, stack: Sequence[Pair]) -> tuple[list[Member], list[TrialResult]]:
        """Draw the parameters of each trial; an initializer that raises fails its own trials only."""
        drawn: dict[tuple[str, int], tuple[Initialization, float] | str] = {}
        members, broken = [], []
        for cell, trial in stack:
            key = (cell.cell_id, trial.seed)
            if key not in drawn:
                try:
                    drawn[key] = start_of(cell.workload, cell.initializer, trial.seed)
                except Exception:  # a user's initializer may raise anything
                    drawn[key] = traceback.format_exc()
            start = drawn[key]
            if isinstance(start, str):
                broken.append(self._failure(trial, start, len(stack)))
            else:
                members.append(Member(cell, trial, *start))
        return members, broken

    def _results(self, members: Sequence[Member]) -> list[TrialResult]:
        try:
            return train_stack(
                members, device=self.settings.device, on_evaluation=lambda result: self._tell("evaluated", "", result)
            )
        except Exception:  # a user's model or loss may raise anything
            error = traceback.format_exc()
            return [self._failure(member.trial, error, len(members)) for member in members]

    def _tell(self, event: str, *news: Any) -> None:
        """Call a method of every sink; one that breaks is dropped, and never changes what is trained or stored."""
        for sink in list(self.sinks):
            try:
                getattr(sink, event)(*news)
            except Exception as error:
                self.sinks.remove(sink)
                self.progress.say(
                    [f"{type(sink).__name__}: dropped in this launch after an error in {event}: {error!r}"]
                )

    def _failure(self, trial: Trial, error: str, stack_size: int) -> TrialResult:
        nothing = Curve(np.array([], dtype=int), *(np.array([]) for _ in range(3)))
        device, nan = self.settings.device, math.nan
        return TrialResult(trial, Status.FAILED, nothing, nan, None, nan, nan, stack_size, device, error)

    def _info(self, trial: Trial) -> TrialInfo:
        job = self.job_of[trial.cell_id]
        tags = (self.settings.experiment,) if self.settings.experiment else ()
        return TrialInfo(trial, job.cell.axes, job.cell.config, job.protocol.name, tags)

    def _row(self, result: TrialResult) -> dict[str, Any]:
        trial, job = result.trial, self.job_of[result.trial.cell_id]
        cell = job.cell
        return {
            "trial_id": trial.trial_id,
            "cell_id": cell.cell_id,
            "context_id": cell.context_id,
            **cell.axes,
            "lr": trial.lr,
            "seed": trial.seed,
            "stage": str(trial.stage),
            "status": str(result.status),
            "error": result.error,
            **measure(result, cell.yardstick, cell.workload.steps_per_epoch),
            "setup_s": result.setup_s,
            "test_accuracy": result.test_accuracy,
            "diverged_at": result.diverged_at,
            "wall_s": result.wall_s,
            "stack_size": result.stack_size,
            "device": result.device,
            "protocol": job.protocol.name,
            "protocol_version": PROTOCOL_VERSION,
            "experiment": self.settings.experiment,
            **provenance(),
            "config": json.dumps(cell.config, sort_keys=True),
        }
