"""One arm starts to train and the other does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import scipy

from initsuite.errors import check_number
from initsuite.literature.criteria.base import OfOneMeasure
from initsuite.literature.evidence import Evidence
from initsuite.literature.verdict import ALPHA, Finding

MOST_NEEDED = 200
"""Trials of an arm up to which it is looked how many would decide."""


@dataclass(frozen=True)
class Starts(OfOneMeasure):
    """The share of trials of one arm that train is higher than that of the other, by at least `minimum`.

    Reproduced by Fisher's exact test, one-sided: with five trials each, 5 against at most 1 or 4 against 0; with six, 6
    against at most 2, 5 against 1 (p = 0.040) and 5 against 0; with eight, 8 against at most 4 (p = 0.038), 7 against
    2, 6 against 1. Not reproduced where the difference is smaller than `minimum` (Agresti and Caffo's score with a
    continuity correction of half a trial, one-sided), or the reverse.

    False alarms with eight trials each: *reproduced* where both arms train with probability 1/2: 0.013; *not
    reproduced* where the difference is 0.5, from 0.25 to 0.75: 0.029, and at most 0.055 for 5 to 12 trials and any such
    shares.

    Args:
        more, fewer: the cells of the two arms.
        minimum: of the difference of the shares, above 0.
        measure: a column of 0 and 1.

    References:
        R. A. Fisher, The Design of Experiments (1935), section 11. Agresti and Caffo 2000, Simple and effective
        confidence intervals for proportions and differences of proportions, The American Statistician 54.
    """

    more: Mapping[str, Any]
    fewer: Mapping[str, Any]
    minimum: float = 0.5
    measure: str = "trains"

    def __post_init__(self) -> None:
        check_number("starts", "minimum", self.minimum, above=0)

    def find(self, evidence: Evidence) -> Finding:
        """The difference of the shares."""
        arms = [evidence.of(self.measure, arm)["value"].to_numpy() for arm in (self.more, self.fewer)]
        counts, sizes = [int(arm.sum()) for arm in arms], [len(arm) for arm in arms]
        stated = f"at least {self.minimum:g} more"
        unit = "difference of the shares that train" if self.measure == "trains" else f"difference, {self.measure}"
        if not all(sizes):
            return Finding.missing(unit, stated)
        (first, second), (m, n) = counts, sizes
        p = _fisher(first, m, second, n)
        centre, spread = _agresti_caffo(first, m, second, n)
        against = self._smaller(centre, spread, min(sizes))
        reach = float(scipy.stats.norm.ppf(1 - ALPHA / 2)) * spread
        estimate = first / m - second / n
        return Finding(
            estimate, max(centre - reach, -1.0), min(centre + reach, 1.0), unit, stated, p, min(against, _fisher(second,
            n, first, m)), estimate >= self.minimum, min(sizes), self._needed(counts, sizes),
        )  # fmt: skip

    def _smaller(self, centre: float, spread: float, n: int) -> float:
        return float(scipy.stats.norm.cdf((centre + 0.5 / n - self.minimum) / spread))

    def _needed(self, counts: list[int], sizes: list[int]) -> int | None:
        shares = [count / size for count, size in zip(counts, sizes, strict=True)]
        for n in range(max(sizes) + 1, MOST_NEEDED):
            first, second = (round(share * n) for share in shares)
            centre, spread = _agresti_caffo(first, n, second, n)
            if _fisher(first, n, second, n) <= ALPHA and shares[0] - shares[1] >= self.minimum:
                return n
            if self._smaller(centre, spread, n) <= ALPHA:
                return n
        return None


def _fisher(first: int, m: int, second: int, n: int) -> float:
    """P(at least `first` of the successes in the first arm), given their number."""
    return float(scipy.stats.hypergeom.sf(first - 1, m + n, first + second, m))


def _agresti_caffo(first: int, m: int, second: int, n: int) -> tuple[float, float]:
    """The difference of two shares and its standard error, a success and a failure added to each."""
    shares = (first + 1) / (m + 2), (second + 1) / (n + 2)
    squares = [share * (1 - share) / (size + 2) for share, size in zip(shares, (m, n), strict=True)]
    return shares[0] - shares[1], math.sqrt(sum(squares))
