"""Initializers that are all alike, in planted stores: how often the report claims a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from initsuite.report.verdicts.across import RESULTS, complete_block
from initsuite.report.verdicts.comparison import Comparison
from initsuite.report.verdicts.leaders import leader_by
from initsuite.report.verdicts.recommendations import build_report
from initsuite.report.verdicts.rulings import Ruling, Verdict
from initsuite.results.store import Store, load_results
from initsuite.spec import Curve
from support.planter import MISS, Planter

MOST_FALSE_ALARMS = {100: 11, 200: 18}
"""By the number of stories, at 5 %: a binomial count is above this with a probability of 0.4 % and of 0.6 %."""
ARMS = ("he", "orthogonal", "xavier", "lecun", "normal")
DEPTHS = (2, 4, 8)
CLAIMS = (Verdict.WORSE, Verdict.BETTER_WHERE_SHARED)
RULED = (Ruling.SUPPORTED, Ruling.CONTRADICTED, Ruling.DEPENDS)


class Together:
    """Takes the trials of many planters, to be written as one part."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self.curves: dict[str, Curve] = {}

    def append(self, rows: Sequence[Mapping[str, Any]], curves: Mapping[str, Curve]) -> None:
        self.rows += rows
        self.curves |= curves


def plant(directory: Path, arms: Sequence[str], num_seeds: int, advantage: float, stories: int) -> None:
    """A data set for each story, with three workloads; `advantage`, in standard deviations, is he's."""
    rng = np.random.default_rng(num_seeds)
    together = Together()
    for story in range(stories):
        for depth in DEPTHS:
            planter = Planter(cast(Store, together), dataset=f"d{story}", depth=depth, model=f"mlp-{depth}x64")
            planter.config["dataset"] = {**planter.config["dataset"], "name": f"d{story}"}
            for init in arms:
                gain = advantage * (init == "he")
                steps = 20 * np.clip(np.round(15 + 4 * (rng.normal(size=num_seeds) - gain)), 1, 29)
                fates = np.where(rng.random(num_seeds) < 0.1, MISS, steps)
                scores = np.round(300 * (0.85 + 0.01 * (rng.normal(size=num_seeds) + gain))) / 300
                planter.arm(init, fates.tolist(), tune={0.1: 0.85}, scores=scores.tolist())
    Store(directory).append(together.rows, together.curves)


def claims(directory: Path) -> dict[str, int]:
    """How many of the stories claim a difference, by result, in one context and pooled over the three."""
    stories: dict[str, list[Comparison]] = {}
    for found in build_report(load_results(directory)).comparisons:
        stories.setdefault(found.context.axes["dataset"], []).append(found)
    counts: dict[str, int] = dict.fromkeys(("single speed", "single score", "pooled speed", "pooled score"), 0)
    for comparisons in stories.values():
        first, block = comparisons[0], complete_block(comparisons)
        counts["single speed"] += bool(first.of(*CLAIMS))
        counts["single score"] += any(found.verdict in CLAIMS for found in first.scores.standings)
        for result in RESULTS:
            counts[f"pooled {result}"] += bool(leader_by(block, result).against.verdict.isin(RULED).any())
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("stories", [100, pytest.param(200, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(("num_seeds", "num_arms"), [(8, 5), (10, 3)])
def test_initializers_that_are_alike_are_rarely_called_different(
    tmp_path: Path, num_seeds: int, num_arms: int, stories: int
) -> None:
    plant(tmp_path / "results", ARMS[:num_arms], num_seeds, 0.0, stories)
    counts = claims(tmp_path / "results")
    assert max(counts.values()) <= MOST_FALSE_ALARMS[stories], counts


@pytest.mark.slow
def test_a_planted_difference_is_found(tmp_path: Path) -> None:
    """What the bound above would not see: a report that claims nothing at all."""
    plant(tmp_path / "results", ARMS[:3], 10, advantage=3.0, stories=40)
    counts = claims(tmp_path / "results")
    assert min(counts.values()) >= 0.8 * 40, counts
