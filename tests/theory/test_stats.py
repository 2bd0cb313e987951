"""The statistics against scipy, hand-computed cases and simulated coverage."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from initsuite.stats.intervals import mean_interval, median_interval, success_rate
from initsuite.stats.pairwise import (
    EXACT_UP_TO,
    MONTE_CARLO_FLIPS,
    hochberg,
    holm,
    probability_of_improvement,
    sign_flip_test,
    smallest_p,
)

EXACT = 1e-12
"""Relative, for the same sum in another order."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_250_131)


@pytest.mark.parametrize("n", [6, 7, 10, 15, 30])
def test_median_interval_by_hand(n: int) -> None:
    # Tables of order-statistic intervals at 95 %, David and Nagaraja: the rank of the lower bound.
    rank = {6: 1, 7: 1, 10: 2, 15: 4, 30: 10}[n]
    interval = median_interval(np.arange(1, n + 1))
    assert (interval.low, interval.high) == (rank, n + 1 - rank)
    below = sum(math.comb(n, j) for j in range(rank)) / 2**n
    assert interval.coverage == pytest.approx(1 - 2 * below, rel=EXACT)


@pytest.mark.parametrize("n", [6, 10, 11, 30])
def test_median_interval_against_the_sign_test_of_scipy(n: int, rng: np.random.Generator) -> None:
    """A point is inside where the two-sided sign test of "the median is this point" does not reject."""
    sample = rng.exponential(size=n)
    interval = median_interval(sample)
    middles = (np.sort(sample)[:-1] + np.sort(sample)[1:]) / 2
    for point in [sample.min() - 1, *middles, sample.max() + 1]:
        accepted = stats.binomtest(int((sample < point).sum()), n).pvalue > 0.05
        assert accepted == (interval.low < point < interval.high)


def test_median_interval_covers_what_it_says(rng: np.random.Generator) -> None:
    """Simulated coverage at 10 skewed values. 4,000 samples: a standard error of 0.23 %, the bound is four of them."""
    samples = rng.exponential(size=(4000, 10))
    intervals = [median_interval(sample) for sample in samples]
    covered = np.mean([interval.low <= math.log(2) <= interval.high for interval in intervals])
    assert covered == pytest.approx(intervals[0].coverage, abs=4 * 0.0023)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_mean_interval_against_scipy(n: int, rng: np.random.Generator) -> None:
    sample = rng.normal(0.8, 0.05, n)
    expected = stats.ttest_1samp(sample, 0.0).confidence_interval(0.95)
    interval = mean_interval(sample)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_mean_interval_by_hand() -> None:
    # mean 2, s = 1, n = 3, t_2(0.975) = 4.30265: 2 +- 4.30265 / sqrt(3).
    interval = mean_interval([1, 2, 3])
    assert (interval.low, interval.high) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-5)


def test_success_rate_by_hand() -> None:
    # All of n: the lower bound solves p^n = alpha / 2. None of n: the mirror image.
    assert success_rate([True] * 6).low == pytest.approx(0.025 ** (1 / 6))
    assert success_rate([False] * 6).high == pytest.approx(1 - 0.025 ** (1 / 6))
    assert success_rate([True, True, False, False]).estimate == 0.5


def test_probability_of_improvement_against_scipy(rng: np.random.Generator) -> None:
    x, y = rng.integers(0, 6, 9), rng.integers(0, 6, 7)
    expected = stats.mannwhitneyu(x, y).statistic / (len(x) * len(y))
    assert probability_of_improvement(x, y).estimate == pytest.approx(expected, rel=EXACT)


def test_probability_of_improvement_by_hand() -> None:
    # Steps 100, 200, never against 150, never, as -steps: wins 2 + 1 + 0, ties 1/2, of 6.
    assert probability_of_improvement([-100, -200, -math.inf], [-150, -math.inf]).estimate == pytest.approx(3.5 / 6)


@pytest.mark.parametrize("estimate", ["none", "some", "all"])
def test_newcombe_bounds_solve_their_equation(estimate: str) -> None:
    y = {"none": [10, 11, 12], "some": [0, 2.5, 4], "all": [-1, -2, -3]}[estimate]
    x = [1, 2, 3, 5]
    interval = probability_of_improvement(x, y)
    m, n, z = len(x), len(y), stats.norm.ppf(0.975)
    extra = (m + n) / 2 - 1
    for bound in {interval.low, interval.high} - {0.0, 1.0}:
        variance = bound * (1 - bound) * (1 + extra * (1 - bound) / (2 - bound) + extra * bound / (1 + bound)) / (m * n)
        assert abs(bound - interval.estimate) == pytest.approx(z * math.sqrt(variance), rel=1e-6)
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    assert interval.low < interval.high


