"""The two figures: learning curves, and steps to the target. Drawn without a screen or global state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from initsuite.report.colours import colour, line_style
from initsuite.report.comparison import Comparison, Standing
from initsuite.report.levels import COLUMN_OF_LEVEL
from initsuite.report.recommendations import Report
from initsuite.spec import Status
from initsuite.stats.intervals import median_interval

STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "figure.facecolor": "white",
    "svg.hashsalt": "initsuite",  # the same figure gives the same file
}
_MAX_COLUMNS = 3
_PANEL_WIDTH = 3.6
_JITTER = 0.27
"""Height of the band of seed dots, rows."""

Panel = Callable[[Axes, Comparison], None]


def curves_figure(report: Report) -> Figure:
    """Validation score over step, small multiples by context: the median over seeds, with a band.

    The band is the 95 % interval of the median; with fewer than five seeds, their range. A diverged trial counts as
    chance from there on. Dashed: the target.
    """
    curves = {str(trial_id): curve for trial_id, curve in report.curves.groupby("trial_id")}
    label = _score_label(report.comparisons)

    def panel(axes: Axes, comparison: Comparison) -> None:
        _draw_curves(axes, comparison, curves, label)

    note = "Line: median over scoring seeds. Band: its 95 % interval; below 5 seeds, the range. Dashed: the target."
    figure = _small_multiples(report.comparisons, panel, "step", label, 2.7)
    _legend(figure, report.comparisons, note)
    return _laid_out(figure)


def steps_figure(report: Report) -> Figure:
    """Steps to the target, small multiples by context: a dot a seed, the median with its 95 % interval.

    Misses stand at the right edge, under "not reached".
    """
    most_arms = max((len(comparison.standings) for comparison in report.comparisons), default=1)

    def panel(axes: Axes, comparison: Comparison) -> None:
        _draw_steps(axes, comparison)
        axes.set_ylim(most_arms - 0.5, -0.5)

    figure = _small_multiples(report.comparisons, panel, "steps to the target", "", 1.3 + 0.3 * most_arms)
    note = "Dot: a scoring seed. Bar and line: median and its 95 % interval (from 5 seeds)."
    figure.supxlabel(note, fontsize=7.5)
    return _laid_out(figure)


def _laid_out(figure: Figure) -> Figure:
    """The figure with its layout fixed: solving it again for each file took a third of the report's time."""
    with mpl.rc_context(STYLE):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def _small_multiples(
    comparisons: Sequence[Comparison], panel: Panel, x_label: str, y_label: str, height: float
) -> Figure:
    """A grid of panels; where there is nothing to compare, a figure that says so."""
    num_columns = min(_MAX_COLUMNS, max(1, len(comparisons)))
    num_rows = max(1, math.ceil(len(comparisons) / num_columns))
    with mpl.rc_context(STYLE):
        width = max(_PANEL_WIDTH * num_columns, 5.6)
        figure = Figure(figsize=(width, height * num_rows + 0.8), layout="constrained")
        grid = figure.subplots(num_rows, num_columns, squeeze=False)
        for axes, comparison in zip(grid.flat, comparisons, strict=False):
            panel(axes, comparison)
            axes.set_title(_title(comparison), fontsize=8.5, loc="left")
            axes.set_xlabel(axes.get_xlabel() or x_label)
        for row in grid:
            row[0].set_ylabel(row[0].get_ylabel() or y_label)
        for axes in grid.flat[len(comparisons) :]:
            axes.set_visible(False)
        if not comparisons:
            figure.text(0.5, 0.5, "No trial counts.", ha="center")
    return figure


def _title(comparison: Comparison) -> str:
    parts = comparison.context.title.split(" / ")
    first, rest = " / ".join(parts[:2]), " / ".join(parts[2:])
    lr_rule = "" if comparison.context.is_tuned else f", {comparison.context.lr_rule}"
    return f"{first}\n{rest}{lr_rule}"


def _legend(figure: Figure, comparisons: Sequence[Comparison], note: str) -> None:
    names = sorted({standing.arm.name for comparison in comparisons for standing in comparison.standings})
    if not names:
        return
    handles = [Line2D([], [], color=colour(name), linestyle=line_style(name), linewidth=2) for name in names]
    num_lines = math.ceil(len(names) / (7 if len(comparisons) > 2 else 4))
    num_columns = math.ceil(len(names) / num_lines)
    with mpl.rc_context(STYLE):
        figure.legend(
            handles, names, loc="outside lower center", ncols=num_columns, frameon=False, title=note, title_fontsize=7.5
        )


