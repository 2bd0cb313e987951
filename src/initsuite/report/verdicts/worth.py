"""What the choice of an initializer is worth in networks with and without a norm, under each optimizer."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from initsuite.report.evidence.context import NO_NORM, Arm, counted_scores
from initsuite.report.evidence.levels import COLUMN_OF_LEVEL
from initsuite.report.verdicts.across import main_comparisons
from initsuite.report.verdicts.comparison import BASELINE, Comparison
from initsuite.report.verdicts.recommendations import OF_INTERVAL, Report, interval_columns, lr_window
from initsuite.spec import CONTEXT_AXES
from initsuite.stats.intervals import CONFIDENCE, COVERAGE_SLACK, MISSING, Interval, mean_interval, median_interval

_NOT_THE_NETWORK = {"dataset": ("levels", "chance"), "model": ("norm",)}
"""Options that contexts of one network may differ in."""
_OVER_DEFAULT = "_over_default"
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

    The arms are those that the report ranks first and last: by mean final validation score, and by speed. Their
    differences are those of test scores. A positive difference, and a factor above 1, is what the better choice gains.

    Attributes:
        network: what the contexts share that differ in norm and optimizer only.
        arms: those that were compared.
        best, worst, fastest, slowest: their names.
        table: indexed by seed: score and share (best less worst arm; in the metric's unit, and of the way from chance
            to the hard level), steps (how many times the fastest arm's the slowest one takes), and for each what the
            first of the other arms gains over `torch_default`; NaN where there is none, or no level that ranks.
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

    @property
    def best_other(self) -> str:
        """The best arm by final score that is not `torch_default`, against which it is held."""
        return _first_other([one.arm.name for one in self.comparison.scores.standings])

    def interval(self, name: str) -> Interval:
        """The mean of a difference, or the median of a factor, over the seeds.

        The first and the last of many arms differ by chance alone, so the interval is that of one pair of all pairs (or
        of one arm of all that stand against `torch_default`), which hold together (Bonferroni).
        """
        values, others = self.table[name].dropna(), len(self.arms) - 1
        if values.empty:
            return MISSING
        num_pairs = others if name.endswith(_OVER_DEFAULT) else len(self.arms) * others // 2
        made = median_interval if name.startswith("steps") else mean_interval
        found = made(values, 1 - (1 - CONFIDENCE) / num_pairs)
        coverage = max(0.0, 1 - num_pairs * (1 - found.coverage))
        if coverage < CONFIDENCE - COVERAGE_SLACK:  # order statistics of few seeds
            return replace(found, low=math.nan, high=math.nan, coverage=coverage)
        return replace(found, coverage=coverage)


def worths(report: Report) -> tuple[Worth, ...]:
    """The contexts of each network that was trained with and without a norm, under at least two optimizers.

    In the order of networks, norms (none first) and optimizers of the report; none where nothing was so crossed.
    """
    groups: dict[str, list[Comparison]] = {}
    for comparison in main_comparisons(report):
        groups.setdefault(_network_key(comparison), []).append(comparison)
    return tuple(worth for group in groups.values() if _is_crossed(group) for worth in _of_network(group))


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


def _of_network(group: Sequence[Comparison]) -> Iterator[Worth]:
    axes = min((found.context.axes for found in group), key=lambda one: len(one["model"]))
    network = " / ".join(axes[name] for name in CONTEXT_AXES if name != "optimizer")
    for comparison in sorted(group, key=lambda found: found.context.norm != NO_NORM):
        if (worth := worth_of(comparison, network)) is not None:
            yield worth


def worth_of(comparison: Comparison, network: str = "") -> Worth | None:
    """None with fewer than two scored arms, or two seeds that all of them have."""
    yardstick, level = comparison.context.yardstick, comparison.level
    by_speed = [one.arm for one in comparison.scored]
    by_score = [one.arm.name for one in comparison.scores.standings]
    scores = pd.DataFrame({arm.name: counted_scores(arm, yardstick) for arm in by_speed}).dropna()
    if len(by_speed) < 2 or len(scores) < 2:
        return None
    share = scores.map(yardstick.normalised)
    column = COLUMN_OF_LEVEL[level] if level else None
    steps = {arm.name: arm.trials[column].loc[scores.index].fillna(math.inf) for arm in by_speed if column}
    names, nothing = [arm.name for arm in by_speed], pd.Series(math.nan, scores.index)
    pairs = {"": (by_score[0], by_score[-1], names[0], names[-1])}
    if BASELINE in scores:
        first, fast = _first_other(by_score), _first_other(names)
        pairs[_OVER_DEFAULT] = (first, BASELINE, fast, BASELINE)
    columns = {f"{name}{ending}": nothing for name in ("score", "share", "steps") for ending in ("", _OVER_DEFAULT)}
    for ending, (better, worse, faster, slower) in pairs.items():
        columns[f"score{ending}"] = yardstick.oriented(scores[better] - scores[worse])
        columns[f"share{ending}"] = share[better] - share[worse]
        columns[f"steps{ending}"] = _slowdown(steps[faster], steps[slower]) if steps else nothing
    ends = (by_score[0], by_score[-1], names[0], names[-1])
    return Worth(network, comparison, tuple(by_speed), *ends, table=pd.DataFrame(columns))


def _first_other(order: Sequence[str]) -> str:
    return next(name for name in order if name != BASELINE)


def _slowdown(faster: pd.Series, slower: pd.Series) -> pd.Series:
    """How many times the steps of the faster arm the slower one takes, by seed.

    Infinite where only the slower one misses the level, 0 where only the faster one does, 1 where both do.
    """
    both_miss = np.isinf(faster) & np.isinf(slower)
    return slower.mask(both_miss, 1.0) / faster.mask(both_miss, 1.0)


def worth_table(found: Sequence[Worth]) -> pd.DataFrame:
    """One row per context, columns `WORTH_COLUMNS`.

    `score` is in the unit of the metric, `share` of the way from chance to the hard level; both are turned so that a
    positive one favours the better arm. `steps` is a factor. Intervals are over the seeds, Student's for means and of
    order statistics for medians, and hold for all pairs of arms at once (Bonferroni). Windows are decades of lr that
    train, 0 where none or one does; they have no interval.
    """
    return pd.DataFrame([_row(worth) for worth in found], columns=WORTH_COLUMNS)


def _row(worth: Worth) -> dict[str, Any]:
    context = worth.comparison.context
    is_tuned = context.is_tuned
    windows = {arm.name: _decades(worth.comparison, arm) if is_tuned else math.nan for arm in worth.arms}
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
