"""Expected best and lr windows against brute force and hand-computed cases."""

import itertools
import math

import numpy as np
import pytest

from initsuite.stats.tuning_budget import expected_best, training_runs

EXACT = 1e-9
"""Relative, for the same sum in another order."""
GRID = [0.001, 0.01, 0.1, 1.0, 10.0]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
@pytest.mark.parametrize("has_ties", [False, True])
def test_expected_best_is_the_mean_over_all_subsets(n: int, has_ties: bool, rng: np.random.Generator) -> None:
    values = rng.integers(0, 3, n) / 3 if has_ties else rng.normal(size=n)
    expected = [np.mean([max(subset) for subset in itertools.combinations(values, b)]) for b in range(1, n + 1)]
    assert expected_best(values).tolist() == pytest.approx(expected, rel=EXACT)


def test_expected_best_by_hand() -> None:
    # Of {0.1, 0.5, 0.9}: the pairs have the maxima 0.5, 0.9, 0.9.
    assert expected_best([0.9, 0.1, 0.5], [2, 3, 1]).tolist() == pytest.approx([2.3 / 3, 0.9, 0.5], rel=EXACT)


def test_expected_best_rises_from_the_mean_to_the_maximum(rng: np.random.Generator) -> None:
    values = rng.uniform(size=200)  # C(200, 100) overflows nothing
    best = expected_best(values)
    assert (np.diff(best) > -EXACT).all()
    assert (best[0], best[-1]) == pytest.approx((values.mean(), values.max()), rel=EXACT)
    assert (best <= values.max()).all()


def test_expected_best_of_equal_values_and_of_nothing() -> None:
    assert expected_best([0.1] * 7).tolist() == [0.1] * 7
    assert expected_best([0.3]).tolist() == [0.3]
    assert expected_best([]).tolist() == expected_best([0.3], []).tolist() == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="Count a diverged trial as chance"):
        expected_best([0.5, bad])


@pytest.mark.parametrize("budgets", [[0], [4], [1.5], [-1], [math.nan]])
def test_budgets_off_the_grid_are_refused(budgets: list[float]) -> None:
    with pytest.raises(ValueError, match="whole numbers from 1 to 3"):
        expected_best([0.1, 0.2, 0.3], budgets)


@pytest.mark.parametrize(
    ("trains", "runs"),
    [
        ([True] * 5, [GRID]),
        ([True, True, False, True, False], [GRID[:2], GRID[3:4]]),
        ([True, False, True, True, True], [GRID[:1], GRID[2:]]),
        ([False, True, False, True, False], [GRID[1:2], GRID[3:4]]),
        ([False] * 5, []),
    ],
)
def test_training_runs_by_hand(trains: list[bool], runs: list[list[float]]) -> None:
    assert [run.tolist() for run in training_runs(GRID, trains)] == runs


def test_training_runs_do_not_depend_on_the_order(rng: np.random.Generator) -> None:
    order = rng.permutation(5)
    trains = np.array([True, True, True, False, True])
    found = training_runs(np.array(GRID)[order], trains[order])
    assert [run.tolist() for run in found] == [GRID[:3], GRID[4:]]


def test_training_runs_of_little() -> None:
    assert training_runs([], []) == []
    assert [run.tolist() for run in training_runs([0.1], [True])] == [[0.1]]
