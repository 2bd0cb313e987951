"""Edges and refusals of the statistics; the numbers are in tests/theory/test_stats.py."""

import math

import numpy as np
import pytest

from initsuite.stats.intervals import mean_interval, median_interval, success_rate
from initsuite.stats.pairwise import holm, pairs_to_decide, probability_of_improvement, sign_flip_test


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize("interval", [median_interval, mean_interval, success_rate])
def test_an_empty_sample_has_a_defined_answer(interval) -> None:
    empty = interval([])
    assert math.isnan(empty.estimate)
    assert not empty.exists
    assert empty.num_values == 0


def test_few_seeds_have_no_interval_of_the_median_and_say_why() -> None:
    four = median_interval([1, 2, 3, 4])
    assert (four.estimate, four.exists, four.coverage) == (2.5, False, 0.875)
    five = median_interval([1, 2, 3, 4, 5])
    assert (five.low, five.high, five.coverage) == (1, 5, 0.9375)


def test_one_seed_has_no_interval_of_the_mean() -> None:
    one = mean_interval([0.8])
    assert one.estimate == 0.8
    assert not one.exists


def test_identical_values_give_the_degenerate_interval() -> None:
    # The mean of three 0.1 is not 0.1 in floating point.
    assert (mean_interval([0.1] * 3).low, mean_interval([0.1] * 3).high) == (0.1, 0.1)
    assert (median_interval([7] * 6).low, median_interval([7] * 6).high) == (7, 7)


def test_a_mean_is_clipped_to_its_range() -> None:
    sample = [0.2, 0.9, 0.99]
    free, clipped = mean_interval(sample), mean_interval(sample, clip=(0.0, 1.0))
    assert free.low < 0
    assert free.high > 1
    assert (clipped.low, clipped.high, clipped.estimate) == (0, 1, free.estimate)


def test_misses_stay_in_the_median() -> None:
    assert median_interval([1, 2, math.inf]).estimate == 2
    assert median_interval([1, 2, math.inf, math.inf]).estimate == math.inf
    assert median_interval([math.inf] * 6).low == math.inf


def test_a_nan_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="Write a miss as inf"):
        median_interval([1.0, math.nan])
    with pytest.raises(ValueError, match="use median_interval"):
        mean_interval([1.0, math.inf])
    with pytest.raises(ValueError, match="Write a miss as -inf"):
        probability_of_improvement([1.0], [math.nan])
    with pytest.raises(ValueError, match="Count a miss as one evaluation beyond the budget"):
        sign_flip_test([1.0, math.inf], rng=rng)


def test_a_confidence_in_percent_is_refused() -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1, such as 0\.95"):
        median_interval([1.0], confidence=95)


def test_no_evidence_and_equal_arms_claim_nothing(rng: np.random.Generator) -> None:
    assert sign_flip_test([], rng=rng) == 1
    assert sign_flip_test([0.0] * 8, rng=rng) == 1
    assert sign_flip_test([3.0], rng=rng) == 1


def test_rounding_does_not_hide_a_tie(rng: np.random.Generator) -> None:
    # 0.1 + 0.2 - 0.3 is 5.6e-17: patterns whose sums are equal on paper must count as equal.
    assert sign_flip_test([0.1, 0.2, -0.3], rng=rng) == 1


def test_drawn_flips_need_and_follow_their_generator() -> None:
    differences = np.linspace(-1, 2, 20)
    first, again = (sign_flip_test(differences, rng=np.random.default_rng(3)) for _ in range(2))
    other = sign_flip_test(differences, rng=np.random.default_rng(4))
    assert first == again != other
    with pytest.raises(TypeError, match="rng"):
        sign_flip_test(differences)  # pyright: ignore[reportCallIssue]


def test_probability_of_improvement_without_one_side() -> None:
    assert math.isnan(probability_of_improvement([], [1.0]).estimate)


def test_holm_of_nothing_and_of_ties() -> None:
    assert holm([]).tolist() == []
    assert holm([0.03, 0.03]).tolist() == [0.06, 0.06]


@pytest.mark.parametrize(("num_comparisons", "pairs"), [(1, 6), (2, 7), (4, 8), (6, 8), (7, 9)])
def test_pairs_to_decide(num_comparisons: int, pairs: int) -> None:
    assert pairs_to_decide(num_comparisons) == pairs
