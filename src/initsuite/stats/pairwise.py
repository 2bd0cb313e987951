"""Comparisons of two arms, and of a leader against each of the others."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import ArrayLike

from initsuite.stats.intervals import CONFIDENCE, Interval

EXACT_UP_TO = 16
"""Pairs up to which all 2^n sign flips are counted; beyond, they are drawn."""
MONTE_CARLO_FLIPS = 100_000
_CHUNKS = 10
"""Drawn flips are held a tenth at a time: about 16 MB at 100 pairs."""
_ROUNDING = 1e-12
"""Relative: sums of the same numbers in a different order count as equal."""
_INSIDE = 1e-9
"""Distance from 0 and 1 at which the search for a bound ends."""


def probability_of_improvement(x: ArrayLike, y: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """P(X > Y) + P(X = Y) / 2 over all pairs, with Newcombe's interval.

    The bounds are the roots t of |t - p| = z sqrt(V(t)) with
    V(t) = t (1 - t) (1 + N (1 - t)/(2 - t) + N t/(1 + t)) / (m n), N = (m + n)/2 - 1.
    Like Wilson's for a proportion, they stay in [0, 1] and have a width even at p = 0 and 1.

    Measured coverage (n = 6 / 10 / 30): normal .958 / .956 / .955, 20 % failures .947 / .947 / .944. The laws are those
    of `mean_interval`, the arms one (normal) standard deviation apart; failures of both arms tie. The method is
    approximate.

    Args:
        x: [seed], higher is better; infinities are allowed and tie with their equals.
        y: [seed], higher is better.
        confidence: between 0 and 1.

    Raises:
        ValueError: a NaN among the values.

    Example:
        >>> probability_of_improvement([3, 4], [1, 3]).estimate
        0.875

    References:
        R. G. Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2,
        Statistics in Medicine 25 (2006), method 5.
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("probability_of_improvement: a NaN in `x` or `y`. Expected numbers. Write a miss as -inf.")
    m, n = len(first), len(second)
    if m == 0 or n == 0:
        return Interval(math.nan, math.nan, math.nan, 0.0, 0)
    greater = first[:, None] > second[None, :]
    equal = first[:, None] == second[None, :]
    estimate = float((greater + 0.5 * equal).mean())
    low, high = _newcombe(estimate, m, n, confidence)
    return Interval(estimate, low, high, confidence, min(m, n))


def newcombe_variance(t: float, m: int, n: int) -> float:
    """V(t) of `probability_of_improvement`, with m values against n.

    Example:
        >>> newcombe_variance(0.5, 1, 1)
        0.25
    """
    extra = (m + n) / 2 - 1
    return t * (1 - t) * (1 + extra * (1 - t) / (2 - t) + extra * t / (1 + t)) / (m * n)


def _newcombe(estimate: float, m: int, n: int, confidence: float) -> tuple[float, float]:
    z_squared = float(scipy.stats.norm.ppf((1 + confidence) / 2)) ** 2

    def excess(t: float) -> float:
        return (t - estimate) ** 2 - z_squared * newcombe_variance(t, m, n)

    # 0 and 1 are roots of V: if the estimate is one of them, look for the other root, inside.
    low = 0.0 if estimate == 0 else _root(excess, 0.0, min(estimate, 1 - _INSIDE))
    high = 1.0 if estimate == 1 else _root(excess, max(estimate, _INSIDE), 1.0)
    return low, high


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    root = scipy.optimize.brentq(function, low, high)
    return float(root)  # pyright: ignore[reportArgumentType]: with full_output it is a pair


