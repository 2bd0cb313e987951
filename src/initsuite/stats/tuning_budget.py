"""What tuning costs: the best value to expect after part of the lr grid, and the ranges of lrs that train."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def expected_best(values: ArrayLike, budgets: ArrayLike | None = None) -> np.ndarray:
    """The best value to expect after b of the N values of a grid, tried in random order without repetition.

    E(b) = sum over i >= b of v_(i) C(i-1, b-1) / C(N, b), v sorted ascending: the largest of b drawn values is v_(i)
    in C(i-1, b-1) of the C(N, b) subsets. E(1) is the mean, E(N) the maximum, and E never falls.

    Args:
        values: [trial], validation value at each lr of the grid, higher is better; finite.
        budgets: [budget], numbers of trials, 1 to N; None for all of them.

    Returns:
        [budget], in the unit of the values.

    Raises:
        ValueError: a value that is not finite, a budget that is not a whole number from 1 to N.

    Example:
        >>> expected_best([0.1, 0.9, 0.5]).round(3).tolist()
        [0.5, 0.767, 0.9]

    References:
        J. Dodge et al., Show Your Work: Improved Reporting of Experimental Results, EMNLP (2019), section 3, which
        draws with repetition; without it, the grid's end is reached.
    """
    v = np.sort(np.asarray(values, dtype=float))
    if v.ndim != 1 or not np.isfinite(v).all():
        raise ValueError(
            f"expected_best: bad `values` of shape {v.shape} with {int((~np.isfinite(v)).sum())} not finite. Expected "
            "finite numbers, [trial]. Count a diverged trial as chance."
        )
    n = len(v)
    wanted = np.arange(1, n + 1) if budgets is None else np.asarray(budgets)
    if wanted.ndim != 1 or not all(1 <= b <= n and b == int(b) for b in wanted.tolist()):
        raise ValueError(
            f"expected_best: bad `budgets`={wanted.tolist()}. Expected whole numbers from 1 to {n}, [budget]. "
            "No more can be tried than the grid holds."
        )
    if not len(wanted):
        return np.zeros(0)
    shares = [[math.comb(i - 1, int(b) - 1) / math.comb(n, int(b)) for i in range(1, n + 1)] for b in wanted.tolist()]
    return v[-1] + np.array(shares) @ (v - v[-1])  # from the maximum down: equal values give themselves, unrounded


def training_runs(lrs: ArrayLike, trains: ArrayLike) -> list[np.ndarray]:
    """The lrs that train, ascending, split where an lr of the grid between them does not.

    Args:
        lrs: [lr], in any order, none twice.
        trains: [lr], whether each of them trains.

    Example:
        >>> [run.tolist() for run in training_runs([0.001, 0.01, 0.1, 1.0], [True, False, True, True])]
        [[0.001], [0.1, 1.0]]
    """
    grid, is_training = np.asarray(lrs, dtype=float), np.asarray(trains, dtype=bool)
    order = np.argsort(grid)
    # lrs of one run share the number of misses below them
    runs = np.cumsum(~is_training[order])[is_training[order]]
    training = grid[order][is_training[order]]
    return [training[runs == run] for run in np.unique(runs)]
