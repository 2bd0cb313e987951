"""The charts of one context as Plotly figures in plain data: learning curves, steps to the target, learning rates.

A trace names its initializer in `meta`: the page gives it that initializer's colour, which depends on light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from initsuite.protocol.tuning import TRAINS_ABOVE
from initsuite.protocol.yardstick import METRICS
from initsuite.report.colours import line_style
from initsuite.report.evidence.context import Context
from initsuite.report.evidence.levels import COLUMN_OF_LEVEL
from initsuite.report.page.cells import plot_text, short, shorts, thinned
from initsuite.report.verdicts.bands import INTERVAL
from initsuite.report.verdicts.comparison import Comparison, Standing
from initsuite.wording import format_counts

Figure = dict[str, Any]
"""data, layout and caption; or `empty`: why there is nothing to draw."""
MOST_POINTS = 80
"""Points of a curve at most: more than a chart as wide as the page can show."""
DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
_JITTER = 0.28
_BEYOND = 1.16
"""Where seeds that miss the target stand, as a multiple of the budget."""


def charts_of(comparison: Comparison, curves: pd.DataFrame, sensitivity: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a context, by name.

    Args:
        curves: its rows of `curve_bands`.
        sensitivity: its rows of `lr_sensitivity`.
    """
    return {
        "curves": curves_chart(comparison, curves),
        "steps": steps_chart(comparison),
        "lr": lr_chart(comparison.context, sensitivity),
    }


def curves_chart(comparison: Comparison, bands: pd.DataFrame) -> Figure:
    """Validation score over step: a line and a band for each arm, which the legend switches together."""
    if bands.empty:
        return {"empty": "No learning curves: this context has no scoring trials yet."}
    context, traces = comparison.context, []
    hover = "%{y:.4g} [%{customdata[0]:.4g}, %{customdata[1]:.4g}]<extra>%{fullData.name}</extra>"
    for name, rows in bands.groupby("init", sort=False):
        rows = rows.iloc[thinned(range(len(rows)), MOST_POINTS)]
        steps, low, high = rows.step.tolist(), shorts(rows.low), shorts(rows.high)
        outline = {"x": steps + steps[::-1], "y": high + low[::-1], "fill": "toself", "hoverinfo": "skip"}
        line = {"x": steps, "y": shorts(rows["median"]), "customdata": list(zip(low, high, strict=True))}
        traces.append(trace(str(name), "band", **outline, mode="lines", showlegend=False))
        traces.append(trace(str(name), "line", **line, mode="lines", hovertemplate=hover))
    seeds = bands.groupby("init").num_seeds.first()
    kinds = {
        "the 95 % interval of the median" if band == INTERVAL else "the range of the seeds, too few for an interval"
        for band in bands.band.unique()
    }
    caption = (
        f"Line: median validation {context.yardstick.label} ({_unit(context)}) over "
        f"{format_counts(seeds, 'scoring seed')}. Band: {' or '.join(sorted(kinds))}. "
        "A diverged trial counts as chance. Steps are optimizer updates."
    )
    layout = {**axes("step", f"validation {context.yardstick.label}"), "hovermode": "x unified"}
    goal: Figure = {"shapes": [], "annotations": []}
    if comparison.target is not None:
        goal = level_line(comparison.target, f"target {comparison.target:g}", "left")
    return {"data": traces, "layout": layout | goal, "caption": caption}


def steps_chart(comparison: Comparison) -> Figure:
    """One dot per seed and the median with its interval, one row per arm; the loss area where no level ranks."""
    scored = [standing for standing in comparison.standings if standing.num_seeds]
    if not scored:
        return {"empty": "No scoring trials yet."}
    context = comparison.context
    column = COLUMN_OF_LEVEL.get(comparison.level or "", "loss_auc")
    by_steps = comparison.level is not None
    edge = _BEYOND * context.max_steps
    traces = [made for row, standing in enumerate(scored) for made in _row_of_dots(standing, column, row, edge)]
    layout = axes(f"loss area, {context.loss_unit}", "", y=rows_axis([standing.arm.name for standing in scored]))
    if by_steps:
        level = "target" if comparison.level == "primary" else "easier level"
        layout["xaxis"]["title"] = {"text": f"steps to the {level} {comparison.target:g}"}
        marks = [round(context.max_steps * part) for part in (0, 0.25, 0.5, 0.75, 1)]
        texts = [*map(str, marks), "<br>never"]
        layout["xaxis"] |= {"range": [0, edge * 1.04], "tickangle": 0, "tickvals": [*marks, edge], "ticktext": texts}
    missed = " Seeds that never reach it stand at the right edge." if by_steps else " Lower is better."
    caption = (
        "Dot: a scoring seed. Diamond and bar: median with its 95 % interval (from 5 seeds on), in "
        f"{'optimizer steps' if by_steps else context.loss_unit}; "
        f"{format_counts([standing.num_seeds for standing in scored], 'seed')}.{missed}"
    )
    return {"data": traces, "layout": layout, "caption": caption, "rows": len(scored)}


