"""Mean ranks of several arms over workloads: whether they differ at all, and which of them do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from initsuite.stats.intervals import CONFIDENCE

_ROUNDING = 1e-12
"""Relative: this close to full agreement counts as full agreement."""


@dataclass(frozen=True)
class FriedmanResult:
    """Whether several arms differ over workloads.

    Attributes:
        chi_squared: Friedman's statistic, 0 to n (k - 1), corrected for ties.
        p_chi_squared: p-value of it by the chi-squared law, rough below about 10 workloads.
        f: statistic of Iman and Davenport; infinite if all workloads rank the arms alike.
        p_f: p-value of `f`, never below that of full agreement.
        mean_ranks: [arm], 1 is best.
    """

    chi_squared: float
    p_chi_squared: float
    f: float
    p_f: float
    mean_ranks: np.ndarray


def friedman_test(scores: ArrayLike) -> FriedmanResult:
    """Friedman's test of "every workload ranks the k arms at random", with the statistic of Iman and Davenport.

    With ranks r_(w,a) (ties share their mean rank), mean ranks R_a and m = (k + 1)/2, over n workloads,
    chi2 = n^2 (k - 1) sum_a (R_a - m)^2 / sum_(w,a) (r_(w,a) - m)^2, which corrects for ties, and
    F = (n - 1) chi2 / (n (k - 1) - chi2), with k - 1 and (k - 1)(n - 1) degrees of freedom.
    Where all workloads rank the arms alike F is infinite, and the p of 0 that its law gives would be wrong: by chance
    this happens with probability (1/k!)^(n-1). No table has a smaller exact p, so `p_f` is never below that; ties,
    which leave fewer different orders, raise this floor. Where every workload ties all arms: chi2 = F = 0, p = 1.

    Args:
        scores: [workload, arm], higher is better; infinities are allowed and tie with their equals.

    Raises:
        ValueError: fewer than two workloads or two arms, a NaN.

    Example:
        >>> result = friedman_test([[0.9, 0.8, 0.1], [0.7, 0.5, 0.2], [0.6, 0.5, 0.4]])
        >>> result.mean_ranks.tolist(), round(result.chi_squared, 3), result.f, round(result.p_f, 4)
        ([1.0, 2.0, 3.0], 6.0, inf, 0.0278)

    References:
        M. Friedman, The use of ranks to avoid the assumption of normality, J. American Statistical Association 32
        (1937). R. L. Iman and J. M. Davenport, Approximations of the critical region of the Friedman statistic,
        Communications in Statistics A 9 (1980). J. Demsar, Statistical Comparisons of Classifiers over Multiple Data
        Sets, J. Machine Learning Research 7 (2006), section 3.2.2.
    """
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or min(table.shape) < 2 or np.isnan(table).any():
        raise ValueError(
            f"friedman_test: bad `scores` of shape {table.shape} with {int(np.isnan(table).sum())} NaN. Expected "
            "[workload, arm] without NaN, at least two of each. Leave out workloads that lack an arm."
        )
    n, k = table.shape
    ranks = scipy.stats.rankdata(-table, axis=1)
    mean_ranks = ranks.mean(axis=0)
    spread = float(((ranks - (k + 1) / 2) ** 2).sum())
    if spread == 0:
        return FriedmanResult(0.0, 1.0, 0.0, 1.0, mean_ranks)
    largest = n * (k - 1)
    chi_squared = min(float(largest * n * ((mean_ranks - (k + 1) / 2) ** 2).sum() / spread), largest)
    is_full_agreement = largest - chi_squared <= _ROUNDING * largest
    f = math.inf if is_full_agreement else (n - 1) * chi_squared / (largest - chi_squared)
    return FriedmanResult(
        chi_squared,
        float(scipy.stats.chi2.sf(chi_squared, k - 1)),
        f,
        max(float(scipy.stats.f.sf(f, k - 1, (k - 1) * (n - 1))), _smallest_p(ranks)),
        mean_ranks,
    )


def _smallest_p(ranks: np.ndarray) -> float:
    """A bound below every exact p of tables with these ties: at least k!/(min_w m_w) of the prod_w k!/m_w tables, the
    relabelings of one, share its statistic. m_w is the product of the factorials of the sizes of the ties of w."""
    num_orders = math.factorial(ranks.shape[1])
    ties = [math.prod(math.factorial(size) for size in np.unique(row, return_counts=True)[1].tolist()) for row in ranks]
    return math.prod(size / num_orders for size in sorted(ties)[1:])


def critical_difference(num_arms: int, num_workloads: int, confidence: float = CONFIDENCE) -> float:
    """Nemenyi's critical difference: two of k arms differ if their mean ranks over n workloads differ by more.

    CD = q sqrt(k (k + 1) / (6 n)), q the quantile of the studentized range of k values over sqrt(2).

    Args:
        num_arms: at least 2.
        num_workloads: at least 1; the normal law behind it needs about 12 with 5 arms.
        confidence: between 0 and 1, probability that no pair is wrongly called different.

    Returns:
        In ranks.

    Raises:
        ValueError: too few arms or workloads, a confidence out of range.

    Example:
        >>> round(critical_difference(4, 14), 2)  # as in the example of the reference
        1.25

    References:
        J. Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, J. Machine Learning Research 7
        (2006), section 3.2.2 and table 5.
    """
    if num_arms < 2 or num_workloads < 1:
        raise ValueError(
            f"critical_difference: bad `num_arms`={num_arms}, `num_workloads`={num_workloads}. Expected at least 2 "
            "arms and 1 workload. A rank needs something to be compared with."
        )
    if not 0 < confidence < 1:
        raise ValueError(
            f"critical_difference: bad `confidence`={confidence!r}. Expected a number between 0 and 1, such as 0.95."
        )
    q = float(scipy.stats.studentized_range.ppf(confidence, num_arms, math.inf)) / math.sqrt(2)
    return q * math.sqrt(num_arms * (num_arms + 1) / (6 * num_workloads))


def cliques(mean_ranks: ArrayLike, cd: float) -> list[tuple[int, ...]]:
    """The bars of a critical-difference diagram: groups of arms whose mean ranks lie within `cd`, none inside another.

    Args:
        mean_ranks: [arm].
        cd: critical difference, in ranks; at least 0.

    Returns:
        Groups of two arms or more, as indices by rising mean rank; an arm that differs from all others is in none.

    Raises:
        ValueError: a rank that is not finite, a negative or missing critical difference.

    Example:
        >>> cliques([3.5, 1.0, 2.0, 2.5], cd=1.5)
        [(1, 2, 3), (2, 3, 0)]
    """
    r = np.asarray(mean_ranks, dtype=float)
    if r.ndim != 1 or not np.isfinite(r).all():
        raise ValueError(
            f"cliques: bad `mean_ranks`={r.tolist()}. Expected finite numbers, [arm]. Take them from friedman_test."
        )
    if not cd >= 0:
        raise ValueError(f"cliques: bad `cd`={cd!r}. Expected a number from 0. Take it from critical_difference.")
    order = np.argsort(r, kind="stable")
    ends = np.searchsorted(r[order], r[order] + cd + _ROUNDING * len(r), side="right")
    # A later group lies inside an earlier one where it ends no further.
    starts = [i for i, end in enumerate(ends) if end - i > 1 and (i == 0 or end > ends[i - 1])]
    return [tuple(order[start : ends[start]].tolist()) for start in starts]
