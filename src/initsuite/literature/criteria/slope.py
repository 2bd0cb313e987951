"""How a measure changes with depth, width or another number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from initsuite.errors import bad_value
from initsuite.literature.criteria.base import OfOneMeasure, by_range
from initsuite.literature.criteria.student import Mean
from initsuite.literature.evidence import STEPS, Evidence
from initsuite.literature.verdict import Finding

FEWEST = 3
"""Values of the axis from which there is a slope to speak of."""


@dataclass(frozen=True)
class Slope(OfOneMeasure):
    """The least-squares slope of a measure over an axis is between `low` and `high`.

    One slope for each seed, and Student's two one-sided tests of their mean: reproduced where both reject, not
    reproduced where one shows the slope beyond a limit. A number of steps that is not reached counts as the budget, so
    that a slope of steps is a lower bound there, and is never called too small. A seed in which another measure is not
    finite, or 0 with `logs`, has no slope, and nothing is decided then. With `logs`, what is below 0 is left out.

    False alarms at a limit, five values of the axis, eight seeds: *reproduced* 0.05, *not reproduced* 0.05.

    Args:
        measure: the column.
        over: the axis, a key of the configuration.
        where: the cells.
        low, high: limits.
        logs: whether both are taken as logarithms, so that the slope is an exponent.
    """

    measure: str
    over: str
    where: Mapping[str, Any]
    low: float
    high: float
    logs: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise bad_value("slope", "high", self.high, f"a number above low={self.low}")

    def find(self, evidence: Evidence) -> Finding:
        """The mean slope, with its interval."""
        stated, unit = f"between {self.low:g} and {self.high:g}", f"slope of {self.measure} over {self.over}"
        slopes = self._slopes(evidence)
        if len(slopes) < 2:
            return Finding.missing(unit, stated, len(slopes))
        limits = self.low, self.high
        if not np.isfinite(slopes).all():
            return by_range(slopes, *limits, unit, stated)
        mean = Mean.of(slopes)
        is_censored = self.measure in STEPS and np.isinf(evidence.of(self.measure, self.where)["value"]).any()
        against = mean.above(self.high) if is_censored else mean.outside(*limits)
        return Finding(
            mean.estimate, *mean.interval, unit, stated, mean.inside(*limits), against, num=mean.num,
            needed=None if is_censored else mean.needed(*limits),
        )  # fmt: skip

    def _slopes(self, evidence: Evidence) -> np.ndarray:
        rows = evidence.of(self.measure, self.where)
        if rows.empty:
            return np.array([])
        x, y = rows["cell"].map(evidence.fact(self.over)).astype(float), evidence.censored(self.measure, rows)
        if self.logs:
            with np.errstate(divide="ignore"):
                x, y = np.log(x), np.log(y.where(y >= 0))
        points = rows.assign(x=x, y=y).dropna(subset=["x", "y"])
        groups = [group for _, group in points.groupby("seed") if group["x"].nunique() >= FEWEST]
        return np.array([_slope(group["x"].to_numpy(), group["y"].to_numpy()) for group in groups])


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.polyfit(x, y, 1)[0]) if np.isfinite(y).all() else math.nan
