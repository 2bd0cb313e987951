"""Final test scores: a dot for each seed, on an axis that tells good initializers from each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from initsuite.protocol.yardstick import METRICS, Yardstick
from initsuite.report.evidence.context import counted_scores
from initsuite.report.figures import style
from initsuite.report.figures.arms import arm_pages, draw_arm, name_rows
from initsuite.report.verdicts.comparison import Comparison, Standing
from initsuite.report.verdicts.starts import place_of
from initsuite.report.verdicts.views import Views

CLOSEST = 1e-3
"""The smallest distance to a score of 1 that is drawn."""
SHARES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)


def final_scores(views: Views) -> style.Drawing | None:
    """The test score of each scoring seed at the last step, with the mean; a diverged trial counts as chance."""
    shown = [found for found in views.report.comparisons if any(_scored(found, each) for each in found.standings)]
    if not shown:
        return None
    note = (
        "Dot: the test score of a scoring seed at the last step, chance if it diverged. Bar and line: the mean and its "
        "95 % interval. Best mean first. Accuracies: the distance to 1 is logarithmic."
    )
    pages = arm_pages(shown, _draw, note, num_columns=2)
    data = pd.DataFrame([row for found in shown for each in _ranked(found) for row in _rows(found, each)])
    units = {name: f"{name} [metric]" for name in ("score", "mean", "low", "high")}
    return style.Drawing("final_scores", pages, data.rename(columns=units), note)


def stretch(axes: Axes, which: Literal["x", "y"], yardstick: Yardstick, scores: Iterable[float]) -> None:
    """Give an axis the scale on which the best scores lie apart, with limits that hold these scores.

    The distance to 1 is logarithmic for a share, the score itself for an error from 0 up; others are left as they are.
    """
    best, worst = METRICS[yardstick.metric].best, METRICS[yardstick.metric].worst
    found = np.array([score for score in scores if math.isfinite(score)])
    axis, set_limits = getattr(axes, f"{which}axis"), getattr(axes, f"set_{which}lim")
    if not len(found):
        return
    if (best, worst) == (1.0, 0.0):
        top = 1 - max(CLOSEST, (1 - found.max()) / 1.25)
        getattr(axes, f"set_{which}scale")("function", functions=(_distance, lambda value: 1 - 10.0**-value))
        axis.set_ticks([share for share in SHARES if share <= top], [f"{share:g}" for share in SHARES if share <= top])
        axis.set_minor_locator(NullLocator())
        set_limits(0.0, top)
    elif best == 0.0 and found.min() > 0:
        getattr(axes, f"set_{which}scale")("log")
        set_limits(found.min() / 1.2, max(found.max(), yardstick.chance) * 1.15)


def _distance(score: np.ndarray) -> np.ndarray:
    return -np.log10(np.maximum(1 - np.asarray(score, dtype=float), CLOSEST / 10))


def _scored(comparison: Comparison, standing: Standing) -> int:
    return len(counted_scores(standing.arm, comparison.context.yardstick))


def _ranked(comparison: Comparison) -> Sequence[Standing]:
    """Best mean first; those without scores last."""

    def place(standing: Standing) -> float:
        mean = standing.score.estimate
        return math.inf if math.isnan(mean) else -float(comparison.context.yardstick.oriented(mean))

    return sorted(comparison.standings, key=place)


def _rows(comparison: Comparison, standing: Standing) -> list[dict[str, Any]]:
    interval = {"mean": standing.score.estimate, "low": standing.score.low, "high": standing.score.high}
    shared = {**place_of(comparison, standing), "metric": comparison.context.yardstick.metric}
    scores = counted_scores(standing.arm, comparison.context.yardstick)
    return [{**shared, "seed": seed, "score": float(score), **interval} for seed, score in scores.items()]


def _draw(axes: Axes, comparison: Comparison) -> None:
    ranked = _ranked(comparison)
    rows = {standing.arm.name: _rows(comparison, standing) for standing in ranked}
    drawn = [row[name] for found in rows.values() for row in found for name in ("score", "high")]
    stretch(axes, "x", comparison.context.yardstick, drawn)
    for place, (name, found) in enumerate(rows.items()):
        middle = (found[0]["mean"], found[0]["low"], found[0]["high"]) if found else (math.nan, math.nan, math.nan)
        draw_arm(axes, place, name, [row["score"] for row in found], middle, "no test scores")
    name_rows(axes, list(rows))
    axes.set_xlabel(f"test {comparison.context.yardstick.label}")
