"""Which trials a job needs: those that tune the learning rate, then those that are scored at the best one.

They depend on the jobs and the stored trials alone, so that a rerun needs the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from initsuite.config.build import AnyJob
from initsuite.protocol import tuning
from initsuite.protocol.tuning import FIRST_TUNING_SEED
from initsuite.protocol.yardstick import Yardstick
from initsuite.spec import Stage, Status, Trial

Wanted = tuple[AnyJob, Trial]
"""A trial with the job that wants it, whose cell need not have been built."""
Grids = Mapping[str, list[float]]
"""The learning rates of each tuned context, by context_id."""
FailedRows = frozenset[tuple[str, str]]
"""By trial_id, when each was written."""


class Tuned:
    """What the stored tuning trials say: read once for each of thousands of jobs.

    Args:
        trials: a table with the columns of the store.
    """

    def __init__(self, trials: pd.DataFrame) -> None:
        self._tune = trials[trials.stage == Stage.TUNE]
        self._cells: dict[str, list[str]] = {}
        seen = self._tune[["context_id", "cell_id"]].drop_duplicates()
        for context_id, cell_id in seen.itertuples(index=False):
            self._cells.setdefault(context_id, []).append(cell_id)
        self._scores: dict[tuple[str, float], dict[str, dict[float, float]]] = {}

    def scores(self, job: AnyJob) -> Mapping[float, float]:
        """The score of each learning rate that the cell of a job was tuned at."""
        return self._on(job.yardstick).get(job.cell_id, {})

    def scores_of_context(self, job: AnyJob) -> list[Mapping[float, float]]:
        """The same for every cell of its context that has tuning trials."""
        known = self._on(job.yardstick)
        return [known.get(cell_id, {}) for cell_id in self._cells.get(job.context_id, ())]

    def _on(self, yardstick: Yardstick) -> Mapping[str, Mapping[float, float]]:
        """The scores of all cells, as if all had this yardstick."""
        key = yardstick.metric, yardstick.chance
        if key not in self._scores:
            self._scores[key] = tuning.lr_scores_by_cell(self._tune, yardstick)
        return self._scores[key]


def grids_of(jobs: Sequence[AnyJob], tuned: Tuned | None = None) -> Grids:
    """The grid of every tuned context: the configured one, extended as the stored trials demand."""
    found = {job.context_id: job for job in jobs if job.protocol.is_tuned}
    return {key: _extended(job, tuned) if tuned else sorted(job.lr_grid) for key, job in found.items()}


def tuning_pairs(jobs: Sequence[AnyJob], grids: Grids) -> Iterator[Wanted]:
    """The tuning trials of every tuned job."""
    return (
        (job, Trial(job.cell_id, float(lr), FIRST_TUNING_SEED + index, Stage.TUNE))
        for job in jobs
        if job.protocol.is_tuned
        for lr in grids[job.context_id]
        for index in range(job.protocol.tuning_seeds)
    )


def scoring_pairs(job: AnyJob, tuned: Tuned) -> list[Wanted]:
    """The scoring trials of a job, at the best lr by its stored tuning trials."""
    lr = job.protocol.lr
    if lr is None:
        lr = tuning.best_lr(tuned.scores(job), job.lr_grid, job.yardstick)
    trials = (Trial(job.cell_id, float(lr), seed, Stage.SCORE) for seed in range(job.protocol.scoring_seeds))
    return [(job, trial) for trial in trials]


def unfinished(jobs: Sequence[AnyJob], trials: pd.DataFrame) -> list[AnyJob]:
    """The jobs that may have something to train: all those of a context of which a trial is missing.

    What is missing may move the grid of its context, and with it what the other cells need.

    Args:
        trials: a table with the columns of the store.
    """
    done = set(trials.trial_id[trials.status != Status.FAILED])
    open_contexts = {job.context_id for job, trial in _wanted(jobs, Tuned(trials)) if trial.trial_id not in done}
    return [job for job in jobs if job.context_id in open_contexts]


def wanted_ids(jobs: Sequence[AnyJob], trials: pd.DataFrame) -> set[str]:
    """Ids of the trials of these jobs, as far as the stored ones tell: those that are missing may ask for more.

    Args:
        trials: a table with the columns of the store.
    """
    return {trial.trial_id for _, trial in _wanted(jobs, Tuned(trials))}


def failed_rows(trials: pd.DataFrame) -> FailedRows:
    """The rows of trials that failed. One that fails again gets another row, with another time."""
    failed = trials[trials.status == Status.FAILED]
    return frozenset(zip(failed.trial_id, failed.written_at, strict=True))


def untried(jobs: Sequence[AnyJob], trials: pd.DataFrame, failed: FailedRows) -> set[str]:
    """Those of them that are not stored, or are in a row of `failed`: these are to be tried again."""
    return wanted_ids(jobs, trials) - (
        set(trials.trial_id) - {trial_id for trial_id, _ in failed_rows(trials) & failed}
    )


def _wanted(jobs: Sequence[AnyJob], tuned: Tuned) -> Iterator[Wanted]:
    """All trials that jobs need, as far as is known."""
    yield from tuning_pairs(jobs, grids_of(jobs, tuned))
    yield from (pair for job in jobs for pair in scoring_pairs(job, tuned))


def _extended(job: AnyJob, tuned: Tuned) -> list[float]:
    return tuning.extended_grid(job.lr_grid, tuned.scores_of_context(job), job.yardstick)