def lr_chart(context: Context, sensitivity: pd.DataFrame) -> Figure:
    """Final validation score at each learning rate of the grid."""
    if sensitivity.empty:
        return {"empty": f"No learning rate was tuned here ({context.lr_rule}): there is nothing to compare."}
    traces = []
    for name, rows in sensitivity.groupby("init", sort=False):
        symbols = {
            "symbol": ["star" if best else "circle" for best in rows.is_best],
            "size": [13 if best else 6 for best in rows.is_best],
        }
        drawn = {"x": shorts(rows.lr), "y": shorts(rows.score), "mode": "lines+markers", "marker": symbols}
        hover = "lr %{x:.3g}: %{y:.4g}<extra>%{fullData.name}</extra>"
        traces.append(trace(str(name), "line", **drawn, hovertemplate=hover))
    yardstick = context.yardstick
    threshold = yardstick.chance + TRAINS_ABOVE / yardstick.normalised(yardstick.chance + 1.0)
    marks = thinned(shorts(sorted(set(sensitivity.lr))), 9)
    ticks = {"type": "log", "tickvals": marks, "ticktext": [f"{lr:g}" for lr in marks]}
    layout = axes("learning rate", f"final validation {yardstick.label}", x=ticks)
    caption = (
        f"Mean final validation {yardstick.label} ({_unit(context)}) over "
        f"{format_counts(sensitivity.num_seeds, 'tuning seed')} at each learning rate; a diverged trial counts as "
        "chance. Star: the learning rate that the initializer is scored at. Dashed: above it, it trains."
    )
    return {"data": traces, "layout": layout | level_line(threshold, "trains", "right"), "caption": caption}


def trace(init: str, role: str, /, **parts: Any) -> Figure:
    """A trace of an initializer, which the page colours by `meta`, with these parts."""
    line = {} if role == "band" else {"line": {"width": 2, "dash": DASHES[line_style(init)]}}
    shared = {"type": "scatter", "name": plot_text(init), "legendgroup": init, "meta": {"init": init, "role": role}}
    return {**shared, **line, **parts}


def axes(horizontal: str, vertical: str, x: Figure | None = None, y: Figure | None = None) -> Figure:
    """A layout with titled axes; `x` and `y` hold what else an axis needs."""
    titles = {"title": {"text": horizontal}}, {"title": {"text": vertical}}
    return {"xaxis": titles[0] | (x or {}), "yaxis": titles[1] | (y or {})}


def rows_axis(names: Sequence[str]) -> Figure:
    """A vertical axis with a row for each name, the first on top."""
    ticks = {"tickvals": list(range(len(names))), "ticktext": [plot_text(name) for name in names]}
    return {**ticks, "range": [len(names) - 0.5, -0.5], "zeroline": False}


def error_bar(middle: float, low: float, high: float) -> Figure:
    """A horizontal bar from `low` to `high`, as Plotly counts it: from the middle."""
    return {"type": "data", "symmetric": False, "array": [short(high - middle)], "arrayminus": [short(middle - low)]}


def level_line(height: float, text: str, side: str) -> Figure:
    """Parts of a layout: a dashed horizontal line with its name at the left or the right."""
    y = short(height)
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": {"dash": "dash", "width": 1}}
    place = {"xref": "paper", "x": 0 if side == "left" else 1, "y": y, "xanchor": side, "yanchor": "bottom"}
    return {"shapes": [line], "annotations": [{**place, "text": text, "showarrow": False}]}


def _row_of_dots(standing: Standing, column: str, row: int, edge: float) -> Iterator[Figure]:
    name, values = standing.arm.name, standing.arm.trials[column].astype(float)
    heights = row + _JITTER * np.linspace(-1, 1, len(values)) if len(values) > 1 else [row]
    reached = "%{x:.4g}, seed %{customdata}<extra>%{fullData.name}</extra>"
    dots = {"x": shorts(values.fillna(edge)), "y": shorts(heights), "customdata": standing.arm.trials.seed.tolist()}
    texts = [f"never, seed {seed}" if math.isnan(value) else "" for seed, value in values.items()]
    hover = [f"{text}<extra>%{{fullData.name}}</extra>" if text else reached for text in texts]
    yield trace(name, "dots", **dots, mode="markers", hovertemplate=hover, showlegend=False)
    middle = standing.steps if column != "loss_auc" else standing.loss_auc
    if math.isfinite(middle.estimate):
        bar = {"error_x": error_bar(middle.estimate, middle.low, min(middle.high, edge))} if middle.exists else {}
        shown = {"hovertemplate": "median %{x:.4g}<extra>%{fullData.name}</extra>", "showlegend": False}
        yield trace(name, "median", x=[short(middle.estimate)], y=[row], mode="markers", **bar, **shown)


def _unit(context: Context) -> str:
    return METRICS[context.yardstick.metric].unit
