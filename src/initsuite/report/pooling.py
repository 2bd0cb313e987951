"""Two initializers against each other over several contexts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from initsuite.report.comparison import ALPHA, Standing, places_of
from initsuite.stats.intervals import Interval
from initsuite.stats.pairwise import probability_of_improvement, sign_flip_test
from initsuite.stats.pooled import stratified_improvement, stratified_sign_flip_test


@dataclass(frozen=True)
class Duel:
    """Two arms on the seeds that they share.

    Attributes:
        ours: places of the one arm's trials, [pair], higher is better.
        theirs: of the other's.
        improvement: P(ours is better), ties 1/2.
        p_value: of the sign flips paired by seed.
    """

    ours: np.ndarray
    theirs: np.ndarray
    improvement: Interval
    p_value: float

    @property
    def num_pairs(self) -> int:
        return len(self.ours)

    @property
    def is_won(self) -> bool | None:
        """Whether ours is better; None where the seeds do not decide."""
        if not self.num_pairs or self.p_value > ALPHA:
            return None
        return bool(self.ours.mean() > self.theirs.mean())


def duel(ours: Standing, theirs: Standing, level: str | None) -> Duel:
    """Pair the trials of two arms by seed, in the order that the recommendations rank by.

    Args:
        level: that both are held to; None = the loss area.
    """
    seeds = ours.arm.trials.index.intersection(theirs.arm.trials.index)
    trials = pd.concat([ours.arm.trials.loc[seeds], theirs.arm.trials.loc[seeds]])
    places = -rankdata(places_of(trials, level))
    first, second = places[: len(seeds)], places[len(seeds) :]
    # Flips are drawn afresh from one seed, here and below: a table does not change when it is made again.
    p_value = sign_flip_test(first - second, rng=np.random.default_rng(0))
    return Duel(first, second, probability_of_improvement(first, second), p_value)


def pooled(duels: Sequence[Duel]) -> tuple[Interval, float]:
    """P(ours is better) as the mean over contexts, and the p-value of the signs flipped within contexts."""
    differences = [found.ours - found.theirs for found in duels]
    p_value = stratified_sign_flip_test(differences, rng=np.random.default_rng(0))
    return stratified_improvement([found.ours for found in duels], [found.theirs for found in duels]), p_value
