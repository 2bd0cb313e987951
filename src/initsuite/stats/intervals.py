"""Intervals for one sample of seeds: medians and times, means, rates. They hold for a handful of seeds."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
COVERAGE_SLACK = 0.02
"""How far the widest interval of a median may fall short of the confidence: 5 seeds reach 93.75 %, 4 only 87.5 %."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its bounds.

    Attributes:
        estimate: in the unit of the sample; NaN for an empty sample.
        low: lower bound; NaN where the sample is too small for an interval.
        high: upper bound; NaN as `low`, infinite where misses reach it.
        coverage: probability that such an interval holds the true value; where there is none, that of the widest one.
        num_values: size of the sample.
    """

    estimate: float
    low: float
    high: float
    coverage: float
    num_values: int

    @property
    def exists(self) -> bool:
        """Whether the sample was large enough for bounds."""
        return not (math.isnan(self.low) or math.isnan(self.high))


MISSING = Interval(math.nan, math.nan, math.nan, 0.0, 0)
"""The interval of what was not measured."""


def median_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """The median with its order-statistic interval, which assumes nothing about the distribution.

    The bounds are x_(k) and x_(n+1-k) of the sorted sample; the number of values below the true median is
    Binomial(n, 1/2), so the coverage is 1 - 2 P(B < k) (at least that where values tie). k is the largest that reaches
    `confidence`. Where even k = 1 falls short by more than `COVERAGE_SLACK`, there is no interval.

    Measured coverage (n = 6 / 10 / 30): normal .969 / .979 / .957, 20 % failures .969 / .979 / .957. It is the same for
    any continuous law, with or without misses.

    Args:
        values: [seed]; a miss is `inf` and is kept.
        confidence: between 0 and 1.

    Raises:
        ValueError: a NaN among the values, a confidence out of range.

    Example:
        >>> median_interval([820, 860, 900, 910, 1000, float("inf")])
        Interval(estimate=905.0, low=820.0, high=inf, coverage=0.96875, num_values=6)

    References:
        H. A. David and H. N. Nagaraja, Order Statistics, 3rd ed. (2003), section 7.1.
    """
    sample = np.sort(_sample("median_interval", values, confidence))
    n = len(sample)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0.0, 0)
    middle = float((sample[(n - 1) // 2] + sample[n // 2]) / 2)
    k, coverage = _order_statistic(n, confidence)
    if coverage < confidence - COVERAGE_SLACK:
        return Interval(middle, math.nan, math.nan, coverage, n)
    return Interval(middle, float(sample[k - 1]), float(sample[n - k]), coverage, n)


@functools.cache
def _order_statistic(n: int, confidence: float) -> tuple[int, float]:
    """The largest k for which x_(k) and x_(n+1-k) reach the confidence, else 1, and their coverage."""
    ranks = np.arange(1, (n + 1) // 2 + 1)
    coverages = 1 - 2 * scipy.stats.binom.cdf(ranks - 1, n, 0.5)
    # 1e-12: a coverage that equals the confidence on paper, as 0.9375 does, must not fail by a rounding.
    good = ranks[coverages >= confidence - 1e-12]
    k = int(good[-1]) if len(good) else 1
    return k, max(0.0, float(coverages[k - 1]))


def mean_interval(
    values: ArrayLike, confidence: float = CONFIDENCE, clip: tuple[float, float] | None = None
) -> Interval:
    """The mean with Student's interval, mean +- t_(n-1) s / sqrt(n).

    Identical values give the degenerate interval; one value gives no interval (NaN bounds, coverage 0).

    Measured coverage (n = 6 / 10 / 30): normal .950 / .950 / .950, 20 % failures .737 / .888 / .938. The failures are
    scores at chance, 0.1 beside 0.8 +- 0.05: where the sample has none, as 26 % of those of 6, the interval does not
    know about them. Below about 30 seeds, trust it only where no arm fails.

    Args:
        values: [seed], finite.
        confidence: between 0 and 1.
        clip: range that bounds cannot leave, such as (0, 1) for an accuracy.

    Raises:
        ValueError: a value that is not finite, a confidence out of range.

    Example:
        >>> mean_interval([0.5, 0.5, 0.5])
        Interval(estimate=0.5, low=0.5, high=0.5, coverage=0.95, num_values=3)
    """
    sample = _sample("mean_interval", values, confidence)
    if not np.isfinite(sample).all():
        raise ValueError(
            f"mean_interval: bad `values`={sample.tolist()}. Expected finite numbers. A mean has no place for misses: "
            "use median_interval."
        )
    n = len(sample)
    if n < 2:
        return Interval(float(sample[0]) if n else math.nan, math.nan, math.nan, 0.0, n)
    if np.ptp(sample) == 0:  # a mean of equal values may differ from them by a rounding
        return Interval(float(sample[0]), float(sample[0]), float(sample[0]), confidence, n)
    mean = float(sample.mean())
    half_width = float(scipy.stats.t.ppf((1 + confidence) / 2, n - 1) * sample.std(ddof=1) / math.sqrt(n))
    low, high = mean - half_width, mean + half_width
    if clip is not None:
        low, high = (min(max(bound, clip[0]), clip[1]) for bound in (low, high))
    return Interval(mean, low, high, confidence, n)


def success_rate(reached: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """The share of seeds that reached a level, with the Clopper-Pearson interval (never below its nominal coverage).

    Measured coverage (n = 6 / 10 / 30): normal .969 / .979 / .957, 20 % failures .983 / .994 / .980. It is exact, for a
    level that half of the normal values reach, and for one that all but the failures do.

    Args:
        reached: [seed], true where the level was reached.
        confidence: between 0 and 1.

    Example:
        >>> rate = success_rate([True] * 6)
        >>> rate.estimate, round(rate.low, 3), rate.high
        (1.0, 0.541, 1.0)
    """
    sample = _sample("success_rate", np.asarray(reached, dtype=bool), confidence)
    n = len(sample)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0.0, 0)
    hits, tail = int(sample.sum()), (1 - confidence) / 2
    low = float(scipy.special.betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(scipy.special.betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return Interval(hits / n, low, high, confidence, n)


def _sample(where: str, values: ArrayLike, confidence: float) -> np.ndarray:
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1 or np.isnan(sample).any():
        raise ValueError(
            f"{where}: bad `values` of shape {sample.shape} with {int(np.isnan(sample).sum())} NaN. Expected one axis "
            "[seed] without NaN. Write a miss as inf."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"{where}: bad `confidence`={confidence!r}. Expected a number between 0 and 1, such as 0.95.")
    return sample
