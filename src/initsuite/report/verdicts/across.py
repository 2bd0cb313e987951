"""Across contexts: which initializers can be compared over many of them, and the results as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from initsuite.report.evidence.context import Arm, Context, counted_scores
from initsuite.report.verdicts.comparison import Comparison, Standing, rank_key
from initsuite.report.verdicts.recommendations import Report
from initsuite.stats.aggregate import iqm, optimality_gap, stratified_bootstrap
from initsuite.stats.profiles import performance_profile, profile_area
from initsuite.stats.ranks import FriedmanResult, cliques, critical_difference, friedman_test
from initsuite.stats.tuning_budget import expected_best
from initsuite.wording import format_count

TAUS = np.linspace(1.0, 4.0, 61)
"""Factors of the fastest arm's steps at which profiles are drawn."""
SPEED, SCORE = RESULTS = ("speed", "score")
"""The two results by which initializers are ranked."""
AGGREGATE_COLUMNS = [
    "init", "num_contexts", "iqm", "iqm_low", "iqm_high",
    "optimality_gap", "optimality_gap_low", "optimality_gap_high", "profile_area", "mean_rank",
]  # fmt: skip


@dataclass(frozen=True)
class Block:
    """Initializers that were all scored in all of these contexts, as tests across contexts need them.

    Attributes:
        names: the names of the initializers.
        comparisons: [context], tuned ones where there are any.
        left_out: initializers that lack a context, and contexts that lack one of `names`, in words; "" for none.
    """

    names: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    left_out: str

    @property
    def size(self) -> str:
        """How many contexts, in words."""
        return format_count(len(self.comparisons), "context")

    def standings(self, comparison: Comparison) -> list[Standing]:
        """The standings of `names`, in that order."""
        found = {standing.arm.name: standing for standing in comparison.standings}
        return [found[name] for name in self.names]


def main_comparisons(report: Report) -> tuple[Comparison, ...]:
    """One per context: that with tuned lrs or, of those under one lr for all, that in which most arms train."""
    best: dict[str, Comparison] = {}
    for found in report.comparisons:
        known = best.setdefault(found.context.context_id, found)
        if _weight(found) > _weight(known):
            best[found.context.context_id] = found
    return tuple(best.values())


def _weight(comparison: Comparison) -> tuple[bool, int]:
    return comparison.context.is_tuned, sum(not standing.near_chance for standing in comparison.scored)


def complete_block(comparisons: Sequence[Comparison]) -> Block:
    """A large block of initializers x contexts without a gap: the one with most pairs of initializers in all contexts.

    The candidates are the sets of initializers that a context has, that two contexts share, or that are in at least a
    given number of contexts.
    """
    scored = [_scored(comparison) for comparison in comparisons]
    counts = {name: sum(name in names for names in scored) for names in scored for name in names}
    sets = set(scored) | {one & other for one in set(scored) for other in set(scored)}
    sets |= {frozenset(name for name, count in counts.items() if count >= least) for least in counts.values()}
    blocks = {names: sum(names <= there for there in scored) for names in sets if names}
    sizes = {names: (math.comb(len(names), 2) * blocks[names], blocks[names]) for names in sorted(blocks, key=sorted)}
    best = max(sizes, key=lambda names: sizes[names], default=frozenset())
    chosen = tuple(found for found, there in zip(comparisons, scored, strict=True) if best and there >= best)
    without = sorted(set(counts) - best)
    parts = [f"initializers not scored in every one of these contexts: {', '.join(without)}"] if without else []
    if len(chosen) < len(comparisons):
        parts.append(f"contexts without one of these initializers: {len(comparisons) - len(chosen)}")
    return Block(tuple(sorted(best)), chosen, "; ".join(parts))


def _scored(comparison: Comparison) -> frozenset[str]:
    arms = comparison.context.arms
    return frozenset(arm.name for arm in arms if len(normalised_scores(comparison.context, arm)))


def normalised_scores(context: Context, arm: Arm) -> np.ndarray:
    """Test scores of the scoring trials, [seed]: 0 at chance, 1 at the hard level; a diverged trial counts as chance.

    Where no level is frozen, 1 is the best score there is.
    """
    yardstick = context.yardstick
    return counted_scores(arm, yardstick).map(yardstick.normalised).to_numpy(dtype=float)


def profiles(block: Block) -> pd.DataFrame:
    """Share of contexts in which an arm needs at most tau times the steps of the fastest one.

    Returns:
        Columns init, tau, share, num_contexts: those whose data set has frozen levels. Steps are those to the level
        that ranks a context.
    """
    times = _times(block)
    shares = performance_profile(times, TAUS).tolist() if times.size else []
    rows = [
        (name, tau, share, times.shape[1])
        for name, by_tau in zip(block.names, shares, strict=bool(shares))
        for tau, share in zip(TAUS.tolist(), by_tau, strict=True)
    ]
    return pd.DataFrame(rows, columns=["init", "tau", "share", "num_contexts"])


