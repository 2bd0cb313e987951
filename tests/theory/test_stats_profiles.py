"""Performance profiles against loops, integrals and hand-computed cases."""

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from initsuite.stats.profiles import performance_profile, performance_ratios, profile_area

EXACT = 1e-9
INF = math.inf
TIMES = [[100, 300, INF, 50], [200, 300, 10, INF], [INF, 1500, INF, 75]]
RATIOS = [[1, 1, INF, 1], [2, 1, 1, INF], [INF, 5, INF, 1.5]]


@pytest.fixture
def times() -> np.ndarray:
    """[arm, workload], one in five a miss, the last workload missed by all, two arms tied on the first."""
    rng = np.random.default_rng(11)
    drawn = rng.lognormal(size=(4, 30))
    drawn[rng.random(drawn.shape) < 0.2] = INF
    drawn[:, -1] = INF
    drawn[:2, 0] = drawn[:, 0].min()
    return drawn


def test_ratios_by_hand() -> None:
    assert performance_ratios(TIMES).tolist() == RATIOS


def test_ratios_against_a_loop(times: np.ndarray) -> None:
    ratios = performance_ratios(times)
    for arm, workload in np.ndindex(times.shape):
        fastest = min(times[:, workload])
        expected = INF if times[arm, workload] == INF else times[arm, workload] / fastest
        assert ratios[arm, workload] == pytest.approx(expected, rel=EXACT)


def test_profile_by_hand() -> None:
    profile = performance_profile(TIMES, [1, 1.5, 2, 5, INF])
    assert profile.tolist() == [[0.75] * 5, [0.5, 0.5, 0.75, 0.75, 0.75], [0, 0.25, 0.25, 0.5, 0.5]]


def test_profile_against_a_loop(times: np.ndarray) -> None:
    """t <= tau min t, as it is defined, counted where someone arrives."""
    taus = [0.5, 1.0, 1.3, 4.0, 100.0]
    profile = performance_profile(times, taus)
    for arm, row in enumerate(profile):
        for tau, share in zip(taus, row, strict=True):
            arrives = [t[arm] < INF and t[arm] <= tau * min(t) * (1 + EXACT) for t in times.T]
            assert share == pytest.approx(np.mean(arrives), rel=EXACT)
    assert (np.diff(profile, axis=1) >= 0).all()


@pytest.mark.parametrize("up_to", [1.5, 4.0, 20.0])
def test_area_is_the_integral_of_the_profile(up_to: float, times: np.ndarray) -> None:
    """The profile is a staircase: between its steps the integral is exact."""
    ratios = performance_ratios(times)
    steps = np.unique([1.0, up_to, *ratios[(ratios > 1) & (ratios < up_to)]])
    middles = (steps[:-1] + steps[1:]) / 2
    integral = performance_profile(times, middles) @ np.diff(steps) / (up_to - 1)
    assert profile_area(times, up_to).tolist() == pytest.approx(integral.tolist(), rel=EXACT)


def test_area_by_hand() -> None:
    # (4 - r) / 3: 1, 1, 0, 1; 2/3, 1, 1, 0; 0, 0, 0, 2.5/3.
    assert profile_area(TIMES).tolist() == pytest.approx([3 / 4, (5 / 3 + 1) / 4, 2.5 / 12], rel=EXACT)


def test_equal_arms_and_a_single_one() -> None:
    assert profile_area(np.full((3, 5), 7.0)).tolist() == [1, 1, 1]
    assert performance_profile([[3.0, 4.0]], [1.0]).tolist() == [[1.0]]


def test_all_missed_counts_for_nobody() -> None:
    missed = np.full((2, 3), INF)
    assert (performance_ratios(missed) == INF).all()
    assert performance_profile(missed, [1, INF]).tolist() == [[0, 0], [0, 0]]
    assert profile_area(missed).tolist() == [0, 0]


def test_no_factors_no_profile() -> None:
    assert performance_profile(TIMES, []).shape == (3, 0)


@pytest.mark.parametrize("bad", [[[1.0, math.nan]], [[0.0, 1.0]], [[-1.0, 1.0]], [1.0, 2.0], [[]]])
def test_bad_times_are_refused(bad: ArrayLike) -> None:
    for function in (performance_ratios, lambda times: performance_profile(times, [1.0]), profile_area):
        with pytest.raises(ValueError, match=r"Expected positive numbers, \[arm, workload\].* Write a miss as inf"):
            function(bad)


def test_bad_factors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected numbers, \[tau\]"):
        performance_profile(TIMES, [1.0, math.nan])
    for up_to in (1.0, 0.5, INF, math.nan):
        with pytest.raises(ValueError, match="finite factor above 1"):
            profile_area(TIMES, up_to)
