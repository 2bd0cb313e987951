"""Two initializers against each other over several contexts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import scipy

from initsuite.protocol.yardstick import Yardstick
from initsuite.report.verdicts.comparison import Standing, places_of
from initsuite.report.verdicts.final_score import score_places
from initsuite.report.verdicts.rulings import ALPHA
from initsuite.stats.intervals import Interval
from initsuite.stats.pairwise import hochberg, probability_of_improvement, sign_flip_test, smallest_p
from initsuite.stats.pooled import dependent_mean, mean_over_contexts, stratified_sign_flip_test

Order = Callable[[pd.DataFrame], np.ndarray]


def by_speed(level: str | None) -> Order:
    """Trials ordered as the recommendations rank them: by steps to a level, or by loss area."""
    return partial(places_of, level=level)


def by_score(yardstick: Yardstick) -> Order:
    """Trials ordered by test score."""
    return partial(score_places, yardstick=yardstick)


@dataclass(frozen=True)
class Duel:
    """Two arms on the seeds that they share.

    Attributes:
        cluster: equal for contexts whose trials share initial weights or are the same ones: those of one workload.
        places: rank among the trials of both, higher is better, columns ours and theirs, by seed.
        improvement: P(ours is better) for two random seeds, ties 1/2.
        p_value: that of the sign flips paired by seed, of this context alone.
    """

    cluster: str
    places: pd.DataFrame
    improvement: Interval
    p_value: float

    @property
    def num_pairs(self) -> int:
        return len(self.places)

    @property
    def differences(self) -> pd.Series:
        """Ours less theirs, by seed; the sum is 2 P(ours is better) - 1, by the identity of Mann and Whitney."""
        return (self.places.ours - self.places.theirs) / max(1, self.num_pairs) ** 2


@dataclass(frozen=True)
class Pooled:
    """Duels over several contexts as one.

    Attributes:
        improvement: the mean of P(ours is better) over clusters; its interval is about further ones like these.
        p_value: that of signs flipped together where a cluster shares a seed.
        num_flips: signs that can be flipped on their own.
    """

    improvement: Interval
    p_value: float
    num_flips: int

    def can_decide(self, num_tests: int) -> bool:
        """Whether the best possible outcome would be a claim, in a family of so many tests (Holm)."""
        return num_tests * smallest_p(self.num_flips) <= ALPHA


def duel(ours: Standing, theirs: Standing, order: Order, cluster: str) -> Duel | None:
    """Pair the trials of two arms by seed; None where neither trains.

    Args:
        order: that of trials of both, [trial], lower is better, such as `by_speed`.
        cluster: see `Duel`.
    """
    if ours.near_chance and theirs.near_chance:
        return None
    seeds = ours.arm.trials.index.intersection(theirs.arm.trials.index)
    trials = pd.concat([ours.arm.trials.loc[seeds], theirs.arm.trials.loc[seeds]])
    ranks = -scipy.stats.rankdata(order(trials))
    places = pd.DataFrame({"ours": ranks[: len(seeds)], "theirs": ranks[len(seeds) :]}, index=seeds)
    # Flips are drawn from the same seed, here and below: a table does not change when it is made again.
    p_value = sign_flip_test(places.ours - places.theirs, rng=np.random.default_rng(0))
    return Duel(cluster, places, probability_of_improvement(places.ours, places.theirs), p_value)


@dataclass(frozen=True)
class Outcome:
    """What one context of several says about a pair.

    Attributes:
        is_won: whether ours is better; None where the seeds do not decide.
        p_value: adjusted over the contexts (Hochberg).
    """

    is_won: bool | None
    p_value: float


def outcomes(duels: Sequence[Duel]) -> list[Outcome]:
    """Which contexts are significant on their own, [duel].

    Hochberg's adjustment over the contexts keeps the probability of a single false one at 5 %, so that contexts of
    which some are for and others against are not an accident of many tests.
    """
    adjusted = hochberg([found.p_value for found in duels]).tolist()
    return [
        Outcome(found.improvement.estimate > 0.5 if found.num_pairs and p_value <= ALPHA else None, p_value)
        for found, p_value in zip(duels, adjusted, strict=True)
    ]


def pooled(duels: Sequence[Duel]) -> Pooled:
    """Several duels, at least one with a pair, as one; every cluster has the same weight.

    The contexts of a workload start from the same weights at the same seed, and may share trials: within a cluster the
    differences of a seed are averaged, and its sign is flipped once. The tested sum is that of 2 P(better) - 1 over the
    clusters, so that test and estimate never point to different sides.
    """
    clusters: dict[str, list[Duel]] = {}
    for found in duels:
        if found.num_pairs:
            clusters.setdefault(found.cluster, []).append(found)
    by_seed = [pd.concat([one.differences for one in found], axis=1).fillna(0.0) for found in clusters.values()]
    strata = [len(table) * table.mean(axis=1).to_numpy() for table in by_seed]
    p_value = stratified_sign_flip_test(strata, rng=np.random.default_rng(0), is_scaled=False)
    means = [dependent_mean([one.improvement for one in found]) for found in clusters.values()]
    return Pooled(mean_over_contexts(means), p_value, sum(map(len, strata)))
