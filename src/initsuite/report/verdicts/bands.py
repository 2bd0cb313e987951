"""Within a context: the learning curves with their bands, and the score of each learning rate, as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from initsuite.protocol.tuning import trains
from initsuite.report.verdicts.comparison import Comparison, Standing
from initsuite.report.verdicts.recommendations import Report
from initsuite.report.verdicts.starts import PLACE, place_of
from initsuite.spec import Status
from initsuite.stats.intervals import median_interval

BAND_COLUMNS = [*PLACE, "step", "median", "low", "high", "band", "num_seeds"]
LR_COLUMNS = [*PLACE, "lr", "score", "trains", "is_best", "num_seeds"]
INTERVAL, RANGE = "95 %", "range"
"""What a band is: the interval of the median, or the range where the seeds are too few for one."""
SCORE, *LOSSES = MEASURES = ("val_score", "val_loss", "train_loss")
"""What the curves of the store hold."""


def curve_bands(report: Report, measure: str = SCORE) -> pd.DataFrame:
    """Validation score, or a loss, over step: the median over the scoring seeds of each arm, with a band.

    Args:
        measure: one of `MEASURES`.

    Returns:
        Columns `BAND_COLUMNS`, one row per arm and step, arms best first. `band` says what `low` and `high` are: the
        95 % interval of the median or, with too few seeds for one, their range. A diverged trial counts as chance; its
        loss as infinite.
    """
    curves = _by_trial(report.curves, measure)
    found = [
        pd.DataFrame({**place_of(comparison, standing), **_band(table)})[BAND_COLUMNS]
        for comparison in report.comparisons
        for standing in comparison.standings
        if len(table := _curve_table(standing, curves, _lost(comparison, measure)))
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=BAND_COLUMNS)


def lr_sensitivity(report: Report) -> pd.DataFrame:
    """What each arm scores at each learning rate that it was tuned at.

    Returns:
        Columns `LR_COLUMNS`, one row per arm and lr. `score` is the mean final validation score over the tuning seeds;
        a diverged trial counts as chance.
    """
    rows = [
        {
            **place_of(comparison, standing),
            "lr": lr,
            "score": score,
            "trains": trains(score, comparison.context.yardstick),
            "is_best": lr == standing.arm.lr,
            "num_seeds": standing.arm.tuning_seeds.get(lr, 0),
        }
        for comparison in report.comparisons
        for standing in comparison.standings
        for lr, score in sorted(standing.arm.lr_scores.items())
    ]
    return pd.DataFrame(rows, columns=LR_COLUMNS)


def _lost(comparison: Comparison, measure: str) -> float:
    """What a diverged trial counts as from then on."""
    return comparison.context.yardstick.chance if measure == SCORE else math.inf


def _band(table: pd.DataFrame) -> dict[str, Any]:
    """The median of each step with its bounds, from values [step, seed]."""
    values = np.sort(table.to_numpy(dtype=float), axis=1)
    count = values.shape[1]
    # Order statistics depend on ranks alone: the interval of the places 0, 1, ... says which ones bound the median.
    places = median_interval(range(count))
    low, high = (int(places.low), int(places.high)) if places.exists else (0, count - 1)
    return {
        "step": table.index.to_numpy(dtype=int),
        "median": (values[:, (count - 1) // 2] + values[:, count // 2]) / 2,
        "low": values[:, low],
        "high": values[:, high],
        "band": INTERVAL if places.exists else RANGE,
        "num_seeds": count,
    }


def _by_trial(curves: pd.DataFrame, measure: str) -> dict[str, pd.Series]:
    """The measure of each trial by step; trials of the same steps share their index, which aligns them at once."""
    steps, values, shared = curves["step"].to_numpy(), curves[measure].to_numpy(dtype=float), dict[bytes, pd.Index]()
    found = {}
    for trial_id, rows in curves.groupby("trial_id").indices.items():
        index = shared.setdefault(steps[rows].tobytes(), pd.Index(steps[rows]))
        found[str(trial_id)] = pd.Series(values[rows], index)
    return found


def _curve_table(standing: Standing, curves: Mapping[str, pd.Series], lost: float) -> pd.DataFrame:
    """The measure, [step, seed]; only the steps that every seed has."""
    columns = {}
    for seed, trial_id, status in standing.arm.trials[["trial_id", "status"]].itertuples():
        if trial_id in curves:
            values = curves[trial_id]
            columns[seed] = values.fillna(lost) if status == Status.DIVERGED else values
    return pd.DataFrame(columns).dropna()
