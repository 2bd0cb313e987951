"""How often each grade of confidence is right, by simulation: the figures that the documentation prints."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from initsuite.report.evidence.context import Context
from initsuite.report.verdicts.comparison import compare
from initsuite.report.verdicts.words import Grade, confidence
from support.arms import arm, context

CONTEXTS = 400
NUM_ARMS = 5
SPREAD, NOISE = 60.0, 40.0
"""Standard deviations, in steps: of the arms' true means around 300, and of the seeds of an arm around its own."""
DOCUMENT = Path(__file__).parents[2] / "docs/reading-the-report.md"


def simulated(rng: np.random.Generator, num_seeds: int) -> tuple[Context, dict[str, float]]:
    """A context whose arms differ in their mean steps, which are evaluated every 20; and those means."""
    means = {f"arm{place}": float(mean) for place, mean in enumerate(300 + SPREAD * rng.normal(size=NUM_ARMS))}
    arms = []
    for name, mean in means.items():
        steps = mean + NOISE * rng.normal(size=num_seeds)
        arms.append(arm(name, (20 * np.ceil(np.maximum(steps, 20) / 20)).tolist()))
    return context(*arms), means


def calibration(num_seeds: int) -> pd.DataFrame:
    """By grade: how often it is given, how often the recommended arm is truly the best, or within a tenth of it."""
    rng = np.random.default_rng(0)
    given: Counter[Grade] = Counter()
    best: Counter[Grade] = Counter()
    near: Counter[Grade] = Counter()
    for _ in range(CONTEXTS):
        found, means = simulated(rng, num_seeds)
        result = compare(found)
        assert result.leader is not None
        grade, _ = confidence(result)
        chosen, least = means[result.leader.arm.name], min(means.values())
        given[grade] += 1
        best[grade] += chosen == least
        near[grade] += chosen <= 1.1 * least
    rows = [(str(grade), given[grade] / CONTEXTS, best[grade] / given[grade], near[grade] / given[grade])
            for grade in Grade if given[grade]]  # fmt: skip
    return pd.DataFrame(rows, columns=["grade", "given", "best", "near"]).set_index("grade")


@pytest.mark.slow
@pytest.mark.parametrize("num_seeds", [8, 10])
def test_a_surer_grade_is_more_often_right_and_the_documentation_says_how_often(num_seeds: int) -> None:
    found = calibration(num_seeds)
    assert found.best.is_monotonic_decreasing, found
    assert found.best["high"] >= 0.95, found
    text = DOCUMENT.read_text(encoding="utf-8")
    for grade, row in found.iterrows():
        assert f"| {num_seeds} | {grade} | {row.given:.0%} | {row.best:.0%} | {row.near:.0%} |" in text, found
