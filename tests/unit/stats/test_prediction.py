"""Ranks, clusters and weights against scipy, Student and planted orders."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy

from initsuite.stats.intervals import mean_interval
from initsuite.stats.prediction import (
    Case,
    clustered_mean,
    fit_weights,
    left_out,
    rank_correlation,
    useful_measures,
    weighted_ranks,
)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def cases(number: int = 12) -> list[Case]:
    """The outcome is 0.75 of one measure and 0.25 of another; a third is noise, a fourth says the contrary."""
    rng, found = generator(), []
    for cluster in range(number):
        first, second, noise = (rng.permutation(40).astype(float) for _ in range(3))
        outcome = 0.75 * first + 0.25 * second
        found.append(Case(cluster // 2, np.column_stack([first, second, noise, -outcome]), outcome))
    return found


def test_rank_correlation_is_that_of_scipy() -> None:
    rng = generator()
    for _ in range(20):
        first, second = rng.integers(0, 5, (2, 8))  # with ties
        assert rank_correlation(first, second) == pytest.approx(scipy.stats.spearmanr(first, second).statistic)


def test_what_is_infinite_is_last_and_ties_say_nothing() -> None:
    assert rank_correlation([1, math.inf, math.inf], [1, 2, 2]) == 1
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0
    assert math.isnan(rank_correlation([1, 2, 3], [math.inf] * 3))


def test_a_number_for_each_arm_is_expected() -> None:
    with pytest.raises(ValueError, match="Leave out arms that were not measured"):
        rank_correlation([1, math.nan], [1, 2])
    with pytest.raises(ValueError, match="Expected a number for each arm"):
        rank_correlation([1, 2, 3], [1, 2])


@pytest.mark.parametrize("size", [6, 12, 30])
def test_the_interval_is_as_wide_as_students(size: int) -> None:
    """For one workload a cluster; six values have few means as far out as Student's bound, which leaves 6 %."""
    rng, ratios = generator(), []
    for _ in range(40):
        values = rng.normal(size=size)
        ours, students = clustered_mean(values, range(size), rng=rng), mean_interval(values)
        ratios.append((ours.high - ours.low) / (students.high - students.low))
        assert ours.estimate == pytest.approx(students.estimate)
    assert np.mean(ratios) == pytest.approx(1, abs=0.08)


def test_workloads_of_a_cluster_come_together() -> None:
    """Five copies of a value are no further evidence."""
    values = generator().normal(size=8)
    one = clustered_mean(values, range(8), rng=generator())
    five = clustered_mean(np.repeat(values, 5), np.repeat(np.arange(8), 5).tolist(), rng=generator())
    assert (five.low, five.high) == pytest.approx((one.low, one.high))
    assert (one.num_values, five.num_values) == (8, 40)


def test_unknown_values_are_left_out_and_one_cluster_has_no_interval() -> None:
    found = clustered_mean([0.5, math.nan, 0.7], ["a", "b", "a"], rng=generator())
    assert (found.estimate, found.num_values, found.exists) == (0.6, 2, False)
    assert math.isnan(clustered_mean([math.nan], ["a"], rng=generator()).estimate)


def test_planted_weights_are_found() -> None:
    """Noise and what says the contrary get none; ranks of a sum are no sum of ranks, which moves weights by 0.02."""
    assert useful_measures(cases()).tolist() == [True, True, False, False]
    assert fit_weights(cases()) == pytest.approx([0.75, 0.25, 0, 0], abs=0.03)


def test_where_nothing_is_useful_no_weight_is_given() -> None:
    contrary = [Case(case.cluster, case.predicted[:, 3:], case.outcome) for case in cases()]
    assert fit_weights(contrary).tolist() == [0]
    assert weighted_ranks(contrary[0].predicted, [0.0]).tolist() == [0] * 40


def test_what_is_left_out_is_not_looked_at() -> None:
    given = cases()
    clusters = [case.cluster for case in given]
    changed = [Case(case.cluster, case.predicted, -case.outcome) if case.cluster == 0 else case for case in given]
    before, after = left_out(given, clusters), left_out(changed, clusters)
    assert (before[0] == after[0]).all()
    assert (before[2] != after[2]).any()
    assert rank_correlation(before[0], given[0].outcome) > 0.99
