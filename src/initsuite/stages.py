"""Which trials a job asks for: those that tune the learning rate, then those that are scored at the best one.

Functions of the jobs and of the stored trials alone, so that a rerun asks for the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from initsuite import tuning
from initsuite.config import Job
from initsuite.engine.workload import Cell
from initsuite.planning import Pair
from initsuite.spec import Stage
from initsuite.tuning import FIRST_TUNING_SEED

Grids = Mapping[str, list[float]]
"""The learning rates of each tuned context, by context_id."""


def grids_of(jobs: Sequence[Job], trials: pd.DataFrame | None = None) -> Grids:
    """The grid of every tuned context: the configured one, extended as the stored trials demand."""
    return {
        job.cell.context_id: sorted(job.cell.lr_grid) if trials is None else _extended(job.cell, trials)
        for job in jobs
        if job.protocol.is_tuned
    }


def tuning_pairs(jobs: Sequence[Job], grids: Grids) -> Iterator[Pair]:
    """The tuning trials of every tuned job."""
    return (
        (job.cell, job.cell.trial(lr, FIRST_TUNING_SEED + index, Stage.TUNE))
        for job in jobs
        if job.protocol.is_tuned
        for lr in grids[job.cell.context_id]
        for index in range(job.protocol.tuning_seeds)
    )


def scoring_pairs(job: Job, trials: pd.DataFrame) -> list[Pair]:
    """The scoring trials of a job, at its best lr by the stored tuning trials."""
    cell, lr = job.cell, job.protocol.lr
    if lr is None:
        tune = trials[(trials.cell_id == cell.cell_id) & (trials.stage == Stage.TUNE)]
        chance, hard = cell.yardstick.chance, cell.yardstick.levels.get("hard")
        lr = tuning.best_lr(tuning.lr_scores(tune, chance), cell.lr_grid, chance, hard)
    return [(cell, cell.trial(lr, seed, Stage.SCORE)) for seed in range(job.protocol.scoring_seeds)]


def _extended(cell: Cell, trials: pd.DataFrame) -> list[float]:
    yardstick = cell.yardstick
    arms = trials[(trials.context_id == cell.context_id) & (trials.stage == Stage.TUNE)].groupby("cell_id")
    scores = [tuning.lr_scores(arm, yardstick.chance) for _, arm in arms]
    return tuning.extended_grid(cell.lr_grid, scores, yardstick.chance, yardstick.levels.get("hard"))
