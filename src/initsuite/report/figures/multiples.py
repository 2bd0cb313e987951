"""Figures with one panel per context: learning curves, steps to the target, score by learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from initsuite.report.colours import colour
from initsuite.report.evidence.levels import COLUMN_OF_LEVEL
from initsuite.report.figures import style
from initsuite.report.figures.arms import PER_PAGE, arm_pages, draw_arm, name_rows, names_of
from initsuite.report.figures.scores import stretch
from initsuite.report.formatting import format_lr
from initsuite.report.verdicts.comparison import Comparison, Standing, by_comparison
from initsuite.report.verdicts.recommendations import Report
from initsuite.report.verdicts.starts import place_of
from initsuite.report.verdicts.views import Views

_NUM_COLUMNS = 3
_PANEL_HEIGHT = 1.3
_LEFT, _RIGHT, _TICKS, _GAP = 0.42, 0.14, 0.2, 0.34
"""Inches: room for numbers beside the panels, at the right edge, for numbers below a panel, and between columns."""
Panel = Callable[[Axes, Comparison, pd.DataFrame], None]
"""Draws one comparison from its rows."""


def curves(views: Views) -> style.Drawing | None:
    """Validation score over step: the median over seeds, with a band. A diverged trial counts as chance."""
    note = (
        "Line: median over the scoring seeds. Band: its 95 % interval; below 5 seeds, their range. Dashed grey: the "
        "target. A diverged trial counts as chance. Steps are logarithmic, and the distance of accuracies to 1."
    )
    tables, highs = by_comparison(views.curves), dict[str, list[float]]()
    for found in views.report.comparisons:
        if found.key in tables:  # panels of one metric share their scale
            table = tables[found.key]
            highs.setdefault(found.context.yardstick.metric, []).extend([*table["median"], *table.high])

    def draw(axes: Axes, comparison: Comparison, table: pd.DataFrame) -> None:
        _draw_curves(axes, comparison, table, highs[comparison.context.yardstick.metric])

    units = {"step": "step [updates]", **{name: f"{name} [metric]" for name in ("median", "low", "high")}}
    return _drawing("curves", views.report, views.curves, draw, units, note, "step", "validation {}")


def lr_sensitivity(views: Views) -> style.Drawing | None:
    """Mean final validation score over the tuning seeds, by learning rate."""
    note = (
        "Mean final validation score over the tuning seeds; a diverged trial counts as chance. "
        "Ring: the learning rate that the initializer is scored at."
    )
    units, x_label, y_label = {"score": "score [metric]"}, "learning rate", "final validation {}"
    table = views.lr_sensitivity
    return _drawing("lr_sensitivity", views.report, table, _draw_lrs, units, note, x_label, y_label, has_marker=True)


def steps_to_target(views: Views) -> style.Drawing | None:
    """Steps to the target of each scoring seed, with the median; misses stand at the right edge."""
    shown = [found for found in views.report.comparisons if _goal(found) and any(s.num_seeds for s in found.standings)]
    rows = [row for found in shown for standing in found.standings for row in _step_rows(found, standing)]
    if not rows:
        return None
    foot = "Dot: a scoring seed. Bar and line: median and its 95 % interval (from 5 seeds on). Best initializer first."
    num_columns = 2 if style.name_width(names_of(shown)) > 1.1 else _NUM_COLUMNS
    pages = arm_pages(shown, _draw_steps, foot, num_columns, "steps to the target", _goal_text)
    units = {name: f"{name} [updates]" for name in ("steps", "median", "low", "high")}
    data = _with_metric(pd.DataFrame(rows), shown)
    return style.Drawing("steps_to_target", pages, data.rename(columns={**units, "target": "target [metric]"}), foot)


def _drawing(
    name: str,
    report: Report,
    table: pd.DataFrame,
    draw: Panel,
    units: Mapping[str, str],
    note: str,
    x_label: str,
    y_label: str,
    has_marker: bool = False,
) -> style.Drawing | None:
    """A panel for each comparison with rows, under one legend, in pages of `PER_PAGE`; None without any."""
    tables = by_comparison(table)
    shown = [found for found in report.comparisons if found.key in tables]
    if not shown:
        return None
    # Scores of one metric share the numbers and the label of their row.
    is_mixed = len({(found.context.yardstick.metric, found.context.yardstick.chance) for found in shown}) > 1
    gap = _GAP + style.LINE + 0.05 if is_mixed else 0.26
    num_columns = min(_NUM_COLUMNS, len(shown))
    width, height = (style.COLUMN, 1.8) if num_columns == 1 else (style.PAGE, _PANEL_HEIGHT)
    panel_width = (width - _LEFT - _RIGHT - gap * (num_columns - 1)) / num_columns
    pages = []
    for portion in style.pages_of(shown, PER_PAGE):
        names = sorted(set(table[table.context_id.isin([found.context.context_id for found in portion])].init))
        titles = [style.title_of(found, panel_width + 0.2) for found in portion]
        title_height = style.LINE * max(map(style.num_lines, titles)) + 0.06
        bottom = _TICKS + style.LINE + style.legend_height(names, note, width)
        margins = style.Margins(_LEFT, _RIGHT, title_height, bottom, gap, title_height + _TICKS + 0.04)
        figure, grid = style.grid_of_panels(len(portion), num_columns, width, height, margins)
        for axes, comparison, title in zip(grid, portion, titles, strict=True):
            draw(axes, comparison, tables[comparison.key])
            axes.set_title(title)
            if is_mixed or axes in grid[::num_columns]:
                axes.set_ylabel(y_label.format(comparison.context.yardstick.label))
            else:
                axes.tick_params(axis="y", labelleft=False)
        for axes in grid[-num_columns:]:
            axes.set_xlabel(x_label)
        style.add_legend(figure, names, note, has_marker)
        pages.append(figure)
    return style.Drawing(name, pages, _with_metric(table, shown).rename(columns=units), note)


def _with_metric(table: pd.DataFrame, shown: Sequence[Comparison]) -> pd.DataFrame:
    """The table with the metric of its scores."""
    metrics = {found.context.context_id: found.context.yardstick.metric for found in shown}
    return table.assign(metric=table.context_id.map(metrics))


def _limit_scores(axes: Axes, comparison: Comparison) -> None:
    low, high = comparison.context.yardstick.bounds
    if math.isfinite(low):  # of a person's own metric neither is known: the numbers decide
        axes.set_ylim(low, high * 1.02 if math.isfinite(high) else comparison.context.yardstick.chance * 1.15)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw_curves(axes: Axes, comparison: Comparison, table: pd.DataFrame, scores: Sequence[float]) -> None:
    arms = dict(tuple(table.groupby("init", sort=False)))
    # Worst first, so that the leader lies on top.
    for name in reversed([standing.arm.name for standing in comparison.standings]):
        if name in arms:
            arm = arms[name]
            axes.fill_between(arm.step, arm.low, arm.high, color=colour(name), alpha=0.16, linewidth=0)
            axes.plot(arm.step, arm["median"], **style.look(name))
    if (goal := _goal(comparison)) is not None:
        axes.axhline(goal, color="#444444", linewidth=0.7, linestyle=(0, (4, 3)))
    first, last = max(1, int(table.step.min())), comparison.context.max_steps
    axes.set_xscale("log")
    axes.set_xlim(first, max(last, first + 1))
    axes.set_xticks(ticks := _round_steps(first, last), [f"{step:,}" for step in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    stretch(axes, "y", comparison.context.yardstick, scores)


def _round_steps(first: int, last: int) -> list[int]:
    """Round numbers of steps in a range, at most five of them.

    Example:
        >>> _round_steps(20, 600), _round_steps(20, 20000)
        ([20, 50, 100, 200, 500], [100, 1000, 10000])
    """
    powers = range(int(math.log10(first)), int(math.log10(last)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [digit * 10**power for power in powers for digit in digits if first <= digit * 10**power <= last]
        if len(found) <= 5:
            return found
    return found


def _draw_lrs(axes: Axes, comparison: Comparison, table: pd.DataFrame) -> None:
    for name in reversed([standing.arm.name for standing in comparison.standings]):
        arm = table[table.init == name]
        axes.plot(arm.lr, arm.score, **style.look(name, has_marker=True))
        best = arm[arm.is_best]
        axes.plot(best.lr, best.score, "o", markersize=6.5, markerfacecolor="none", markeredgecolor=colour(name))
    axes.set_xscale("log")
    lrs = sorted(set(table.lr))
    axes.set_xlim(lrs[0] / 1.5, lrs[-1] * 1.5)
    every = math.ceil(len(lrs) / 5)
    axes.set_xticks(lrs[::every], [format_lr(lr) for lr in lrs[::every]])
    axes.xaxis.set_minor_locator(NullLocator())
    _limit_scores(axes, comparison)


def _goal(comparison: Comparison) -> float | None:
    """The level that ranks the arms; the primary one where no trial reached any."""
    return comparison.target if comparison.target is not None else comparison.context.yardstick.levels.get("primary")


def _goal_text(comparison: Comparison) -> str:
    level = "the easier level" if comparison.level == "easy" else "target"
    return f"{level} {_goal(comparison):g}"


def _step_rows(comparison: Comparison, standing: Standing) -> list[dict[str, Any]]:
    trials = standing.arm.trials
    found, level = standing.steps, comparison.level
    # Without a level no trial reached one: every seed is a miss.
    steps = trials[COLUMN_OF_LEVEL[level]] if level else pd.Series(math.nan, index=trials.index)
    bounds = (found.estimate, found.low, found.high) if level else (math.inf,) * 3
    shared = {**place_of(comparison, standing), "level": level or "primary", "target": _goal(comparison)}
    interval = dict(zip(("median", "low", "high"), bounds, strict=True))
    return [{**shared, "seed": seed, "steps": value, **interval} for seed, value in steps.fillna(math.inf).items()]


def _draw_steps(axes: Axes, comparison: Comparison) -> None:
    budget = comparison.context.max_steps
    edge = budget * 1.14
    axes.axvspan(budget * 1.05, budget * 1.24, color="#f0f0f0", linewidth=0)
    for place, standing in enumerate(comparison.standings):
        rows = _step_rows(comparison, standing)
        drawn = np.minimum([row["steps"] for row in rows], edge)
        median, low, high = (rows[0][name] for name in ("median", "low", "high")) if rows else (math.nan,) * 3
        middle = (min(median, edge), low, min(high, edge))
        draw_arm(axes, place, standing.arm.name, drawn.tolist(), middle, "no scoring trials", opacity=0.75)
    name_rows(axes, [standing.arm.name for standing in comparison.standings])
    axes.set_xlim(0, budget * 1.24)
    ticks = [tick for tick in MaxNLocator(3).tick_values(0, budget) if tick <= 0.85 * budget]
    axes.set_xticks([*ticks, edge], [*(f"{tick:g}" for tick in ticks), "never"])
