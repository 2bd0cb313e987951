"""Across contexts: which initializers can be compared over many of them, and what comes of it, as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from initsuite.report.comparison import Comparison, Standing, rank_key
from initsuite.report.context import Arm, Context
from initsuite.report.recommendations import Report
from initsuite.spec import Status
from initsuite.stats.aggregate import iqm, optimality_gap, stratified_bootstrap
from initsuite.stats.profiles import performance_profile, profile_area
from initsuite.stats.ranks import FriedmanResult, cliques, critical_difference, friedman_test
from initsuite.stats.tuning_budget import expected_best

TAUS = np.linspace(1.0, 4.0, 61)
"""Factors of the fastest arm's steps at which profiles are drawn."""
AGGREGATE_COLUMNS = [
    *("init", "num_contexts", "iqm", "iqm_low", "iqm_high"),
    *("optimality_gap", "optimality_gap_low", "optimality_gap_high", "profile_area", "mean_rank"),
]


@dataclass(frozen=True)
class Block:
    """Initializers that were all scored in all of these contexts, as tests across contexts need them.

    Attributes:
        names: of the initializers.
        comparisons: [context], tuned ones where there are any.
        left_out: initializers that lack a context, and contexts that lack one of `names`, in words; "" for none.
    """

    names: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    left_out: str

    def standings(self, comparison: Comparison) -> list[Standing]:
        """Of `names`, in their order."""
        found = {standing.arm.name: standing for standing in comparison.standings}
        return [found[name] for name in self.names]


def main_comparisons(report: Report) -> tuple[Comparison, ...]:
    """Those with tuned learning rates; all, where none was tuned."""
    return tuple(found for found in report.comparisons if found.context.is_tuned) or report.comparisons


def complete_block(comparisons: Sequence[Comparison]) -> Block:
    """The largest block of initializers x contexts without a gap, by its number of pairs of initializers."""
    scored = [{s.arm.name for s in comparison.standings if s.num_seeds} for comparison in comparisons]
    counts = {name: sum(name in names for names in scored) for names in scored for name in names}
    blocks: list[tuple[tuple[str, ...], list[Comparison]]] = [((), [])]
    for least in sorted(set(counts.values()), reverse=True):
        names = tuple(sorted(name for name, count in counts.items() if count >= least))
        blocks.append((names, [found for found, there in zip(comparisons, scored, strict=True) if there >= set(names)]))
    names, chosen = max(blocks, key=lambda block: (math.comb(len(block[0]), 2) * len(block[1]), len(block[1])))
    without = sorted(set(counts) - set(names))
    parts = [f"initializers not scored in every context: {', '.join(without)}"] if names and without else []
    if names and len(chosen) < len(comparisons):
        parts.append(f"contexts without one of the initializers: {len(comparisons) - len(chosen)}")
    return Block(names, tuple(chosen), "; ".join(parts))


def normalised_scores(context: Context, arm: Arm) -> np.ndarray:
    """Test scores of the scoring trials, [seed]: chance 0, the hard level 1; a diverged trial counts as chance."""
    yardstick = context.yardstick
    score = arm.trials.test_score.where(arm.trials.status != Status.DIVERGED, yardstick.chance).dropna()
    return np.array([yardstick.normalised(yardstick.counted(value)) for value in score], dtype=float)


def profiles(block: Block) -> pd.DataFrame:
    """Share of contexts in which an arm needs at most tau times the steps of the fastest one.

    Returns:
        Columns init, tau, share. Contexts without a frozen level are left out.
    """
    times = _times(block)
    if not times.size:
        return pd.DataFrame(columns=["init", "tau", "share"])
    shares = performance_profile(times, TAUS)
    return pd.DataFrame(
        [
            {"init": name, "tau": float(tau), "share": float(share)}
            for name, row in zip(block.names, shares, strict=True)
            for tau, share in zip(TAUS, row, strict=True)
        ]
    )


def aggregates(block: Block) -> pd.DataFrame:
    """One row an initializer: normalised test score over all contexts, area of the profile, mean rank.

    Returns:
        Columns `AGGREGATE_COLUMNS`, best mean rank first. `iqm` and `optimality_gap` with the 95 % interval of a
        bootstrap that draws the seeds of each context anew; scores are 0 at chance and 1 at the hard level.
    """
    areas = dict(zip(block.names, profile_area(times).tolist(), strict=True)) if (times := _times(block)).size else {}
    mean_ranks = rank_places(block).mean(axis=0) if block.comparisons else np.empty(0)
    rows = []
    for place, name in enumerate(block.names):
        scores = [normalised_scores(found.context, block.standings(found)[place].arm) for found in block.comparisons]
        middle = stratified_bootstrap(scores, iqm, rng=np.random.default_rng(0))
        gap = stratified_bootstrap(scores, optimality_gap, rng=np.random.default_rng(0))
        values = (name, len(scores), middle.estimate, middle.low, middle.high, gap.estimate, gap.low, gap.high)
        rows.append(dict(zip(AGGREGATE_COLUMNS, (*values, areas.get(name, math.nan), mean_ranks[place]), strict=True)))
    return pd.DataFrame(rows, columns=AGGREGATE_COLUMNS).sort_values("mean_rank", ignore_index=True)


def rank_places(block: Block) -> np.ndarray:
    """Place of each arm in each context by the rule of the recommendations, [context, arm]; 1 is best, ties share."""
    rows = []
    for comparison in block.comparisons:
        keys = [rank_key(standing) for standing in block.standings(comparison)]
        order = sorted(set(keys))
        rows.append(rankdata([order.index(key) for key in keys]))
    return np.array(rows).reshape(len(block.comparisons), len(block.names))


@dataclass(frozen=True)
class Ranks:
    """The critical-difference diagram.

    Attributes:
        mean_ranks: by initializer, best first; 1 is the best place.
        critical_difference: mean ranks further apart than this differ at the 5 % level (Nemenyi).
        cliques: groups of initializers that the test does not tell apart.
        friedman: the test that all are alike.
        num_contexts: that the ranks are means over.
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
    places = rank_places(block)
    found = friedman_test(-places)
    distance = critical_difference(len(block.names), len(block.comparisons))
    means = np.asarray(found.mean_ranks)
    order = np.argsort(means, kind="stable")
    return Ranks(
        {block.names[place]: float(means[place]) for place in order},
        distance,
        tuple(tuple(block.names[place] for place in group) for group in cliques(means, distance)),
        found,
        len(block.comparisons),
    )


def tuning_budget(block: Block) -> pd.DataFrame:
    """Expected best normalised validation score after trying some of the grid's learning rates in random order.

    Returns:
        Columns init, num_lrs, score: the mean over contexts; up to the fewest learning rates that an arm was tried at.
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
