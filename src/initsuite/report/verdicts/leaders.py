"""The best initializer over contexts by one result, and it against each of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from initsuite.report.evidence.context import counted_scores
from initsuite.report.verdicts.across import SPEED, Block, mean_ranks
from initsuite.report.verdicts.heat import workload_key
from initsuite.report.verdicts.pooling import Duel, Pooled, by_score, by_speed, duel, outcomes, pooled
from initsuite.report.verdicts.rulings import ruling_of
from initsuite.stats.intervals import Interval, mean_interval
from initsuite.stats.pairwise import holm

AGAINST_COLUMNS = ["init", "improvement", "low", "high", "p_value", "verdict"]


@dataclass(frozen=True)
class Match:
    """The recommended initializer against another one, over contexts; contexts that are significant alone by title."""

    pooled: Pooled
    won: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Leader:
    """The initializers of a block by one result: the best one, and it against each of the others.

    `family` is the number of tests that the p-values are adjusted for.
    """

    best: str
    matches: Mapping[str, Match]
    against: pd.DataFrame
    family: int


def leader_by(block: Block, by: str) -> Leader:
    """The best one by `speed` or `score`, tested by sign flips over contexts.

    The same trials choose the leader and test it. Over several workloads the family (Holm) is therefore every pair;
    within a single one, whose few seeds could decide nothing then, it is the leader against each other, as in
    `comparison.compare`.
    """
    best, *others = mean_ranks(block, by)
    matches = _matches(block, best, others, by)
    num_workloads = len({workload_key(comparison, "activation") for comparison in block.comparisons})
    family = len(matches) if num_workloads == 1 else math.comb(len(matches) + 1, 2)
    return Leader(best, matches, _against(matches, family), family)


def _matches(block: Block, best: str, others: Sequence[str], by: str) -> dict[str, Match]:
    found: dict[str, dict[str, Duel]] = {}
    for comparison in block.comparisons:
        standings = dict(zip(block.names, block.standings(comparison), strict=True))
        cluster = workload_key(comparison, "activation")
        order = by_speed(comparison.level) if by == SPEED else by_score(comparison.context.yardstick)
        for other in others:
            pair = duel(standings[best], standings[other], order, cluster)
            if pair is not None and pair.num_pairs:
                found.setdefault(other, {})[comparison.context.title] = pair
    return {other: _match(found[other]) for other in others if other in found}


def _match(duels: Mapping[str, Duel]) -> Match:
    decided = dict(zip(duels, outcomes(list(duels.values())), strict=True))
    won, lost = (tuple(title for title, one in decided.items() if one.is_won is is_won) for is_won in (True, False))
    return Match(pooled(list(duels.values())), won, lost)


def _against(matches: Mapping[str, Match], family: int) -> pd.DataFrame:
    adjusted = holm([found.pooled.p_value for found in matches.values()], family) if matches else []
    rows = []
    for (name, found), p_value in zip(matches.items(), adjusted, strict=True):
        lead = found.pooled.improvement
        verdict = ruling_of(lead, float(p_value), len(found.won), len(found.lost))
        rows.append((name, lead.estimate, lead.low, lead.high, float(p_value), str(verdict)))
    return pd.DataFrame(rows, columns=AGAINST_COLUMNS)


def score_gain(block: Block, accurate: str, fastest: str) -> Interval:
    """The mean difference of test scores, paired by seed: with Student's interval over workloads, or over the seeds of
    a single one."""
    by_cluster: dict[str, list[pd.Series]] = {}
    is_mixed = len(metrics_of(block)) > 1
    for comparison in block.comparisons:
        yardstick = comparison.context.yardstick
        arms = {standing.arm.name: standing.arm for standing in comparison.standings}
        scores = [counted_scores(arms[name], yardstick) for name in (accurate, fastest)]
        if is_mixed:
            scores = [one.map(yardstick.normalised) for one in scores]
        difference = (scores[0] - scores[1]).dropna()
        by_cluster.setdefault(workload_key(comparison, "activation"), []).append(
            difference if is_mixed else yardstick.oriented(difference)
        )
    by_seed = [pd.concat(found, axis=1).mean(axis=1) for found in by_cluster.values()]
    return mean_interval(by_seed[0] if len(by_seed) == 1 else [found.mean() for found in by_seed])


def metrics_of(block: Block) -> set[str]:
    return {comparison.context.yardstick.metric for comparison in block.comparisons}