def aggregates(block: Block) -> pd.DataFrame:
    """One row per initializer: normalised test score over all contexts, area of the profile, mean rank.

    Returns:
        Columns `AGGREGATE_COLUMNS`, best mean rank first. `iqm` and `optimality_gap` have the 95 % interval of a
        bootstrap that resamples the seeds of each context; scores are those of `normalised_scores`.
    """
    areas = dict(zip(block.names, profile_area(times).tolist(), strict=True)) if (times := _times(block)).size else {}
    rows = []
    for name, mean_rank in mean_ranks(block).items():
        place = block.names.index(name)
        scores = [normalised_scores(found.context, block.standings(found)[place].arm) for found in block.comparisons]
        middle = stratified_bootstrap(scores, iqm, rng=np.random.default_rng(0))
        gap = stratified_bootstrap(scores, optimality_gap, rng=np.random.default_rng(0))
        values = (middle.estimate, middle.low, middle.high, gap.estimate, gap.low, gap.high)
        rows.append((name, len(scores), *values, areas.get(name, math.nan), mean_rank))
    return pd.DataFrame(rows, columns=AGGREGATE_COLUMNS)


def rank_places(block: Block, by: str = SPEED) -> np.ndarray:
    """Place of each arm in each context, [context, arm]; 1 is best, ties share.

    Args:
        by: `speed`, the rule of the recommendations, or `score`, the mean final validation score.
    """
    keys = [[_key(found, standing, by) for standing in block.standings(found)] for found in block.comparisons]
    rows = [scipy.stats.rankdata([sorted(row).index(key) for key in row]) for row in keys]
    return np.array(rows).reshape(len(block.comparisons), len(block.names))


def _key(comparison: Comparison, standing: Standing, by: str) -> tuple[float, ...]:
    found = comparison.scores.of_arm(standing.arm.name) if by == SCORE else None
    return found.key if found else rank_key(standing)


def mean_ranks(block: Block, by: str = SPEED) -> dict[str, float]:
    """The mean place of each initializer over the contexts, best first.

    The one statistic behind what is recommended over contexts, the headline of the page and the diagram of ranks.
    """
    means = rank_places(block, by).mean(axis=0) if block.comparisons else np.empty(0)
    return {block.names[place]: float(means[place]) for place in np.argsort(means, kind="stable")}


@dataclass(frozen=True)
class Ranks:
    """The critical-difference diagram.

    Attributes:
        mean_ranks: by initializer, best first; 1 is the best place.
        critical_difference: mean ranks further apart than this differ at the 5 % level (Nemenyi).
        cliques: groups of initializers between which the test finds no difference.
        friedman: the test that all are alike.
        num_contexts: how many contexts the ranks are means over.
    """

    mean_ranks: Mapping[str, float]
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]
    friedman: FriedmanResult
    num_contexts: int


def ranks(block: Block) -> Ranks | None:
    """None with fewer than two initializers or contexts."""
    if len(block.names) < 2 or len(block.comparisons) < 2:
        return None
    found = friedman_test(-rank_places(block))
    distance = critical_difference(len(block.names), len(block.comparisons))
    means = np.asarray(found.mean_ranks)
    return Ranks(
        mean_ranks(block),
        distance,
        tuple(tuple(block.names[place] for place in group) for group in cliques(means, distance)),
        found,
        len(block.comparisons),
    )


def tuning_budget(block: Block) -> pd.DataFrame:
    """Expected best normalised validation score after trying some of the grid's learning rates in random order.

    Returns:
        Columns init, num_lrs, score: the mean over contexts; up to the fewest learning rates that any arm was tried at.
    """
    grids = [
        [
            [found.context.yardstick.normalised(score) for score in standing.arm.lr_scores.values()]
            for standing in block.standings(found)
        ]
        for found in block.comparisons
    ]
    most = min((len(values) for arms in grids for values in arms), default=0)
    rows = []
    for place, name in enumerate(block.names if most else ()):
        mean = np.mean([expected_best(np.array(arms[place]))[:most] for arms in grids], axis=0)
        rows += [{"init": name, "num_lrs": b + 1, "score": float(value)} for b, value in enumerate(mean)]
    return pd.DataFrame(rows, columns=["init", "num_lrs", "score"])


def _times(block: Block) -> np.ndarray:
    """Median steps to the level of each context, [arm, context]; infinite where the median seed misses it."""
    timed = [found for found in block.comparisons if found.context.yardstick.levels.get("primary") is not None]
    columns: Sequence[list[float]] = [
        [standing.steps.estimate if found.level else math.inf for standing in block.standings(found)] for found in timed
    ]
    return np.array(columns, dtype=float).reshape(len(timed), len(block.names)).T
