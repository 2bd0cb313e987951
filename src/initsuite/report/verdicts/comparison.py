"""The arms of one context against each other: which is fastest, by how much, and whether the seeds can tell."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy

from initsuite.protocol.tuning import trains
from initsuite.report.evidence.context import Arm, Context, counted_scores
from initsuite.report.evidence.levels import COLUMN_OF_LEVEL
from initsuite.report.verdicts.final_score import ScoreRanking, rank_scores
from initsuite.report.verdicts.rulings import ALPHA, Verdict, verdict_of
from initsuite.spec import Status
from initsuite.stats.intervals import Interval, mean_interval, median_interval, success_rate
from initsuite.stats.pairwise import holm, pairs_to_decide, probability_of_improvement, sign_flip_test, smallest_p

BASELINE = "torch_default"


@dataclass(frozen=True)
class Standing:
    """An arm with its measures and its place in the context.

    Attributes:
        reached: share of scoring seeds that reached the context's level; estimate NaN where there is no level.
        steps: median steps to that level, misses infinite.
        score: mean test score; a diverged trial counts as chance, as does a score worse than it on an unbounded scale.
        loss_auc: median area under the validation-loss curve, in the unit of the loss.
        num_reached: scoring seeds that reached the level.
        num_diverged: scoring seeds with a non-finite loss.
        near_chance: the arm trains at no lr and in no scoring seed.
        always_trains: it trains in every scoring seed.
        improvement: P(better than the baseline), ties 1/2; None where the baseline is not among the scored arms.
        p_value: the adjusted one of the leader against this arm; NaN where nothing was compared.
        lead: P(the leader is better than this arm), ties 1/2; None where nothing was compared.
    """

    arm: Arm
    reached: Interval
    steps: Interval
    score: Interval
    loss_auc: Interval
    num_reached: int
    num_diverged: int
    near_chance: bool
    always_trains: bool
    improvement: Interval | None = None
    verdict: Verdict = Verdict.NOT_SCORED
    p_value: float = math.nan
    lead: Interval | None = None

    @property
    def num_seeds(self) -> int:
        return len(self.arm.trials)

    @property
    def is_clearly_worse(self) -> bool:
        """Whether the paired test finds it worse, and the interval of P(the leader is better) lies above 1/2, too."""
        return self.verdict == Verdict.WORSE and self.lead is not None and self.lead.low > 0.5


@dataclass(frozen=True)
class Comparison:
    """A context with its arms ranked.

    Attributes:
        level: `primary`, `easy`, or None where the loss area ranks.
        target: the score of that level.
        standings: [arm], best first; arms without scoring trials last.
        seeds_to_decide: fewest shared seeds with which every comparison of this family could be claimed.
        scores: the same arms by final score, the second result.
    """

    context: Context
    level: str | None
    target: float | None
    standings: tuple[Standing, ...]
    seeds_to_decide: int
    scores: ScoreRanking

    @property
    def key(self) -> tuple[str, str]:
        """What distinguishes the comparisons of a report: context and lr rule."""
        return self.context.context_id, self.context.lr_rule

    @property
    def leader(self) -> Standing | None:
        """The first arm, if it was scored and trains."""
        first = self.standings[0]
        return first if first.verdict == Verdict.LEADS else None

    @property
    def misses_every_level(self) -> bool:
        """Whether the data set has an easy level, and nobody reaches it."""
        return self.level is None and self.context.yardstick.levels.get("easy") is not None

    @property
    def scored(self) -> list[Standing]:
        return [standing for standing in self.standings if standing.num_seeds]

    def of(self, *verdicts: Verdict) -> list[Standing]:
        return [standing for standing in self.standings if standing.verdict in verdicts]


def by_comparison(table: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The rows of a table with columns context_id and lr_rule, by the key of their comparison."""
    groups = table.groupby(["context_id", "lr_rule"], sort=False)
    return {(str(context_id), str(lr_rule)): rows for (context_id, lr_rule), rows in groups}  # pyright: ignore[reportGeneralTypeIssues]


def rows_of(table: pd.DataFrame, keys: Container[tuple[str, str]]) -> pd.DataFrame:
    """The rows of such a table that belong to these comparisons."""
    is_meant = [key in keys for key in zip(table.context_id, table.lr_rule, strict=True)]
    return table.loc[is_meant].reset_index(drop=True)


def compare(context: Context) -> Comparison:
    """Rank the arms of a context and test the leader against each other one.

    The leader has the highest success rate at the level, then the fewest median steps, then the smallest loss area,
    among the arms that train. Differences are paired by seed. Where a level ranks, they are differences of rank in the
    order of `places_of`, so that a miss needs no invented number of steps; where the loss area ranks, of that area. The
    family is the leader against each other arm (sign flips, Holm).
    """
    level = _level(context)
    standings = sorted((_measure(context, arm, level) for arm in context.arms), key=rank_key)
    scored = [standing for standing in standings if standing.num_seeds]
    judged = [_with_improvement(context, standing, level) for standing in _judge(scored, level)]
    target = context.yardstick.levels.get(level) if level else None
    # Arms without scoring trials are the last ones.
    ranked = (*judged, *standings[len(scored) :])
    scores = rank_scores(context.yardstick, [(standing.arm, standing.near_chance) for standing in scored])
    return Comparison(context, level, target, ranked, pairs_to_decide(max(1, len(scored) - 1), ALPHA), scores)


