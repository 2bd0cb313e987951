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
from initsuite.protocol.yardstick import Yardstick
from initsuite.spec import Stage
from initsuite.train.task import Pair

Grids = Mapping[str, list[float]]
"""The learning rates of each tuned context, by context_id."""


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

    def scores(self, cell: Cell) -> Mapping[float, float]:
        """The score of each learning rate that a cell was tuned at."""
        return self._on(cell.yardstick).get(cell.cell_id, {})

    def scores_of_context(self, cell: Cell) -> list[Mapping[float, float]]:
        """The same for every cell of its context that has tuning trials."""
        known = self._on(cell.yardstick)
        return [known.get(cell_id, {}) for cell_id in self._cells.get(cell.context_id, ())]

    def _on(self, yardstick: Yardstick) -> Mapping[str, Mapping[float, float]]:
        """The scores of all cells, as if all had this yardstick."""
        key = yardstick.metric, yardstick.chance
        if key not in self._scores:
            self._scores[key] = tuning.lr_scores_by_cell(self._tune, yardstick)
        return self._scores[key]


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
        lr = tuning.best_lr(tuned.scores(cell), cell.lr_grid, cell.yardstick)
    return [(cell, cell.trial(lr, seed, Stage.SCORE)) for seed in range(job.protocol.scoring_seeds)]


def _extended(cell: Cell, tuned: Tuned) -> list[float]:
    return tuning.extended_grid(cell.lr_grid, tuned.scores_of_context(cell), cell.yardstick)
