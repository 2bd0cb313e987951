"""The second result of a context: which arm ends best, by how much, and whether the seeds can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from initsuite.protocol.yardstick import Yardstick
from initsuite.report.evidence.context import Arm, counted_scores, test_scores
from initsuite.report.verdicts.rulings import Verdict, verdict_of
from initsuite.spec import Status
from initsuite.stats.intervals import MISSING, Interval, mean_interval
from initsuite.stats.pairwise import holm, probability_of_improvement, sign_flip_test, smallest_p


@dataclass(frozen=True)
class ScoreStanding:
    """An arm with its place by final score.

    Attributes:
        validation: mean final validation score; a diverged trial counts as chance. It chooses the leader.
        key: what standings are sorted by, best first.
        difference: the leader's test score less this arm's, in the unit of the metric, its mean over the seeds that
            both have; turned so that a positive one favours the leader.
        p_value: the adjusted one of the leader against this arm; NaN where nothing was compared.
        lead: P(the leader's test score is better), ties 1/2; None where nothing was compared.
    """

    arm: Arm
    validation: float
    near_chance: bool
    key: tuple[float, ...]
    difference: Interval = MISSING
    verdict: Verdict = Verdict.NOT_TRAINED
    p_value: float = math.nan
    lead: Interval | None = None


@dataclass(frozen=True)
class ScoreRanking:
    """The scored arms of a context by final score, best first: chosen on validation data, tested on test data."""

    standings: tuple[ScoreStanding, ...]

    @property
    def leader(self) -> ScoreStanding | None:
        """The first arm, if it trains."""
        return next((found for found in self.standings[:1] if found.verdict == Verdict.LEADS), None)

    def of_arm(self, name: str) -> ScoreStanding | None:
        """The standing of an arm; None if it was not scored."""
        return next((found for found in self.standings if found.arm.name == name), None)


def rank_scores(yardstick: Yardstick, arms: Sequence[tuple[Arm, bool]]) -> ScoreRanking:
    """Rank arms by their mean final validation score, and test the leader against each other one on test scores.

    Differences are paired by seed; the family is the leader against each other arm (sign flips, Holm). The validation
    score chooses and the test score judges, so that the difference is not flattered by the choice.

    Args:
        yardstick: scale of the data set.
        arms: those with scoring trials, each with whether it stays near chance: then it never leads one that trains.
    """
    standings = sorted((_measured(yardstick, arm, is_near) for arm, is_near in arms), key=lambda found: found.key)
    if all(found.near_chance for found in standings):
        return ScoreRanking(tuple(standings))
    leader, *others = standings
    differences = [_differences(yardstick, leader.arm, other.arm) for other in others]
    # The flips of each test are drawn again from the same seed: a table does not change when it is made again.
    p_values = holm([sign_flip_test(values, rng=np.random.default_rng(0)) for values in differences]).tolist()
    best_case = holm([smallest_p(len(values)) for values in differences]).tolist()
    judged = [
        _judged(yardstick, leader, other, values, p_value, best)
        for other, values, p_value, best in zip(others, differences, p_values, best_case, strict=True)
    ]
    return ScoreRanking((replace(leader, verdict=Verdict.LEADS), *judged))


def _measured(yardstick: Yardstick, arm: Arm, near_chance: bool) -> ScoreStanding:
    final = arm.trials.final_val_score.where(arm.trials.status != Status.DIVERGED, yardstick.chance)
    mean = float(final.dropna().map(yardstick.counted).mean())
    key = (near_chance, math.isnan(mean), 0.0 if math.isnan(mean) else -yardstick.oriented(mean))
    return ScoreStanding(arm, mean, near_chance, key)


def _differences(yardstick: Yardstick, ours: Arm, theirs: Arm) -> np.ndarray:
    """[seed that both have], positive where ours is better."""
    first, second = (counted_scores(arm, yardstick) for arm in (ours, theirs))
    return yardstick.oriented((first - second).dropna()).to_numpy(dtype=float)


def _judged(
    yardstick: Yardstick, leader: ScoreStanding, other: ScoreStanding, values: np.ndarray, p_value: float, best: float
) -> ScoreStanding:
    first, second = (yardstick.oriented(counted_scores(found.arm, yardstick)) for found in (leader, other))
    lead = probability_of_improvement(first, second)
    verdict = verdict_of(lead, p_value, best, is_ahead=values.sum() > 0)
    return replace(other, difference=mean_interval(values), verdict=verdict, p_value=p_value, lead=lead)


def score_places(trials: pd.DataFrame, yardstick: Yardstick) -> np.ndarray:
    """Order of trials by test score, [trial], lower is better; one without a score is last."""
    return (-yardstick.oriented(test_scores(trials, yardstick))).fillna(math.inf).to_numpy(dtype=float)
