"""What the choice of an initializer is worth in networks with and without a norm, under each optimizer."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from initsuite.report.evidence.context import NO_NORM, Arm, counted_scores
from initsuite.report.evidence.levels import COLUMN_OF_LEVEL
from initsuite.report.verdicts.across import main_comparisons
from initsuite.report.verdicts.comparison import BASELINE, Comparison
from initsuite.report.verdicts.recommendations import OF_INTERVAL, Report, interval_columns, lr_window
from initsuite.spec import Stage, Status
from initsuite.stats.intervals import MISSING, Interval, mean_interval, median_interval

_NOT_THE_NETWORK = {"dataset": ("levels", "chance"), "model": ("norm",)}
"""Options that contexts of one network may differ in."""
_INTERVALS = ("score", "score_over_default", "share", "share_over_default", "steps", "steps_over_default")
WORTH_COLUMNS = [
    "network", "norm", "optimizer", "context", "context_id", "metric", "num_arms", "num_seeds",
    "best", "worst", *[f"{name}{end}" for name in _INTERVALS[:4] for end in OF_INTERVAL],
    "level", "fastest", "slowest", *[f"{name}{end}" for name in _INTERVALS[4:] for end in OF_INTERVAL],
    "widest", "widest_decades", "narrowest", "narrowest_decades", "default_decades",
]  # fmt: skip


@dataclass(frozen=True)
class Worth:
    """What the choice is worth in one context, seed by seed.

    The arms are chosen by the tuning seeds and judged by the scoring seeds, which are others: where many arms are
    compared, the best of them by the seeds that judge would be flattered. A positive difference, and a factor above 1,
    is what the better choice gains.

    Attributes:
        network: what the contexts share that differ in norm and optimizer only.
        arms: those that were compared.
        best, worst: chosen by the final validation score.
        fastest, slowest: chosen as the recommendations choose, by success rate, median steps and loss area.
        table: indexed by scoring seed: score and share (best less worst arm; in the metric's unit, and of the way from
            chance to the hard level), steps (how many times the fastest arm's the slowest one takes), and each over
            `torch_default` in place of the worst or slowest; NaN where there is none, or no level that ranks.
    """

    network: str
    comparison: Comparison
    arms: tuple[Arm, ...]
    best: str
    worst: str
    fastest: str
    slowest: str
    table: pd.DataFrame

    @property
    def norm(self) -> str:
        return self.comparison.context.norm

    @property
    def optimizer(self) -> str:
        return self.comparison.context.axes["optimizer"]

    @property
    def has_norm(self) -> bool:
        return self.norm != NO_NORM

    def interval(self, name: str) -> Interval:
        """The mean of a difference, or the median of a factor, over the seeds."""
        values = self.table[name].dropna()
        if values.empty:
            return MISSING
        return median_interval(values) if name.startswith("steps") else mean_interval(values)


def worths(report: Report) -> tuple[Worth, ...]:
    """The contexts of each network that was trained with and without a norm, under at least two optimizers.

    In the order of networks, norms (none first) and optimizers of the report; none where nothing was so crossed, or
    under one lr for all, where no seed chooses.
    """
    groups: dict[str, list[Comparison]] = {}
    for comparison in main_comparisons(report):
        if comparison.context.is_tuned:
            groups.setdefault(_network_key(comparison), []).append(comparison)
    crossed = [group for group in groups.values() if _is_crossed(group)]
    ids = {standing.arm.cell_id for group in crossed for found in group for standing in found.standings}
    tuning = report.trials[(report.trials.stage == Stage.TUNE) & report.trials.cell_id.isin(ids)]
    by_cell = {str(cell_id): trials for cell_id, trials in tuning.groupby("cell_id")}
    return tuple(worth for group in crossed for worth in _of_network(group, by_cell))


def _network_key(comparison: Comparison) -> str:
    config = comparison.context.config
    trees = {
        group: {name: value for name, value in (config.get(group) or {}).items() if name not in skipped}
        for group, skipped in _NOT_THE_NETWORK.items()
    }
    rest = {name: config.get(name) for name in ("activation", "batch_size", "max_steps", "eval_every")}
    return json.dumps([trees, rest], sort_keys=True, default=str)


def _is_crossed(group: Sequence[Comparison]) -> bool:
    cells = {(found.context.norm != NO_NORM, found.context.axes["optimizer"]) for found in group}
    optimizers = {optimizer for _, optimizer in cells}
    return len(optimizers) > 1 and len(cells) == 2 * len(optimizers)


def _of_network(group: Sequence[Comparison], tuning: Mapping[str, pd.DataFrame]) -> Iterator[Worth]:
    axes = min((found.context.axes for found in group), key=lambda one: len(one["model"]))
    network = " / ".join(axes[name] for name in ("dataset", "model", "activation"))
    for comparison in sorted(group, key=lambda found: found.context.norm != NO_NORM):
        if (worth := worth_of(comparison, tuning, network)) is not None:
            yield worth


def worth_of(comparison: Comparison, tuning: Mapping[str, pd.DataFrame], network: str = "") -> Worth | None:
    """None with fewer than two scored arms, or two seeds that all of them have.

    Args:
        comparison: of tuned arms.
        tuning: the tuning trials by cell_id, columns of the store, with steps read off the curves.
    """
    yardstick, level = comparison.context.yardstick, comparison.level
    arms = tuple(one.arm for one in comparison.scored)
    scores = pd.DataFrame({arm.name: counted_scores(arm, yardstick) for arm in arms}).dropna()
    if len(arms) < 2 or len(scores) < 2:
        return None
    stuck = {one.arm.name: one.near_chance for one in comparison.scored}
    by_score = sorted(arms, key=lambda arm: (stuck[arm.name], -yardstick.oriented(arm.lr_scores[arm.lr])))
    by_speed = sorted(arms, key=lambda arm: (stuck[arm.name], *_speed_key(tuning[arm.cell_id], arm.lr, level)))
    (best, worst), (fastest, slowest) = ((order[0].name, order[-1].name) for order in (by_score, by_speed))
    share = scores.map(yardstick.normalised)
    nothing = pd.Series(math.nan, scores.index)
    steps = (
        {arm.name: arm.trials[COLUMN_OF_LEVEL[level]].loc[scores.index].fillna(math.inf) for arm in arms}
        if level
        else {}
    )
    columns = {}
    for ending, other, slower in (("", worst, slowest), ("_over_default", BASELINE, BASELINE)):
        is_there = other in scores
        columns[f"score{ending}"] = yardstick.oriented(scores[best] - scores[other]) if is_there else nothing
        columns[f"share{ending}"] = share[best] - share[other] if is_there else nothing
        columns[f"steps{ending}"] = _slowdown(steps[fastest], steps[slower]) if steps and is_there else nothing
    return Worth(network, comparison, arms, best, worst, fastest, slowest, pd.DataFrame(columns))


def _speed_key(trials: pd.DataFrame, lr: float, level: str | None) -> tuple[float, ...]:
    """The order of the recommendations, of an arm by its tuning trials at its best lr."""
    done = trials[(trials.status != Status.FAILED) & np.isclose(trials.lr, lr, rtol=1e-9, atol=0)]
    area = float(done.loss_auc.fillna(math.inf).median())
    if level is None:
        return (area,)
    steps = done[COLUMN_OF_LEVEL[level]]
    return -float(steps.notna().mean()), float(steps.fillna(math.inf).median()), area


def _slowdown(faster: pd.Series, slower: pd.Series) -> pd.Series:
    """How many times the steps of the faster arm the slower one takes, by seed.

    Infinite where only the slower one misses the level, 0 where only the faster one does, 1 where both do.
    """
    both_miss = np.isinf(faster) & np.isinf(slower)
    return slower.mask(both_miss, 1.0) / faster.mask(both_miss, 1.0)


def worth_table(found: Sequence[Worth]) -> pd.DataFrame:
    """One row per context, columns `WORTH_COLUMNS`.

    `score` is in the unit of the metric, `share` of the way from chance to the hard level; both are turned so that a
    positive one favours the best arm. `steps` is a factor. Intervals are over the seeds: Student's for means, of order
    statistics for medians. Windows are decades of lr that train, 0 where none or one does; they have no interval.
    """
    return pd.DataFrame([_row(worth) for worth in found], columns=WORTH_COLUMNS)


def _row(worth: Worth) -> dict[str, Any]:
    context = worth.comparison.context
    windows = {arm.name: _decades(worth.comparison, arm) for arm in worth.arms}
    widest, narrowest = (pick(windows, key=lambda name: windows[name]) for pick in (max, min))
    row = {
        "network": worth.network,
        "norm": worth.norm,
        "optimizer": worth.optimizer,
        "context": context.title,
        "context_id": context.context_id,
        "metric": context.yardstick.metric,
        "num_arms": len(worth.arms),
        "num_seeds": len(worth.table),
        "best": worth.best,
        "worst": worth.worst,
        "level": worth.comparison.level or "",
        "fastest": worth.fastest,
        "slowest": worth.slowest,
        "widest": widest,
        "widest_decades": windows[widest],
        "narrowest": narrowest,
        "narrowest_decades": windows[narrowest],
        "default_decades": windows.get(BASELINE, math.nan),
    }
    for name in _INTERVALS:
        row |= interval_columns(name, worth.interval(name))
    return row


def _decades(comparison: Comparison, arm: Arm) -> float:
    low, high = lr_window(comparison.context, arm) or (1.0, 1.0)
    return round(math.log10(high / low), 2)
