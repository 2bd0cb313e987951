"""A number that is known before training orders what comes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy

from initsuite.errors import bad_value
from initsuite.literature.criteria.base import OfOneMeasure
from initsuite.literature.evidence import Evidence
from initsuite.literature.verdict import Finding
from initsuite.stats.pairwise import newcombe_variance, probability_of_improvement
from initsuite.stats.prediction import rank_correlation


@dataclass(frozen=True)
class Rank(OfOneMeasure):
    """The rank statistic of a predictor with an outcome is at least `minimum`.

    For an outcome of 0 and 1, the probability that a cell in which most trials have 1 has the larger predictor than one
    in which they do not (the area under the curve), over cells, with Newcombe's variance. For numbers, Spearman's
    correlation over trials, with Fisher's transformation. The test for the claim is against no relation (1/2 or 0);
    that against it, and whether the estimate is large enough, concern `minimum`.

    False alarms with 30 cells: *reproduced* where the predictor says nothing and 0.8 is stated: 0.003; *not reproduced*
    where the probability is 0.8 as stated: 0.05.

    Args:
        measure: the outcome, a column.
        predictor: a key of the configuration, a predictor of theory, or a column.
        where: the cells.
        minimum: above 1/2 for an outcome of 0 and 1, above 0 for numbers.
        sign: 1 where larger predictors mean larger outcomes, -1 where smaller ones do.
    """

    measure: str
    predictor: str
    minimum: float
    where: Mapping[str, Any] = field(default_factory=dict)
    sign: int = 1

    def __post_init__(self) -> None:
        if self.sign not in (1, -1):
            raise bad_value("rank", "sign", self.sign, "1 or -1")
        if not 0 < self.minimum < 1:
            raise bad_value("rank", "minimum", self.minimum, "a number above 0, below 1")

    def find(self, evidence: Evidence) -> Finding:
        """The statistic, with its interval."""
        rows = evidence.of(self.measure, self.where)
        stated = f"at least {self.minimum:g}"
        if rows.empty:
            return Finding.missing("rank statistic", stated)
        known = (
            rows[self.predictor] if self.predictor in rows.columns else rows["cell"].map(evidence.fact(self.predictor))
        )
        rows = rows.assign(x=self.sign * known.astype(float)).dropna(subset=["x"])
        if set(rows["value"].unique()) <= {0.0, 1.0}:
            return self._area(rows.groupby("cell")[["x", "value"]].mean(), stated)
        return self._correlation(rows["x"].to_numpy(float), rows["value"].to_numpy(float), stated)

    def _area(self, cells: Any, stated: str) -> Finding:
        arms = [cells.x[cells.value > 0.5].to_numpy(), cells.x[cells.value <= 0.5].to_numpy()]
        m, n = map(len, arms)
        if not (m and n):
            return Finding.missing("probability of the larger predictor", stated, min(m, n))
        found = probability_of_improvement(*arms)
        p, against = (
            float(tail((found.estimate - t) / math.sqrt(newcombe_variance(t, m, n))))
            for t, tail in ((0.5, scipy.stats.norm.sf), (self.minimum, scipy.stats.norm.cdf))
        )
        return Finding(
            found.estimate, found.low, found.high, "probability of the larger predictor", stated, p, against,
            found.estimate >= self.minimum, m + n,
        )  # fmt: skip

    def _correlation(self, x: np.ndarray, y: np.ndarray, stated: str) -> Finding:
        n, estimate = len(x), rank_correlation(x, y)
        if n < 5 or math.isnan(estimate):
            return Finding.missing("rank correlation", stated, n)
        z, error = math.atanh(min(max(estimate, -0.9999), 0.9999)), math.sqrt(1.06 / (n - 3))
        low, high = (math.tanh(z + side * 1.96 * error) for side in (-1, 1))
        p = float(scipy.stats.norm.sf(z / error))
        against = float(scipy.stats.norm.cdf((z - math.atanh(self.minimum)) / error))
        return Finding(estimate, low, high, "rank correlation", stated, p, against, estimate >= self.minimum, n)