def _level(context: Context) -> str | None:
    """The highest of primary and easy that any trial reached; None where none did or none is frozen."""
    for level, column in COLUMN_OF_LEVEL.items():
        is_frozen = context.yardstick.levels.get(level) is not None
        if is_frozen and any(arm.trials[column].notna().any() for arm in context.arms):
            return level
    return None


def _measure(context: Context, arm: Arm, level: str | None) -> Standing:
    steps = arm.trials[COLUMN_OF_LEVEL[level]] if level else pd.Series(dtype=float)
    yardstick = context.yardstick
    last = arm.trials.final_val_score.where(arm.trials.status == Status.DONE, yardstick.chance).dropna()
    tuned, final = ([trains(score, yardstick) for score in scores] for scores in (arm.lr_scores.values(), last))
    return Standing(
        arm,
        reached=success_rate(steps.notna()),
        steps=median_interval(steps.fillna(math.inf)),
        score=mean_interval(counted_scores(arm, yardstick), clip=yardstick.bounds),
        loss_auc=median_interval(arm.trials.loss_auc.fillna(math.inf)),
        num_reached=int(steps.notna().sum()),
        num_diverged=int((arm.trials.status == Status.DIVERGED).sum()),
        near_chance=bool(tuned or final) and not any(tuned + final),
        always_trains=bool(final) and all(final),
    )


def rank_key(standing: Standing) -> tuple[float, ...]:
    """What standings are sorted by, best first; equal for arms that nothing distinguishes.

    NaN, where nothing was measured, goes last. An arm near chance may have a small loss area beside one that learns and
    overfits: it is never above an arm that trains.
    """
    measures = (-standing.reached.estimate, standing.steps.estimate, standing.loss_auc.estimate)
    known = (math.inf if math.isnan(value) else value for value in measures)
    return standing.num_seeds == 0, standing.near_chance, *known


def _judge(scored: Sequence[Standing], level: str | None) -> list[Standing]:
    """Verdicts of the scored arms, ranked best first."""
    if all(standing.near_chance for standing in scored):
        return [replace(standing, verdict=Verdict.NOT_TRAINED) for standing in scored]
    leader, *others = scored
    differences = [_paired_differences(leader.arm, other.arm, level) for other in others]
    # The flips of each test are drawn again from the same seed: a table does not change when it is made again.
    p_values = holm([sign_flip_test(values, rng=np.random.default_rng(0)) for values in differences]).tolist()
    best_case = holm([smallest_p(len(values)) for values in differences]).tolist()
    leads = [_improvement(leader.arm.trials, other.arm.trials, level) for other in others]
    judged = [
        replace(other, verdict=_verdict(leader, other, values, p_value, best, lead), p_value=p_value, lead=lead)
        for other, values, p_value, best, lead in zip(others, differences, p_values, best_case, leads, strict=True)
    ]
    return [replace(leader, verdict=Verdict.LEADS), *judged]


def _verdict(
    leader: Standing, other: Standing, values: np.ndarray, p_value: float, best_case: float, lead: Interval
) -> Verdict:
    """An arm that never trains beside one that always does is reported as that, where the seeds are too few to test."""
    verdict = verdict_of(lead, p_value, best_case, is_ahead=values.sum() > 0)
    is_all_or_nothing = other.near_chance and leader.always_trains
    return Verdict.NOT_TRAINED if verdict == Verdict.TOO_FEW_SEEDS and is_all_or_nothing else verdict


def _paired_differences(leader: Arm, other: Arm, level: str | None) -> np.ndarray:
    """[seed that both have], positive where the leader is better: ranks, or units of the loss where its area ranks."""
    seeds = leader.trials.index.intersection(other.trials.index)
    ours, theirs = (arm.trials.loc[seeds] for arm in (leader, other))
    if level is None:
        return (theirs.loss_auc - ours.loss_auc).dropna().to_numpy(dtype=float)
    places = scipy.stats.rankdata(places_of(pd.concat([ours, theirs]), level))
    return places[len(seeds) :] - places[: len(seeds)]


def places_of(trials: pd.DataFrame, level: str | None) -> np.ndarray:
    """Order of trials, [trial], lower is better: steps to the level, then those that miss it by their loss area.

    Without a level, the loss area itself. Trials that reach the level at the same evaluation are tied.
    """
    area = trials.loss_auc.fillna(math.inf)
    if level is None:
        return area.to_numpy(dtype=float)
    steps = trials[COLUMN_OF_LEVEL[level]]
    keys = np.column_stack([steps.fillna(math.inf), area.where(steps.isna(), 0.0)])
    return np.unique(keys, axis=0, return_inverse=True)[1].ravel().astype(float)


def _with_improvement(context: Context, standing: Standing, level: str | None) -> Standing:
    baseline = next((arm for arm in context.arms if arm.name == BASELINE and len(arm.trials)), None)
    if baseline is None or baseline is standing.arm or not standing.num_seeds:
        return standing
    return replace(standing, improvement=_improvement(standing.arm.trials, baseline.trials, level))


def _improvement(ours: pd.DataFrame, theirs: pd.DataFrame, level: str | None) -> Interval:
    """P(one of our trials is better than one of theirs), ties 1/2."""
    places = -places_of(pd.concat([ours, theirs]), level)
    return probability_of_improvement(places[: len(ours)], places[len(ours) :])
