"""Pooling over contexts against enumeration, the tests of one context and hand-computed cases."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import stats

from initsuite.stats.intervals import Interval
from initsuite.stats.pairwise import EXACT_UP_TO, MONTE_CARLO_FLIPS, probability_of_improvement, sign_flip_test
from initsuite.stats.pooled import dependent_mean, mean_over_contexts, stratified_sign_flip_test

EXACT = 1e-9
"""Relative, for the same sum in another order."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(17)


def brute_force(differences: list[list[float]], is_scaled: bool) -> float:
    """The definition, a loop over all signs."""

    def statistic(signs: tuple[float, ...]) -> float:
        left, total = list(signs), 0.0
        for context in differences:
            flipped = [left.pop() * abs(d) for d in context]
            size = np.mean(np.abs(context)) if is_scaled else 1.0
            total += float(np.mean(flipped) / size) if any(context) else 0.0
        return abs(total)

    seen = statistic(tuple(np.sign(d) or 1.0 for context in differences for d in context)[::-1])
    num_pairs = sum(map(len, differences))
    every = [statistic(signs) for signs in itertools.product((1.0, -1.0), repeat=num_pairs)]
    return float(np.mean([value >= seen * (1 - EXACT) - EXACT for value in every]))


@pytest.mark.parametrize("is_scaled", [True, False])
@pytest.mark.parametrize("sizes", [[3], [2, 3], [1, 4, 2], [3, 3, 3]])
def test_stratified_flips_against_their_definition(sizes: list[int], is_scaled: bool, rng: np.random.Generator) -> None:
    differences = [(10.0**i * rng.normal(0.4, 1, n)).tolist() for i, n in enumerate(sizes)]
    expected = brute_force(differences, is_scaled)
    assert stratified_sign_flip_test(differences, rng=rng, is_scaled=is_scaled) == pytest.approx(expected, rel=EXACT)


def test_stratified_flips_by_hand(rng: np.random.Generator) -> None:
    # Scaled: 1 + (3 - 1)/4 = 1.5. The signs of 2 give +-1, those of (3, -1) give +-1, +-1/2: |sum| is 2 or 1.5 in half.
    assert stratified_sign_flip_test([[2], [3, -1]], rng=rng) == 0.5
    # Plain: 2 + 1 = 3 of 2 +- 2 and 2 +- 1: 4, 3, 1, 0, each in two of the eight.
    assert stratified_sign_flip_test([[2], [3, -1]], rng=rng, is_scaled=False) == 0.5
    # A context of opposite sign and equal size in its own unit cancels the other: nothing is claimed.
    assert stratified_sign_flip_test([[1, 2, 3], [-10, -20, -30]], rng=rng) == 1


@pytest.mark.parametrize("n", [1, 5, EXACT_UP_TO, EXACT_UP_TO + 4])
@pytest.mark.parametrize("is_scaled", [True, False])
def test_one_context_is_the_sign_flip_test(n: int, is_scaled: bool, rng: np.random.Generator) -> None:
    context = rng.normal(0.3, 1, n)
    pooled = stratified_sign_flip_test([context], rng=np.random.default_rng(0), is_scaled=is_scaled)
    assert pooled == sign_flip_test(context, rng=np.random.default_rng(0))


def test_units_do_not_decide(rng: np.random.Generator) -> None:
    contexts = [rng.normal(0.4, 1, 4) for _ in range(3)]
    in_other_units = [10.0**i * context for i, context in enumerate(contexts)]
    p, p_in_other_units = (stratified_sign_flip_test(d, rng=rng) for d in (contexts, in_other_units))
    assert p == p_in_other_units
    assert stratified_sign_flip_test(contexts, rng=rng, is_scaled=False) != stratified_sign_flip_test(
        in_other_units, rng=rng, is_scaled=False
    )


def test_drawn_stratified_flips_agree_with_all_of_them(rng: np.random.Generator) -> None:
    """A pair of 0 beside others changes no share but has its context drawn. Four standard errors."""
    contexts = [rng.normal(0.3, 1, EXACT_UP_TO // 2) for _ in range(2)]
    exact = stratified_sign_flip_test(contexts, rng=rng)
    drawn = stratified_sign_flip_test([contexts[0], [*contexts[1], 0.0]], rng=rng)
    assert 0.01 < exact < 0.9
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / MONTE_CARLO_FLIPS))


def test_pooling_finds_what_no_context_can(rng: np.random.Generator) -> None:
    """Three seeds give no p below 0.25; four contexts that agree do."""
    contexts = [[1.0, 2.0, 3.0]] * 4
    assert all(sign_flip_test(context, rng=rng) == 0.25 for context in contexts)
    assert stratified_sign_flip_test(contexts, rng=rng) == 2.0**-11


def test_stratified_flips_hold_their_level(rng: np.random.Generator) -> None:
    """Three contexts of 4 in different units: 2,000 of them, a standard error of 0.5 %, three allowed."""
    p = [stratified_sign_flip_test([u * rng.standard_t(3, 4) for u in (1, 10, 100)], rng=rng) for _ in range(2000)]
    assert 0.02 < np.mean(np.array(p) <= 0.05) < 0.05 + 3 * 0.005


