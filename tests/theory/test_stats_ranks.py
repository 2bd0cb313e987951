"""Friedman, Nemenyi and cliques against scipy, scikit-posthocs, published tables and hand-computed cases."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import stats

from initsuite.stats.ranks import cliques, critical_difference, friedman_test

EXACT = 1e-9
DEMSAR_TABLE_5 = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
"""q_0.05 of the two-tailed Nemenyi test, by number of arms; printed to three places."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (12, 5), (40, 10)])
@pytest.mark.parametrize("has_ties", [False, True])
def test_friedman_against_scipy(shape: tuple[int, int], has_ties: bool, rng: np.random.Generator) -> None:
    scores = rng.integers(0, 3, shape) if has_ties else rng.normal(size=shape)
    expected = stats.friedmanchisquare(*scores.T)
    result = friedman_test(scores)
    assert result.chi_squared == pytest.approx(expected.statistic, rel=EXACT)
    assert result.p_chi_squared == pytest.approx(expected.pvalue, rel=EXACT)


def test_friedman_by_hand() -> None:
    # Ranks 1 2 3, 1 3 2, 1 2 3, 2 1 3: sums 5, 8, 11, chi2 = 12 / (4 * 3 * 4) * 210 - 3 * 4 * 4 = 4.5.
    # F = 3 * 4.5 / (4 * 2 - 4.5) = 3.857, with 2 and 6 degrees of freedom.
    result = friedman_test([[3, 2, 1], [9, 1, 5], [0.3, 0.2, 0.1], [5, 6, 4]])
    assert result.mean_ranks.tolist() == [1.25, 2.0, 2.75]
    assert (result.chi_squared, result.f) == pytest.approx((4.5, 13.5 / 3.5), rel=EXACT)
    assert result.p_f == pytest.approx((1 + 2 * result.f / 6) ** -3, rel=EXACT)  # closed form at 2 and 6


def test_friedman_of_the_reference() -> None:
    """Demsar (2006), table 6: mean ranks 3.143, 2.000, 2.893, 1.964, and without correction for ties chi2 9.28."""
    auc = [
        [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
        [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
        # 0.9751: the table prints 0.975 for the last two arms, and ranks this one before the other.
        [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946],
        [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970],
    ]
    result = friedman_test(np.transpose(auc))
    assert result.mean_ranks.tolist() == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    # Three pairs and one group of four tie: sum of t^3 - t over n k (k^2 - 1) is 78 / 840.
    uncorrected = result.chi_squared * (1 - 78 / 840)
    assert uncorrected == pytest.approx(9.28, abs=0.005)


@pytest.mark.parametrize(("n", "k"), [(2, 3), (3, 3), (4, 2), (2, 5)])
def test_full_agreement_has_its_exact_p(n: int, k: int) -> None:
    result = friedman_test(np.tile(np.arange(k), (n, 1)))
    assert result.f == math.inf
    assert result.chi_squared == n * (k - 1)
    assert result.p_f == pytest.approx(math.factorial(k) ** -(n - 1.0), rel=EXACT)
    assert result.mean_ranks.tolist() == list(range(k, 0, -1))


def test_full_agreement_by_counting_all_tables() -> None:
    """3 workloads, 3 arms: the share of rankings by chance that agree; with a tie in each, fewer orders differ."""
    for row in ([1, 2, 3], [1, 1, 3]):
        tables = list(itertools.product(itertools.permutations(row), repeat=3))
        agreeing = [table for table in tables if table[0] == table[1] == table[2]]
        assert friedman_test([row] * 3).p_f == pytest.approx(len(agreeing) / len(tables), rel=EXACT)


@pytest.mark.parametrize(
    "rows", [[[1, 2, 3]] * 3, [[1, 2, 3], [1, 1, 3], [1, 2, 2]], [[1, 1, 3], [2, 2, 2], [1, 1, 3]]]
)
def test_no_p_is_below_what_chance_can_do(rows: list[list[int]]) -> None:
    """The floor of p_f is at most the exact p of every table with these ties, by counting them all."""
    tables = [np.array(t) for t in itertools.product(*(itertools.permutations(row) for row in rows))]
    results = [friedman_test(table) for table in tables]
    chi_squared = np.array([result.chi_squared for result in results])
    smallest_exact = (chi_squared >= chi_squared.max() - EXACT).mean()
    assert min(result.p_f for result in results) <= smallest_exact + EXACT
    order = np.argsort(chi_squared)
    assert (np.diff(np.array([result.p_f for result in results])[order]) <= EXACT).all(), "more agreement, smaller p"


def test_friedman_of_two_arms_is_defined(rng: np.random.Generator) -> None:
    """k = 2: chi2 is the squared z of the sign test."""
    scores = rng.normal(size=(20, 2))
    wins = int((scores[:, 0] > scores[:, 1]).sum())
    assert friedman_test(scores).chi_squared == pytest.approx((wins - 10) ** 2 / 5, rel=EXACT)


def test_friedman_of_equal_scores_finds_nothing() -> None:
    result = friedman_test(np.full((5, 3), 0.4))
    assert (result.chi_squared, result.p_chi_squared, result.f, result.p_f) == (0, 1, 0, 1)
    assert result.mean_ranks.tolist() == [2, 2, 2]


def test_friedman_ranks_misses_as_equals() -> None:
    result = friedman_test([[0.9, -math.inf, -math.inf], [0.8, -math.inf, -math.inf]])
    assert result.mean_ranks.tolist() == [1, 2.5, 2.5]


def test_friedman_holds_its_level(rng: np.random.Generator) -> None:
    """12 workloads, 5 arms by chance: 2,000 tables, a standard error of 0.5 %, three allowed. It is approximate."""
    p_values = np.array([friedman_test(rng.normal(size=(12, 5))).p_f for _ in range(2000)])
    assert (p_values <= 0.05).mean() == pytest.approx(0.05, abs=3 * 0.005)


@pytest.mark.parametrize("bad", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, math.nan], [1.0, 2.0]], [1.0, 2.0]])
def test_friedman_refuses_what_it_cannot_rank(bad: ArrayLike) -> None:
    with pytest.raises(ValueError, match="Leave out workloads that lack an arm"):
        friedman_test(bad)


