"""Performance profiles: the share of workloads on which an arm is within a factor of the fastest."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

AREA_UP_TO = 4.0
"""Factor of the fastest arm's time beyond which a time earns nothing, as in AlgoPerf."""


def performance_ratios(times: ArrayLike) -> np.ndarray:
    """r_(s,w) = t_(s,w) / min over s' of t_(s',w): 1 for the fastest arm of a workload.

    Args:
        times: [arm, workload], positive, lower is better; a miss is `inf`.

    Returns:
        [arm, workload]; `inf` for a miss, also where every arm misses.

    Raises:
        ValueError: no arm or no workload, a NaN, a time that is not positive.

    Example:
        >>> performance_ratios([[100, 300], [200, float("inf")]]).tolist()
        [[1.0, 1.0], [2.0, inf]]

    References:
        E. D. Dolan and J. J. More, Benchmarking optimization software with performance profiles, Mathematical
        Programming 91 (2002), section 2.
    """
    t = np.asarray(times, dtype=float)
    if t.ndim != 2 or t.size == 0 or not (t > 0).all():
        raise ValueError(
            f"performance_ratios: bad `times` of shape {t.shape} with {int((~(t > 0)).sum())} NaN or not positive. "
            "Expected positive numbers, [arm, workload], at least one of each. Write a miss as inf."
        )
    fastest = np.broadcast_to(t.min(axis=0), t.shape)
    return np.divide(t, fastest, out=np.full_like(t, math.inf), where=np.isfinite(fastest))


def performance_profile(times: ArrayLike, taus: ArrayLike) -> np.ndarray:
    """rho_s(tau): the share of workloads on which the arm's time is at most tau times the fastest.

    Arms that tie for the fastest all count at tau = 1. A miss counts at no tau, also where every arm misses.

    Args:
        times: [arm, workload], positive, lower is better; a miss is `inf`.
        taus: [tau], factors from 1; `inf` gives the share of workloads without a miss.

    Returns:
        [arm, tau], 0 to 1.

    Raises:
        ValueError: bad times as in `performance_ratios`, a NaN among the factors.

    Example:
        >>> performance_profile([[100, 300], [200, 300]], [1, 2]).tolist()
        [[1.0, 1.0], [0.5, 1.0]]
    """
    ratios, factors = performance_ratios(times), np.asarray(taus, dtype=float)
    if factors.ndim != 1 or np.isnan(factors).any():
        raise ValueError(
            f"performance_profile: bad `taus`={factors.tolist()}. Expected numbers, [tau]. Start from 1, the fastest."
        )
    within = (ratios[:, :, None] <= factors) & np.isfinite(ratios)[:, :, None]
    return within.mean(axis=1)


def profile_area(times: ArrayLike, up_to: float = AREA_UP_TO) -> np.ndarray:
    """Mean height of the profile between tau = 1 and `up_to`: mean over workloads of max(0, up_to - r) / (up_to - 1).

    1 for an arm that is fastest on every workload, 0 for one that never comes within `up_to` of it.

    Args:
        times: [arm, workload], positive, lower is better; a miss is `inf`.
        up_to: above 1.

    Returns:
        [arm], 0 to 1.

    Raises:
        ValueError: bad times as in `performance_ratios`, a factor that is not above 1 and finite.

    Example:
        >>> profile_area([[100, 300], [200, float("inf")]]).round(3).tolist()
        [1.0, 0.333]

    References:
        G. E. Dahl et al., Benchmarking Neural Network Training Algorithms (2023).
    """
    if not 1 < up_to < math.inf:
        raise ValueError(
            f"profile_area: bad `up_to`={up_to!r}. Expected a finite factor above 1. {AREA_UP_TO:g} is usual."
        )
    return (np.maximum(0.0, up_to - performance_ratios(times)) / (up_to - 1)).mean(axis=1)