def sign_flip_test(differences: ArrayLike, *, rng: np.random.Generator) -> float:
    """Two-sided p-value of "the differences are symmetric about 0", by flipping their signs.

    p = share of the sign patterns s with |sum s_i d_i| >= |sum d_i|: among all 2^n up to `EXACT_UP_TO` pairs, else
    (1 + hits) / (1 + `MONTE_CARLO_FLIPS`) among drawn ones. The smallest possible p is 2^(1 - n).

    Args:
        differences: [seed], of two arms on the same seed; finite, zeros included. An empty sample gives p = 1.
        rng: draws the patterns beyond `EXACT_UP_TO` pairs.

    Raises:
        ValueError: a difference that is not finite.

    Example:
        >>> sign_flip_test([1, 2, 3, 4, 5, 6], rng=np.random.default_rng(0))
        0.03125

    References:
        R. A. Fisher, The Design of Experiments (1935), section 21.
    """
    d = np.asarray(differences, dtype=float)
    if d.ndim != 1 or not np.isfinite(d).all():
        raise ValueError(
            f"sign_flip_test: bad `differences`={d.tolist()}. Expected finite numbers, [seed]. "
            "Count a miss as one evaluation beyond the budget."
        )
    threshold = abs(d.sum()) - _ROUNDING * np.abs(d).sum()
    if len(d) <= EXACT_UP_TO:
        patterns = _every_pattern(len(d))
        return float((np.abs(patterns @ d) >= threshold).mean())
    hits = 0
    for _ in range(_CHUNKS):
        patterns = rng.choice((1.0, -1.0), size=(MONTE_CARLO_FLIPS // _CHUNKS, len(d)))
        hits += int((np.abs(patterns @ d) >= threshold).sum())
    return (1 + hits) / (1 + MONTE_CARLO_FLIPS)


@functools.cache
def _every_pattern(num_pairs: int) -> np.ndarray:
    """All patterns of signs, [2^pair, pair]."""
    bits = np.arange(2**num_pairs)[:, None] >> np.arange(num_pairs)
    return 1.0 - 2.0 * (bits & 1)


def smallest_p(num_pairs: int) -> float:
    """The smallest two-sided p-value that `sign_flip_test` can give: 2^(1 - n).

    Example:
        >>> smallest_p(3), smallest_p(6)
        (0.25, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - num_pairs))


def pairs_to_decide(num_comparisons: int, alpha: float = 1 - CONFIDENCE) -> int:
    """The fewest pairs with which each comparison of a family could be claimed after Holm's adjustment.

    Example:
        >>> pairs_to_decide(1), pairs_to_decide(4)
        (6, 8)
    """
    pairs = 1
    while num_comparisons * smallest_p(pairs) > alpha:
        pairs += 1
    return pairs


def holm(p_values: ArrayLike, family: int | None = None) -> np.ndarray:
    """Holm's step-down adjustment: max over j <= i of (m - j + 1) p_(j), at most 1.

    Args:
        p_values: [comparison], the whole family.
        family: how many tests m there are, if these are only some of them: those that the data chose to look at. None:
            these are all.

    Returns:
        [comparison], in the given order; claims at adjusted p <= alpha are wrong with probability at most alpha.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
        >>> holm([0.01, 0.02], family=6).round(3).tolist()
        [0.06, 0.1]

    References:
        S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6 (1979).
    """
    return _adjusted(p_values, np.maximum.accumulate, family)


def hochberg(p_values: ArrayLike) -> np.ndarray:
    """Hochberg's step-up adjustment: min over j >= i of (m - j + 1) p_(j), at most 1.

    Never larger than Holm's, and no larger than the largest p-value: where all tests agree that there is something,
    their number costs nothing. Holm's has no such mercy on exact tests of few pairs, whose smallest p-value times m may
    exceed any level. It needs tests that are independent or depend positively, as those of contexts that share seeds.

    Args:
        p_values: [comparison], the whole family.

    Returns:
        As `holm`.

    Example:
        >>> hochberg([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.04, 0.04]

    References:
        Y. Hochberg, A sharper Bonferroni procedure for multiple tests of significance, Biometrika 75 (1988).
    """
    return _adjusted(p_values, lambda values: np.minimum.accumulate(values[::-1])[::-1])


def _adjusted(
    p_values: ArrayLike, accumulate: Callable[[np.ndarray], np.ndarray], family: int | None = None
) -> np.ndarray:
    """(m - i + 1) p_(i), made monotonic from one side, at most 1, in the given order."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    factors = (family or len(p)) - np.arange(len(p))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, accumulate(factors * p[order]))
    return adjusted
