"""Aggregates over workloads against scipy, enumeration and hand-computed cases."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from initsuite.stats.aggregate import iqm, optimality_gap, stratified_bootstrap
from initsuite.stats.intervals import Interval

EXACT = 1e-9
"""Relative, for the same sum in another order."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def ragged(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(0.8, 0.1, n) for n in (3, 6, 10)]


def mean_of_all(scores) -> np.ndarray:
    return np.concatenate(scores, axis=-1).mean(axis=-1)


@pytest.mark.parametrize("sizes", [[1], [3], [4], [5, 6], [10, 3, 8], [6] * 5])
def test_iqm_against_scipy(sizes: list[int], rng: np.random.Generator) -> None:
    scores = [rng.exponential(size=n) for n in sizes]
    assert iqm(scores) == pytest.approx(stats.trim_mean(np.concatenate(scores), 0.25), rel=EXACT)


def test_iqm_by_hand() -> None:
    # Of 0, 1, 2, 4, 100: one leaves at each end, (1 + 2 + 4) / 3.
    assert iqm([[100, 0], [4, 1, 2]]) == pytest.approx(7 / 3, rel=EXACT)


def test_optimality_gap_by_hand_and_by_a_loop(rng: np.random.Generator) -> None:
    assert optimality_gap([[0.5, 2.0], [1.0]]) == pytest.approx(0.5 / 3, rel=EXACT)
    assert optimality_gap([[50, 90]], goal=80) == 15
    scores = ragged(rng)
    expected = np.mean([max(0.0, 0.8 - score) for workload in scores for score in workload])
    assert optimality_gap(scores, goal=0.8) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("statistic", [iqm, optimality_gap])
def test_axes_before_the_seeds_are_kept(statistic, rng: np.random.Generator) -> None:
    stacked = [rng.normal(size=(2, 7, n)) for n in (3, 5)]
    expected = [[statistic([workload[i, j] for workload in stacked]) for j in range(7)] for i in range(2)]
    assert statistic(stacked) == pytest.approx(np.array(expected), rel=EXACT)


@pytest.mark.parametrize("statistic", [iqm, optimality_gap])
def test_degenerate_scores(statistic) -> None:
    assert math.isnan(statistic([]))
    assert math.isnan(statistic([[], []]))
    assert statistic([[0.25]]) == {iqm: 0.25, optimality_gap: 0.75}[statistic]
    assert statistic([[0.25] * 3] * 3) == {iqm: 0.25, optimality_gap: 0.75}[statistic]
    assert statistic(np.zeros((2, 4, 0))).shape == (4,)
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match=f"{statistic.__name__}: .*Count a diverged trial as chance"):
            statistic([[0.5, 0.6], [bad]])


def test_bootstrap_against_all_resamples() -> None:
    """Of 3 and 2 seeds there are 27 x 4 resamples: the drawn quantiles are those of all of them."""
    scores = [np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.4])]
    means = sorted(
        (sum(first) + sum(second)) / 5
        for first in itertools.product(scores[0], repeat=3)
        for second in itertools.product(scores[1], repeat=2)
    )
    interval = stratified_bootstrap(
        scores, mean_of_all, rng=np.random.default_rng(0), confidence=0.8, resamples=100_000
    )
    assert interval.estimate == pytest.approx(2.1 / 5, rel=EXACT)
    # 0.1: the mean changes in steps of 0.02 to 0.08, and both quantiles lie inside a step.
    assert (interval.low, interval.high) == pytest.approx(np.quantile(means, [0.1, 0.9]).tolist(), abs=EXACT)


def test_bootstrap_against_scipy(rng: np.random.Generator) -> None:
    """One workload is the plain percentile bootstrap. A bound has an error of about 1 % of the width."""
    sample = rng.normal(size=20)
    ours = stratified_bootstrap([sample], mean_of_all, rng=rng, resamples=50_000)
    theirs = stats.bootstrap((sample,), np.mean, method="percentile", n_resamples=50_000, rng=rng).confidence_interval
    width = theirs.high - theirs.low
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02 * width)


def test_bootstrap_stays_within_workloads(rng: np.random.Generator) -> None:
    """Constant workloads far apart: no seed crosses over, so the sum of the workloads does not vary."""
    interval = stratified_bootstrap([[0.0, 0.0], [100.0, 100.0], [1.0, 2.0]], mean_of_all, rng=rng)
    assert 201 / 6 < interval.estimate < 204 / 6
    assert interval.low >= 202 / 6 - EXACT
    assert interval.high <= 204 / 6 + EXACT


def test_bootstrap_needs_and_follows_its_generator(rng: np.random.Generator) -> None:
    scores = ragged(rng)
    first, again, other = (stratified_bootstrap(scores, iqm, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert first.low < first.estimate < first.high
    assert (first.coverage, first.num_values) == (0.95, 19)
    with pytest.raises(TypeError, match="rng"):
        stratified_bootstrap(scores, iqm)  # pyright: ignore[reportCallIssue]


def test_degenerate_bootstraps(rng: np.random.Generator) -> None:
    nothing = stratified_bootstrap([], iqm, rng=rng)
    assert math.isnan(nothing.estimate)
    assert (nothing.exists, nothing.coverage, nothing.num_values) == (False, 0, 0)
    assert not stratified_bootstrap([[], []], iqm, rng=rng).exists
    equal = stratified_bootstrap([[0.1] * 3, [0.1] * 3], iqm, rng=rng)
    assert equal == Interval(equal.estimate, equal.estimate, equal.estimate, 0.95, 6)
    assert equal.estimate == pytest.approx(0.1)
    single = stratified_bootstrap([[0.7], [0.8, 0.9]], mean_of_all, rng=rng)
    assert single.estimate == pytest.approx(0.8)
    assert (single.exists, single.coverage) == (False, 0)


def test_bad_bootstraps_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"stratified_bootstrap: .*Count a diverged trial as chance"):
        stratified_bootstrap([[0.5, math.nan]], iqm, rng=rng)
    with pytest.raises(ValueError, match="Leave out a workload without scores"):
        stratified_bootstrap([[0.5, 0.6], []], iqm, rng=rng)
    with pytest.raises(ValueError, match=r"Expected one \[seed\] for each workload"):
        stratified_bootstrap([[[0.5, 0.6]]], iqm, rng=rng)
    with pytest.raises(ValueError, match="Reduce the last axis only"):
        stratified_bootstrap([[0.5, 0.6]], lambda scores: np.mean(scores), rng=rng)
    for confidence, resamples in ((95, 100), (0.95, 0)):
        with pytest.raises(
            ValueError, match=r"between 0 and 1, such as 0\.95, and a whole number from 1, such as 2000"
        ):
            stratified_bootstrap([[0.5, 0.6]], iqm, rng=rng, confidence=confidence, resamples=resamples)