def test_newcombe_interval_covers(rng: np.random.Generator) -> None:
    """Simulated coverage, 10 against 10 normal values one standard deviation apart: P(X > Y) = Phi(1 / sqrt 2)."""
    truth = stats.norm.cdf(1 / math.sqrt(2))
    intervals = [probability_of_improvement(rng.normal(1, 1, 10), rng.normal(0, 1, 10)) for _ in range(1000)]
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    # The method is approximate: Newcombe reports 93 to 97 %; three standard errors (0.7 %) are added.
    assert 0.91 <= covered <= 0.99


@pytest.mark.parametrize("n", [2, 3, 6, 10])
def test_sign_flips_against_scipy(n: int, rng: np.random.Generator) -> None:
    differences = rng.normal(0.5, 1, n)
    # The two-sided p of scipy doubles the smaller tail, which here is symmetric: the same number.
    expected = stats.permutation_test(
        (differences, np.zeros(n)),
        lambda x, y, axis: (x - y).sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
    )
    assert sign_flip_test(differences, rng=rng) == pytest.approx(expected.pvalue, rel=EXACT)


def test_sign_flips_by_hand(rng: np.random.Generator) -> None:
    # 1, 2, 3: |sum| = 6 by two of the eight patterns. 1, 2, -3: all sums are at least 0.
    # 1, 4, -2: |sum| is 7, 5, 3 or 1, each twice, and 3 was seen.
    assert sign_flip_test([1, 2, 3], rng=rng) == 0.25
    assert sign_flip_test([1, 2, -3], rng=rng) == 1
    assert sign_flip_test([1, 4, -2], rng=rng) == 0.75


@pytest.mark.parametrize("n", [1, 3, 6, 10, EXACT_UP_TO])
def test_the_smallest_p(n: int, rng: np.random.Generator) -> None:
    assert sign_flip_test(np.arange(1, n + 1), rng=rng) == smallest_p(n) == 2.0 ** (1 - n)


def test_drawn_flips_agree_with_all_of_them(rng: np.random.Generator) -> None:
    """One pair more than is counted exactly, that pair 0: the exact p is that of the others. Four standard errors."""
    differences = rng.normal(0.3, 1, EXACT_UP_TO)
    exact = sign_flip_test(differences, rng=rng)
    drawn = sign_flip_test([*differences, 0.0], rng=rng)
    assert 0.01 < exact < 0.9
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / MONTE_CARLO_FLIPS))


def test_sign_flips_hold_their_level(rng: np.random.Generator) -> None:
    """Under symmetry p <= 0.05 in at most 5 % of samples; 2,000 of them: a standard error of 0.5 %, three allowed."""
    p_values = [sign_flip_test(rng.standard_t(3, 8), rng=rng) for _ in range(2000)]
    assert 0.02 < np.mean(np.array(p_values) <= 0.05) < 0.05 + 3 * 0.005


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_tests_that_the_data_chose_count_as_the_whole_family(rng: np.random.Generator) -> None:
    """By hand: 6, 5 and 4 times; and never below the adjustment of all of them, whichever are looked at."""
    assert holm([0.002, 0.02, 0.01], family=6).tolist() == pytest.approx([0.012, 0.08, 0.05])
    for _ in range(200):
        p = rng.random(6) ** 2
        chosen = rng.permutation(6)[:3]
        assert (holm(p[chosen], family=6) >= holm(p)[chosen] - EXACT).all()


def test_hochberg_by_hand_and_between_the_largest_and_holm(rng: np.random.Generator) -> None:
    # Sorted .01 .02 .025 .5: 4 x .01, 3 x .02, 2 x .025, 1 x .5; each the least from its place on.
    assert hochberg([0.5, 0.025, 0.01, 0.02]).tolist() == pytest.approx([0.5, 0.05, 0.04, 0.05])
    assert hochberg([0.04] * 30).tolist() == pytest.approx([0.04] * 30)
    for _ in range(200):
        p = rng.random(6) ** 2
        assert (hochberg(p) <= holm(p)).all()
        assert (hochberg(p) >= p).all()
    assert hochberg([]).tolist() == []


def test_hochberg_holds_its_level(rng: np.random.Generator) -> None:
    """Five independent true hypotheses: a false claim among them in 5 % of 4,000 families; three standard errors."""
    wrong = np.mean([hochberg(rng.random(5)).min() <= 0.05 for _ in range(4000)])
    assert 0.03 < wrong < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_holm_is_the_closed_test_of_bonferroni(rng: np.random.Generator) -> None:
    """A second way: a hypothesis is rejected where Bonferroni rejects every intersection that contains it."""
    p = rng.uniform(0, 0.4, 5)
    expected = [
        max(
            min(1.0, len(subset) * p[list(subset)].min())
            for size in range(1, 6)
            for subset in itertools.combinations(range(5), size)
            if index in subset
        )
        for index in range(5)
    ]
    assert holm(p).tolist() == pytest.approx(expected, rel=EXACT)
