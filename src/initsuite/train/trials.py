"""Which trials a job needs: those that tune the learning rate, then those that are scored at the best one.

They depend on the jobs and the stored trials alone, so that a rerun needs the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from initsuite.config.build import Job
from initsuite.engine.workload import Cell
from initsuite.protocol import tuning
from initsuite.protocol.tuning import FIRST_TUNING_SEED
from initsuite.spec import Stage
from initsuite.train.task import Pair

Grids = Mapping[str, list[float]]
"""The learning rates of each tuned context, by context_id."""


class Tuned:
    """The stored tuning trials, by context and by cell: looked up once for each of thousands of jobs.

    Args:
        trials: a table with the columns of the store.
    """

    def __init__(self, trials: pd.DataFrame) -> None:
        tune = trials[trials.stage == Stage.TUNE]
        self._none = tune.iloc[:0]
        self._cells = dict(iter(tune.groupby("cell_id")))
        self._contexts = tune.groupby("context_id").cell_id.unique()

    def of_cell(self, cell_id: str) -> pd.DataFrame:
        return self._cells.get(cell_id, self._none)

    def of_context(self, context_id: str) -> list[pd.DataFrame]:
        """One table for each cell of the context that has tuning trials."""
        return [self._cells[cell_id] for cell_id in self._contexts.get(context_id, ())]


def grids_of(jobs: Sequence[Job], tuned: Tuned | None = None) -> Grids:
    """The grid of every tuned context: the configured one, extended as the stored trials demand."""
    cells = {job.cell.context_id: job.cell for job in jobs if job.protocol.is_tuned}
    return {key: _extended(cell, tuned) if tuned else sorted(cell.lr_grid) for key, cell in cells.items()}


def tuning_pairs(jobs: Sequence[Job], grids: Grids) -> Iterator[Pair]:
    """The tuning trials of every tuned job."""
    return (
        (job.cell, job.cell.trial(lr, FIRST_TUNING_SEED + index, Stage.TUNE))
        for job in jobs
        if job.protocol.is_tuned
        for lr in grids[job.cell.context_id]
        for index in range(job.protocol.tuning_seeds)
    )


def scoring_pairs(job: Job, tuned: Tuned) -> list[Pair]:
    """The scoring trials of a job, at the best lr by its stored tuning trials."""
    cell, lr = job.cell, job.protocol.lr
    if lr is None:
        scores = tuning.lr_scores(tuned.of_cell(cell.cell_id), cell.yardstick)
        lr = tuning.best_lr(scores, cell.lr_grid, cell.yardstick)
    return [(cell, cell.trial(lr, seed, Stage.SCORE)) for seed in range(job.protocol.scoring_seeds)]


def _extended(cell: Cell, tuned: Tuned) -> list[float]:
    scores = [tuning.lr_scores(arm, cell.yardstick) for arm in tuned.of_context(cell.context_id)]
    return tuning.extended_grid(cell.lr_grid, scores, cell.yardstick)
