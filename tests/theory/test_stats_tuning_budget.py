"""Expected best and lr windows against brute force and hand-computed cases."""

import itertools
import math

import numpy as np
import pytest

from initsuite.stats.tuning_budget import expected_best, lr_window_width

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
    ("trains", "width"),
    [
        ([True] * 5, 4.0),
        ([True, True, False, True, False], 1.0),
        ([True, False, True, True, True], 2.0),
        ([False, True, False, True, False], 0.0),
        ([False, False, True, False, False], 0.0),
    ],
)
def test_lr_window_width_by_hand(trains: list[bool], width: float) -> None:
    assert lr_window_width(GRID, trains) == pytest.approx(width, abs=EXACT)


def test_lr_window_width_does_not_depend_on_the_order(rng: np.random.Generator) -> None:
    order = rng.permutation(5)
    trains = np.array([True, True, True, False, True])
    assert lr_window_width(np.array(GRID)[order], trains[order]) == pytest.approx(2, rel=EXACT)


def test_lr_window_width_around_the_best_lr() -> None:
    trains = [True, True, True, False, True]
    assert lr_window_width(GRID, trains, best_lr=10.0) == 0
    assert lr_window_width(GRID, trains, best_lr=0.01) == pytest.approx(2, rel=EXACT)
    assert math.isnan(lr_window_width(GRID, trains, best_lr=1.0))


def test_lr_window_width_is_measured_in_decades_not_in_steps_of_the_grid() -> None:
    assert lr_window_width([1, 2, 3, 100, 1000, 10], [True, True, True, True, True, False]) == pytest.approx(1)


def test_lr_window_width_where_nothing_trains() -> None:
    assert math.isnan(lr_window_width(GRID, [False] * 5))
    assert math.isnan(lr_window_width([], []))
    assert lr_window_width([0.1], [True]) == 0


def test_bad_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="one answer for each of `lrs`"):
        lr_window_width([0.1, 1.0], [True])
    for lrs in ([0.1, 0.1], [0.0, 0.1], [0.1, math.nan], [0.1, math.inf]):
        with pytest.raises(ValueError, match="positive finite numbers, none twice"):
            lr_window_width(lrs, [True, True])
    with pytest.raises(ValueError, match=r"`best_lr`=0\.2\. Expected one of: \[0\.1, 1\.0\]"):
        lr_window_width([1.0, 0.1], [True, True], best_lr=0.2)
