"""A number at step 0 against its closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from initsuite.errors import check_number, unknown_choice
from initsuite.literature.criteria.base import OfOneMeasure
from initsuite.literature.evidence import Evidence
from initsuite.literature.verdict import Finding, Verdict

FEWEST_DRAWS = 20
PRECISE = 4
"""Three standard errors may be this many times the tolerance; beyond that nothing could fail, and more draws are
needed."""
STATISTICS = ("mean", "variance")


@dataclass(frozen=True)
class ClosedForm(OfOneMeasure):
    """|statistic - theory| <= max(3 standard errors, tolerance x |theory|), from at least 20 draws.

    Where the theory is 0 the tolerance is absolute, in the unit of the measure.

    Reproduced where that holds and three standard errors are at most four tolerances; not reproduced where it does not
    hold; inconclusive with fewer draws, or less precise ones. The standard error of a variance is that of its fourth
    moment.

    False alarms, *not reproduced* where the theory is exact, 20 normal draws with a standard deviation of the theory /
    4: 0.005.

    Args:
        measure: the column; one value a draw.
        where: the cells.
        theory: a number, or the column that holds it.
        tolerance: above 0; relative, but of a theory of 0 absolute.
        statistic: mean or variance, over the draws.
    """

    measure: str
    where: Mapping[str, Any]
    theory: float | str
    tolerance: float = 0.05
    statistic: str = "mean"

    def __post_init__(self) -> None:
        check_number("closed_form", "tolerance", self.tolerance, above=0)
        if not isinstance(self.theory, str):
            check_number("closed_form", "theory", self.theory)
        if self.statistic not in STATISTICS:
            raise unknown_choice("closed_form", "statistic", self.statistic, STATISTICS)

    @property
    def measures(self) -> list[str]:
        return [*super().measures, *([self.theory] if isinstance(self.theory, str) else [])]

    def find(self, evidence: Evidence) -> Finding:
        """The statistic, and three standard errors on each side."""
        rows = evidence.of(self.measure, self.where)
        values = rows["value"].to_numpy()
        theory = float(rows[self.theory].mean()) if isinstance(self.theory, str) and len(rows) else self.theory
        near = f"{self.tolerance:.0%}" if theory else f"{self.tolerance:g}"
        stated = f"{theory:.4g} within {near}" if not isinstance(theory, str) else "theory"
        if len(values) < 2 or isinstance(theory, str):
            return Finding.missing(self.measure, stated, len(values))
        if isinstance(self.theory, str):  # of each draw its own
            values = values - rows[self.theory].to_numpy(float) + theory
        estimate, error = _statistic(values, self.statistic)
        allowed = self.tolerance * (abs(theory) or 1.0)
        needed = None
        if len(values) < FEWEST_DRAWS:
            rule, needed = Verdict.INCONCLUSIVE, FEWEST_DRAWS
        elif not abs(estimate - theory) <= max(3 * error, allowed):
            rule = Verdict.NOT_REPRODUCED
        elif 3 * error <= PRECISE * allowed:
            rule = Verdict.REPRODUCED
        else:
            rule, needed = Verdict.INCONCLUSIVE, math.ceil(len(values) * (3 * error / (PRECISE * allowed)) ** 2)
        unit = f"{self.measure}, {self.statistic} of draws"
        return Finding(
            estimate,
            estimate - 3 * error,
            estimate + 3 * error,
            unit,
            stated,
            num=len(values),
            needed=needed,
            rule=rule,
        )


def _statistic(values: np.ndarray, statistic: str) -> tuple[float, float]:
    """The statistic and its standard error; infinite where a draw overflowed."""
    if not np.isfinite(values).all():
        return math.inf, 0.0
    n, variance = len(values), float(values.var(ddof=1))
    if statistic == "mean":
        return float(values.mean()), math.sqrt(variance / n)
    fourth = float(((values - values.mean()) ** 4).mean())
    return variance, math.sqrt(max(fourth - variance**2 * (n - 3) / (n - 1), 0.0) / n)