@pytest.mark.parametrize("num_arms", DEMSAR_TABLE_5)
def test_critical_difference_against_the_table(num_arms: int) -> None:
    q = critical_difference(num_arms, 14) / math.sqrt(num_arms * (num_arms + 1) / (6 * 14))
    assert q == pytest.approx(DEMSAR_TABLE_5[num_arms], abs=0.0011)  # the table is off by one in its last place


def test_critical_difference_of_two_arms_is_that_of_the_normal_law() -> None:
    assert critical_difference(2, 6) == pytest.approx(stats.norm.ppf(0.975) / math.sqrt(6), rel=1e-6)


def test_critical_difference_refuses_nonsense() -> None:
    for num_arms, num_workloads in ((1, 5), (3, 0)):
        with pytest.raises(ValueError, match="at least 2 arms and 1 workload"):
            critical_difference(num_arms, num_workloads)
    with pytest.raises(ValueError, match=r"between 0 and 1, such as 0\.95"):
        critical_difference(3, 5, confidence=95)


@pytest.mark.parametrize("shape", [(6, 3), (12, 5), (30, 8), (9, 2)])
def test_critical_difference_decides_as_nemenyi_p_values_of_scikit_posthocs(
    shape: tuple[int, int], rng: np.random.Generator
) -> None:
    scores = rng.normal(size=shape) + np.linspace(0, 2, shape[1])
    import scikit_posthocs  # with seaborn and statsmodels: seconds

    p = scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    ranks = friedman_test(scores).mean_ranks
    distances = np.abs(ranks[:, None] - ranks)
    for confidence in (0.5, 0.9, 0.95, 0.99):
        is_decided = distances > critical_difference(shape[1], shape[0], confidence)
        assert (is_decided == (p < 1 - confidence)).all()


def brute_force_cliques(ranks: np.ndarray, cd: float) -> set[frozenset[int]]:
    """All subsets within cd that no other such subset contains."""
    within = [
        frozenset(subset)
        for size in range(2, len(ranks) + 1)
        for subset in itertools.combinations(range(len(ranks)), size)
        if np.ptp(ranks[list(subset)]) <= cd
    ]
    return {subset for subset in within if not any(subset < other for other in within)}


@pytest.mark.parametrize("cd", [0.0, 0.4, 1.0, 2.5, 9.0])
def test_cliques_against_brute_force(cd: float, rng: np.random.Generator) -> None:
    for num_arms in (1, 2, 5, 8):
        ranks = rng.uniform(1, num_arms, num_arms)
        found = cliques(ranks, cd)
        assert {frozenset(clique) for clique in found} == brute_force_cliques(ranks, cd)
        assert len(found) == len(set(found))
        assert all((np.diff(ranks[list(clique)]) >= 0).all() for clique in found)


def test_cliques_by_hand() -> None:
    """The reference's example: CD 1.25 at 0.05 for four arms on 14 workloads ties all of them."""
    ranks = [3.143, 2.000, 2.893, 1.964]
    assert cliques(ranks, 1.25) == [(3, 1, 2, 0)]
    assert cliques(ranks, 1.0) == [(3, 1, 2), (2, 0)]
    assert cliques(ranks, 0.01) == cliques([], 1.0) == []


def test_equal_ranks_are_one_clique() -> None:
    assert cliques([2.0, 2.0, 2.0], 0.0) == [(0, 1, 2)]


def test_cliques_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="Take them from friedman_test"):
        cliques([1.0, math.inf], 1.0)
    for cd in (-1.0, math.nan):
        with pytest.raises(ValueError, match="Take it from critical_difference"):
            cliques([1.0, 2.0], cd)