def _score_label(comparisons: Sequence[Comparison]) -> str:
    """For all panels; empty where their metrics differ."""
    labels = {comparison.context.yardstick.label for comparison in comparisons}
    return f"validation {labels.pop()}" if len(labels) == 1 else ""


def _draw_curves(axes: Axes, comparison: Comparison, curves: dict[str, pd.DataFrame], label: str) -> None:
    context = comparison.context
    # Worst first, so that the leader lies on top.
    for standing in reversed(comparison.standings):
        table = _curve_table(standing, curves, context.yardstick.chance)
        if table.empty:
            continue
        bands = [median_interval(row) for row in table.to_numpy()]
        low = [band.low if band.exists else row.min() for band, row in zip(bands, table.to_numpy(), strict=True)]
        high = [band.high if band.exists else row.max() for band, row in zip(bands, table.to_numpy(), strict=True)]
        shade = colour(standing.arm.name)
        axes.fill_between(table.index, low, high, color=shade, alpha=0.18, linewidth=0)
        middle = [band.estimate for band in bands]
        axes.plot(table.index, middle, color=shade, linestyle=line_style(standing.arm.name), linewidth=1.7)
    goal = comparison.target if comparison.target is not None else context.yardstick.levels.get("primary")
    if goal is not None:
        axes.axhline(goal, color="#444444", linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_xlim(0, context.max_steps)
    low, high = context.yardstick.bounds
    axes.set_ylim(low, high * 1.02 if math.isfinite(high) else context.yardstick.chance * 1.15)
    if not label:
        axes.set_ylabel(f"validation {context.yardstick.label}")


def _curve_table(standing: Standing, curves: dict[str, pd.DataFrame], chance: float) -> pd.DataFrame:
    """Validation score, [step, seed]; only the steps that every seed has."""
    columns = {}
    for seed, row in standing.arm.trials.iterrows():
        curve = curves.get(row.trial_id)
        if curve is not None:
            score = curve.set_index("step").val_score
            columns[seed] = score.fillna(chance) if row.status == Status.DIVERGED else score
    return pd.DataFrame(columns).dropna()


def _draw_steps(axes: Axes, comparison: Comparison) -> None:
    budget = comparison.context.max_steps
    goal = comparison.target if comparison.target is not None else comparison.context.yardstick.levels.get("primary")
    axes.set_xlabel(
        "steps to the target: none is frozen yet"
        if goal is None
        else f"steps to validation {comparison.context.yardstick.label} {goal:g}"
    )
    edge = budget * 1.12
    axes.axvspan(budget * 1.04, budget * 1.2, color="#f3f3f3", linewidth=0)
    for place, standing in enumerate(comparison.standings):
        _draw_arm(axes, comparison, standing, place, edge)
    axes.set_yticks(range(len(comparison.standings)), [standing.arm.name for standing in comparison.standings])
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, budget * 1.2)
    ticks = [tick for tick in axes.get_xticks() if tick <= budget]
    axes.set_xticks([*ticks[: -1 if ticks and ticks[-1] > 0.85 * budget else None], edge])
    axes.set_xticklabels([*(f"{tick:g}" for tick in axes.get_xticks()[:-1]), "not\nreached"])


def _draw_arm(axes: Axes, comparison: Comparison, standing: Standing, place: int, edge: float) -> None:
    shade = colour(standing.arm.name)
    trials = standing.arm.trials
    if comparison.level is None and comparison.context.yardstick.levels.get("primary") is None:
        return
    if not len(trials):
        axes.text(0.5, place, "no scoring trials", transform=axes.get_yaxis_transform(), va="center", ha="center")
        return
    # Without a level nobody reached one: every seed is a miss.
    misses = pd.Series(math.nan, index=trials.index)
    steps = trials[COLUMN_OF_LEVEL[comparison.level]] if comparison.level else misses
    offsets = np.linspace(-_JITTER, _JITTER, len(steps)) if len(steps) > 1 else np.zeros(1)
    axes.scatter(
        steps.fillna(edge), place + offsets, s=max(3.0, 16 - 0.5 * len(steps)), color=shade, alpha=0.75, linewidths=0
    )
    interval = standing.steps
    if math.isnan(interval.estimate):
        return
    if interval.exists and math.isfinite(interval.low):
        axes.plot([interval.low, min(interval.high, edge)], [place, place], color=shade, linewidth=1.4)
    axes.plot([min(interval.estimate, edge)] * 2, [place - 0.36, place + 0.36], color=shade, linewidth=1.8)