def test_degenerate_pairs(rng: np.random.Generator) -> None:
    for nothing in ([], [[]], [[], []], [[0.0, 0.0], [0.0]]):
        assert stratified_sign_flip_test(nothing, rng=rng) == 1
    alone = stratified_sign_flip_test([[1, 2, 4]], rng=rng)
    assert stratified_sign_flip_test([[0, 0], [1, 2, 4], []], rng=rng) == alone
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="Count a miss as one evaluation beyond the budget"):
            stratified_sign_flip_test([[1.0], [bad]], rng=rng)
    with pytest.raises(ValueError, match=r"Expected finite numbers, \[seed\]"):
        stratified_sign_flip_test([[[1.0, 2.0]]], rng=rng)


def test_stratified_flips_need_and_follow_their_generator() -> None:
    contexts = [np.linspace(-1, 2, 12)] * 2
    first, again, other = (stratified_sign_flip_test(contexts, rng=np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == again != other
    with pytest.raises(TypeError, match="rng"):
        stratified_sign_flip_test(contexts)  # pyright: ignore[reportCallIssue]


def pooled_improvement(x: Sequence[ArrayLike], y: Sequence[ArrayLike]) -> Interval:
    """Over contexts, one [seed] of each arm for each."""
    return mean_over_contexts([probability_of_improvement(*pair) for pair in zip(x, y, strict=True)])


def test_pooled_improvement_by_hand() -> None:
    """Where the contexts differ much, Student's: 0.5 and 1 and 0, mean 1/2, s = 1/2, t_2 = 4.303, clipped."""
    interval = pooled_improvement([[1], [1], [0]], [[1], [0], [1]])
    assert (interval.estimate, interval.low, interval.high) == (0.5, 0, 1)
    assert (interval.num_values, interval.coverage) == (3, 0.95)


def test_pooled_improvement_is_the_wider_of_two(rng: np.random.Generator) -> None:
    x, y = ([rng.normal(mean, 1, 10) for _ in range(6)] for mean in (0.5, 0))
    every = [probability_of_improvement(first, second) for first, second in zip(x, y, strict=True)]
    estimates = [context.estimate for context in every]
    student = stats.ttest_1samp(estimates, 0.0).confidence_interval(0.95)
    below = np.sqrt(np.sum([(c.estimate - c.low) ** 2 for c in every])) / 6
    above = np.sqrt(np.sum([(c.high - c.estimate) ** 2 for c in every])) / 6
    interval = pooled_improvement(x, y)
    mean = np.mean(estimates)
    expected = (mean, min(student.low, mean - below), max(student.high, mean + above))
    assert (interval.estimate, interval.low, interval.high) == pytest.approx(expected, rel=EXACT)


def test_one_context_is_newcombe(rng: np.random.Generator) -> None:
    x, y = rng.normal(1, 1, 6), rng.normal(0, 1, 8)
    assert pooled_improvement([x], [y]) == probability_of_improvement(x, y)
    assert pooled_improvement([x, [], [1.0]], [y, [1.0], []]) == probability_of_improvement(x, y)


def test_agreeing_contexts_narrow_the_interval_but_keep_a_width() -> None:
    """Won by all seeds of all contexts: Newcombe's lower bound, the square root of 4 times nearer to 1."""
    one = probability_of_improvement([3, 4, 5], [0, 1, 2])
    four = pooled_improvement([[3, 4, 5]] * 4, [[0, 1, 2]] * 4)
    assert (four.estimate, four.high) == (1, 1)
    assert four.low == pytest.approx(1 - (1 - one.low) / 2, rel=EXACT)


def test_equal_values_and_misses_are_ties() -> None:
    for value in (0.5, -math.inf):
        equal = pooled_improvement([[value] * 6] * 3, [[value] * 6] * 3)
        assert equal.estimate == 0.5
        assert 0 < equal.low < 0.5 < equal.high < 1


def test_one_seed_in_each_context() -> None:
    interval = pooled_improvement([[1], [2]], [[0], [0]])
    assert (interval.estimate, interval.high) == (1, 1)
    assert 0 <= interval.low < 1


def test_no_contexts_no_improvement() -> None:
    for nothing in ([], [[], []]):
        interval = pooled_improvement(nothing, nothing)
        assert math.isnan(interval.estimate)
        assert (interval.exists, interval.coverage, interval.num_values) == (False, 0, 0)


def test_dependent_contexts_are_as_wide_as_one() -> None:
    one, other = Interval(0.75, 0.5, 1.0, 0.95, 6), Interval(0.25, 0.1, 0.5, 0.95, 8)
    found = dependent_mean([one, other])
    assert found == Interval(0.5, 0.3, 0.75, 0.95, 6)
    assert dependent_mean([one]) == one
    missing = Interval(0.5, math.nan, math.nan, 0.0, 1)
    assert dependent_mean([one, missing]) == one
    assert math.isnan(dependent_mean([missing]).estimate)
