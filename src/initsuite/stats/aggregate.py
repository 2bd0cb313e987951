"""One number over several workloads: interquartile mean, optimality gap, and an interval for such numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from initsuite.stats.intervals import CONFIDENCE, Interval

RESAMPLES = 2000


def iqm(scores: Sequence[ArrayLike]) -> np.ndarray:
    """Interquartile mean: the mean of all scores without their lowest and highest quarter.

    Of N scores the floor(N / 4) lowest and as many of the highest are left out. All scores are pooled, so that a
    workload with more seeds weighs more.

    Args:
        scores: one [..., seed] for each workload, on one scale, higher is better; finite. Axes before the seeds, such
            as the resamples of a bootstrap, are kept.

    Returns:
        [...], a plain number for scores [seed]; NaN for no scores.

    Raises:
        ValueError: a score that is not finite.

    Example:
        >>> float(iqm([[0, 1, 2, 3], [4, 5, 6, 100]]))
        3.5

    References:
        R. Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS (2021),
        section 4.3.
    """
    pooled = _pooled("iqm", scores)
    n = pooled.shape[-1]
    if n == 0:
        return np.full(pooled.shape[:-1], math.nan)[()]
    return np.sort(pooled, axis=-1)[..., n // 4 : n - n // 4].mean(axis=-1)


def optimality_gap(scores: Sequence[ArrayLike], goal: float = 1.0) -> np.ndarray:
    """How far the scores fall short of the goal: the mean of max(0, goal - score), ideally 0.

    Scores beyond the goal do not make up for those below. All scores are pooled, as in `iqm`.

    Args:
        scores: one [..., seed] for each workload, on one scale, higher is better; finite.
        goal: score beyond which more is worth nothing, in the unit of the scores.

    Returns:
        [...], a plain number for scores [seed]; NaN for no scores.

    Raises:
        ValueError: a score that is not finite.

    Example:
        >>> float(optimality_gap([[0.5, 1.0], [1.5, 0.0]]))
        0.375

    References:
        R. Agarwal et al. (2021), as in `iqm`.
    """
    pooled = _pooled("optimality_gap", scores)
    if pooled.shape[-1] == 0:
        return np.full(pooled.shape[:-1], math.nan)[()]
    return np.maximum(0.0, goal - pooled).mean(axis=-1)


def stratified_bootstrap(
    scores: Sequence[ArrayLike],
    statistic: Callable[[Sequence[np.ndarray]], ArrayLike],
    *,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Interval:
    """A statistic of several workloads with its percentile interval, from seeds resampled within each workload.

    The workloads are taken as given: the interval is about other seeds on these, not about other workloads.

    Measured coverage of the IQM (n = 6 / 10 / 30): normal .927 / .934 / .953, 20 % failures .928 / .939 / .947.
    Measured coverage of the optimality gap (n = 6 / 10 / 30): normal .912 / .925 / .947,
    20 % failures .911 / .920 / .944.
    The scores are those of `mean_interval` on 5 workloads. With few seeds a bootstrap covers less than it promises: it
    takes the spread of n seeds for that of the law, too small by a factor of sqrt((n - 1)/n), and has no t to make up
    for that.

    Args:
        scores: one [seed] for each workload; finite. With a single seed in any workload there is no interval.
        statistic: from one [..., seed] for each workload to [...], such as `iqm`.
        rng: draws the seeds.
        confidence: between 0 and 1.
        resamples: at least 1.

    Raises:
        ValueError: a score that is not finite, a workload without scores beside others that have some, a statistic
            that keeps the seeds or drops the resamples, a confidence or a number of resamples out of range.

    Example:
        >>> interval = stratified_bootstrap([[0.7, 0.8, 0.9], [0.2, 0.3]], iqm, rng=np.random.default_rng(0))
        >>> round(interval.estimate, 3), interval.low < interval.estimate < interval.high
        (0.6, True)

    References:
        R. Agarwal et al. (2021), as in `iqm`, section 4.1. B. Efron and R. J. Tibshirani, An Introduction to the
        Bootstrap (1993), section 13.3.
    """
    workloads = [np.asarray(workload, dtype=float) for workload in scores]
    pooled = _pooled("stratified_bootstrap", workloads)
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(
            f"stratified_bootstrap: bad `confidence`={confidence!r}, `resamples`={resamples!r}. Expected a number "
            f"between 0 and 1, such as {CONFIDENCE}, and a whole number from 1, such as {RESAMPLES}."
        )
    if pooled.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0.0, 0)
    sizes = [len(workload) for workload in workloads]
    if pooled.ndim != 1 or min(sizes) == 0:
        raise ValueError(
            f"stratified_bootstrap: bad `scores` of shapes {[workload.shape for workload in workloads]}. Expected one "
            "[seed] for each workload, none empty. Leave out a workload without scores."
        )
    estimate = float(np.asarray(statistic(workloads)))
    if min(sizes) == 1:
        return Interval(estimate, math.nan, math.nan, 0.0, len(pooled))
    if all(np.ptp(workload) == 0 for workload in workloads):
        return Interval(estimate, estimate, estimate, confidence, len(pooled))
    drawn = [workload[rng.integers(len(workload), size=(resamples, len(workload)))] for workload in workloads]
    values = np.asarray(statistic(drawn))
    if values.shape != (resamples,):
        raise ValueError(
            f"stratified_bootstrap: bad `statistic` with a value of shape {values.shape}. Expected ({resamples},), "
            "from one [resample, seed] for each workload. Reduce the last axis only."
        )
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return Interval(estimate, low, high, confidence, len(pooled))


def _pooled(where: str, scores: Sequence[ArrayLike]) -> np.ndarray:
    """[..., seed of any workload]"""
    workloads = [np.asarray(workload, dtype=float) for workload in scores]
    pooled = np.concatenate(workloads, axis=-1) if workloads else np.zeros(0)
    if not np.isfinite(pooled).all():
        raise ValueError(
            f"{where}: bad `scores` with {int((~np.isfinite(pooled)).sum())} not finite. Expected finite numbers, one "
            "[seed] for each workload. Count a diverged trial as chance."
        )
    return pooled
