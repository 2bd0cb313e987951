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
from initsuite.report.colours import colour
from initsuite.report.evidence.context import counted_scores
from initsuite.report.figures import style
from initsuite.report.verdicts.comparison import Comparison, Standing
from initsuite.report.verdicts.starts import place_of
from initsuite.report.verdicts.views import Views

PER_PAGE = 12
CLOSEST = 1e-3
"""The smallest distance to a score of 1 that is drawn."""
SHARES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
_JITTER = 0.27


def final_scores(views: Views) -> style.Drawing | None:
    """The test score of each scoring seed at the last step, with the mean; a diverged trial counts as chance."""
    shown = [found for found in views.report.comparisons if any(_scored(found, each) for each in found.standings)]
    if not shown:
        return None
    note = (
        "Dot: the test score of a scoring seed at the last step, chance if it diverged. Bar and line: the mean and its "
        "95 % interval. Best mean first. Accuracies: the distance to 1 is logarithmic."
    )
    num_arms = max(len(found.standings) for found in shown)
    left = style.name_width([standing.arm.name for found in shown for standing in found.standings])
    width, num_columns = (style.COLUMN, 1) if len(shown) == 1 else (style.PAGE, 2)
    panel_width = (width - left * num_columns) / num_columns
    titles = {found.key: style.title_of(found, panel_width + left - 0.15) for found in shown}
    title_height = style.LINE * max(map(style.num_lines, titles.values())) + 0.06
    bottom = 0.36 + style.legend_height([], note, width)
    margins = style.Margins(left, 0.14, title_height, bottom, left + 0.05, 0.4 + title_height)
    height = 0.25 + 0.14 * num_arms
    room = style.PAGE_HEIGHT - margins.top - margins.bottom + margins.between_rows
    per_page = num_columns * max(1, min(PER_PAGE // num_columns, int(room / (height + margins.between_rows))))
    pages = []
    for portion in style.pages_of(shown, per_page):
        figure, grid = style.grid_of_panels(len(portion), num_columns, width, height, margins)
        for axes, comparison in zip(grid, portion, strict=True):
            _draw(axes, comparison)
            axes.set_ylim(num_arms - 0.5, -0.5)
            axes.set_title(titles[comparison.key], x=-(left - 0.05) / panel_width, ha="left")
            axes.set_xlabel(f"test {comparison.context.yardstick.label}")
        style.add_legend(figure, [], note)
        pages.append(figure)
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
        if not found:
            axes.text(0.5, place, "no test scores", transform=axes.get_yaxis_transform(), va="center", ha="center")
            continue
        offsets = np.linspace(-_JITTER, _JITTER, len(found)) if len(found) > 1 else np.zeros(1)
        size = max(1.5, 5 - 0.15 * len(found))
        axes.scatter([row["score"] for row in found], place + offsets, s=size, color=colour(name), linewidths=0)
        mean, low, high = (found[0][key] for key in ("mean", "low", "high"))
        if math.isfinite(low):
            axes.plot([low, high], [place, place], color=colour(name), linewidth=1.0)
        axes.plot([mean] * 2, [place - 0.36, place + 0.36], color=colour(name), linewidth=1.5)
    axes.set_yticks(range(len(rows)), [style.short(name) for name in rows])
    axes.grid(axis="y", visible=False)
