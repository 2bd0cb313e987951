"""A number, a share of trials, or a ratio of two, that lies between limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from initsuite.errors import bad_value
from initsuite.literature.criteria.base import OfOneMeasure, by_range
from initsuite.literature.criteria.student import Mean
from initsuite.literature.evidence import Evidence
from initsuite.literature.verdict import Finding
from initsuite.stats.intervals import success_rate


@dataclass(frozen=True)
class Within(OfOneMeasure):
    """The mean of a measure is between `low` and `high`, by two one-sided tests.

    Student's tests for numbers, exact binomial ones for what is 0 or 1. With `against`, the geometric mean over seeds
    of the ratio to that arm. Reproduced where both tests reject; not reproduced where one shows the mean beyond a
    limit. Where a number overflows there is no mean, and all of them must be on one side.

    False alarms at a limit, 20 normal values: *reproduced* 0.05, *not reproduced* 0.05; of 20 values 0 or 1:
    0.035 and 0.048.

    Args:
        measure: the column.
        where: the cells.
        low, high: limits; infinite = none.
        against: the cells that the ratio is to; None = the measure itself.
    """

    measure: str
    where: Mapping[str, Any]
    low: float
    high: float
    against: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise bad_value("within", "high", self.high, f"a number above low={self.low}")

    def find(self, evidence: Evidence) -> Finding:
        """The mean or the ratio, with its interval."""
        stated = f"between {self.low:g} and {self.high:g}"
        if self.against is not None:
            return self._ratio(evidence, f"{stated} times")
        values = evidence.of(self.measure, self.where)["value"].to_numpy()
        if len(values) < 2:
            return Finding.missing(self.measure, stated, len(values))
        if not np.isfinite(values).all():
            return by_range(values, self.low, self.high, self.measure, stated)
        if set(np.unique(values)) <= {0.0, 1.0}:
            return self._share(values, stated)
        mean = Mean.of(values)
        return Finding(
            mean.estimate, *mean.interval, self.measure, stated, mean.inside(self.low, self.high),
            mean.outside(self.low, self.high), num=mean.num, needed=mean.needed(self.low, self.high),
        )  # fmt: skip

    def _share(self, values: np.ndarray, stated: str) -> Finding:
        hits, n, rate = int(values.sum()), len(values), success_rate(values > 0)
        is_above = [1.0 if limit >= 1 else _tail(hits, n, limit, "greater") for limit in (self.low, self.high)]
        is_below = [1.0 if limit <= 0 else _tail(hits, n, limit, "less") for limit in (self.low, self.high)]
        inside = max(0.0 if self.low <= 0 else is_above[0], 0.0 if self.high >= 1 else is_below[1])
        outside = min(is_below[0], is_above[1])
        limits = [limit for limit in (self.low, self.high) if 0 < limit < 1]
        distance = min((abs(rate.estimate - limit) for limit in limits), default=0.0)
        spread = math.sqrt(max(rate.estimate * (1 - rate.estimate), 0.25 / n))
        needed = max(n + 1, math.ceil((1.96 * spread / distance) ** 2)) if distance else None
        return Finding(rate.estimate, rate.low, rate.high, self.measure, stated, inside, outside, num=n, needed=needed)

    def _ratio(self, evidence: Evidence, stated: str) -> Finding:
        assert self.against is not None
        arms = evidence.by_seed(self.measure, self.where), evidence.by_seed(self.measure, self.against)
        first, second = (arm.to_numpy(float) for arm in arms[0].align(arms[1], join="inner"))
        unit = f"{self.measure}, times that of the other"
        if len(first) < 2:
            return Finding.missing(unit, stated, len(first))
        with np.errstate(divide="ignore", invalid="ignore"):  # a measure of 0, or below
            ratios = np.log(first) - np.log(second)
        if not np.isfinite(ratios).all():
            return by_range(np.exp(ratios), self.low, self.high, unit, stated)
        limits = [math.log(limit) if limit > 0 else -math.inf for limit in (self.low, self.high)]
        mean = Mean.of(ratios)
        estimate, low, high = (math.exp(value) for value in (mean.estimate, *mean.interval))
        inside, outside, needed = mean.inside(*limits), mean.outside(*limits), mean.needed(*limits)
        return Finding(estimate, low, high, unit, stated, inside, outside, num=mean.num, needed=needed)


def _tail(hits: int, n: int, rate: float, alternative: Any) -> float:
    return float(scipy.stats.binomtest(hits, n, min(max(rate, 0.0), 1.0), alternative).pvalue)
