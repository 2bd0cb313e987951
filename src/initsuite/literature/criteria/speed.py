"""One arm needs fewer steps to a level than the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy

from initsuite.errors import check_number
from initsuite.literature.criteria.base import OfOneMeasure, by_range
from initsuite.literature.criteria.student import Mean
from initsuite.literature.evidence import Evidence
from initsuite.literature.verdict import Finding


@dataclass(frozen=True)
class Speed(OfOneMeasure):
    """The steps of the slower arm are at least `ratio` times those of the faster one.

    Reproduced by a permutation test of the mean log steps, one-sided and exact up to eight seeds each, if the ratio of
    geometric means is as large as stated. A trial that does not reach the level counts as censored at the budget, so
    that the ratio of a slower arm that does not is a lower bound. Not reproduced where the ratio is smaller than
    stated: by Welch's test of the logs, one-sided; where the slower arm has censored trials, by that of Mann and
    Whitney, with these as the slowest of all, as a ratio with nothing but a lower bound cannot be called small.

    False alarms with eight seeds each, log steps of standard deviation 0.2: *reproduced* where the arms are equal and
    any ratio is stated: 0.05; *not reproduced* where the ratio is as stated: 0.05.

    Args:
        faster, slower: the cells of the two arms.
        ratio: from 1.
        measure: the column of steps.
    """

    faster: Mapping[str, Any]
    slower: Mapping[str, Any]
    ratio: float
    measure: str = "steps"

    def __post_init__(self) -> None:
        check_number("speed", "ratio", self.ratio, minimum=1)

    def find(self, evidence: Evidence) -> Finding:
        """The ratio of steps, with its interval."""
        arms = [evidence.by_seed(self.measure, arm, log=True).to_numpy(float) for arm in (self.faster, self.slower)]
        stated, unit = f"at least {self.ratio:g} times", "times the steps"
        if min(map(len, arms)) < 2:
            return Finding.missing(unit, stated, min(map(len, arms)))
        if not all(np.isfinite(arm).all() for arm in arms):
            with np.errstate(invalid="ignore"):
                ratios = np.exp(np.subtract.outer(arms[1], arms[0])).ravel()
            return replace(by_range(ratios, self.ratio, math.inf, unit, stated), num=min(map(len, arms)))
        gap = Mean.difference(arms[1], arms[0])
        limit = math.log(self.ratio)
        low, high = gap.interval
        found = Finding(
            math.exp(gap.estimate), math.exp(low), math.exp(high), unit, stated, _permuted(arms[0], arms[1]),
            against=gap.below(limit), is_large=gap.estimate >= limit, num=gap.num, needed=gap.needed(limit),
        )  # fmt: skip
        steps = evidence.by_seed(self.measure, self.slower).to_numpy(float)
        if np.isfinite(steps).all():
            return found
        against = scipy.stats.mannwhitneyu(np.log(steps), arms[0] + limit, alternative="less").pvalue
        return replace(found, high=math.inf, against=float(against), needed=None)


MOST_PATTERNS = 20_000
"""Up to so many ways to divide the trials, the test is exact."""


def _permuted(faster: np.ndarray, slower: np.ndarray) -> float:
    """P(a difference of means this large), the trials divided at random between the arms."""
    if np.ptp(np.concatenate([faster, slower])) == 0:
        return 1.0
    ways = math.comb(len(faster) + len(slower), len(faster))
    found = scipy.stats.permutation_test(
        (slower, faster),
        lambda first, second, axis: first.mean(axis) - second.mean(axis),
        n_resamples=math.inf if ways <= MOST_PATTERNS else MOST_PATTERNS,
        vectorized=True,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
