"""How a measure changes with depth, width or another number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from initsuite.errors import bad_value
from initsuite.literature.criteria.base import OfOneMeasure
from initsuite.literature.criteria.student import Mean
from initsuite.literature.evidence import Evidence
from initsuite.literature.verdict import Finding

FEWEST = 3
"""Values of the axis from which there is a slope to speak of."""


@dataclass(frozen=True)
class Slope(OfOneMeasure):
    """The least-squares slope of a measure over an axis is between `low` and `high`.

    One slope for each seed, and Student's two one-sided tests of their mean: reproduced where both reject, not
    reproduced where one shows the slope beyond a limit. A number of steps that is not reached counts as the budget, so
    that a slope of steps is a lower bound there.

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
        mean = Mean.of(slopes)
        limits = self.low, self.high
        return Finding(
            mean.estimate, *mean.interval, unit, stated, mean.inside(*limits), mean.outside(*limits), num=mean.num,
            needed=mean.needed(*limits),
        )  # fmt: skip

    def _slopes(self, evidence: Evidence) -> np.ndarray:
        rows = evidence.of(self.measure, self.where)
        if rows.empty:
            return np.array([])
        y = rows["value"].where(np.isfinite(rows["value"]), rows["cell"].map(evidence.budget).astype(float))
        x = rows["cell"].map(lambda cell: float(evidence.facts[str(cell)][self.over]))
        if self.logs:
            x, y = np.log(x), np.log(y.where(y > 0))
        points = rows.assign(x=x, y=y).dropna(subset=["x", "y"])
        groups = [group for _, group in points.groupby("seed") if group["x"].nunique() >= FEWEST]
        return np.array([np.polyfit(group["x"], group["y"], 1)[0] for group in groups])
