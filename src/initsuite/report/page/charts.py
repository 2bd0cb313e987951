"""The charts of one context as Plotly figures in plain data: learning curves, steps to the target, learning rates.

A trace says whose it is in `meta`: the page gives it that initializer's colour, which depends on light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
"""Of a curve: more than a chart of a page's width can show."""
DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
_JITTER = 0.28
_BEYOND = 1.16
"""Where seeds that miss the target stand, in budgets."""


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
    for name, rows in bands.groupby("init", sort=False):
        keep = thinned(range(len(rows)), MOST_POINTS)
        rows = rows.iloc[keep]
        steps, low, high = rows.step.tolist(), shorts(rows.low), shorts(rows.high)
        outline = {"x": steps + steps[::-1], "y": high + low[::-1], "fill": "toself", "hoverinfo": "skip"}
        traces.append({**trace(str(name), "band"), **outline, "mode": "lines", "showlegend": False})
        line = {
            "x": steps,
            "y": shorts(rows["median"]),
            "customdata": [list(pair) for pair in zip(low, high, strict=True)],
        }
        shown = "%{y:.4g} [%{customdata[0]:.4g}, %{customdata[1]:.4g}]<extra>%{fullData.name}</extra>"
        traces.append({**trace(str(name), "line"), **line, "mode": "lines", "hovertemplate": shown})
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
    goal = (
        [level_line(comparison.target, f"target {comparison.target:g}", "left")]
        if comparison.target is not None
        else []
    )
    return {
        "data": traces,
        "layout": {
            **axes("step", f"validation {context.yardstick.label}"),
            "hovermode": "x unified",
            **with_lines(goal),
        },
        "caption": caption,
    }


def steps_chart(comparison: Comparison) -> Figure:
    """A dot a seed and the median with its interval, a row for each arm; the loss area where no level ranks."""
    scored = [standing for standing in comparison.standings if standing.num_seeds]
    if not scored:
        return {"empty": "No scoring trials yet."}
    context = comparison.context
    column = COLUMN_OF_LEVEL.get(comparison.level or "", "loss_auc")
    by_steps = comparison.level is not None
    edge = _BEYOND * context.max_steps
    traces = [made for row, standing in enumerate(scored) for made in _row_of_dots(standing, column, row, edge)]
    what = (
        f"steps to the {'target' if comparison.level == 'primary' else 'easier level'} {comparison.target:g}"
        if by_steps
        else f"loss area, {context.loss_unit}"
    )
    layout = axes(what, "")
    layout["yaxis"] |= rows_axis([standing.arm.name for standing in scored])
    if by_steps:
        marks = [round(context.max_steps * part) for part in (0, 0.25, 0.5, 0.75, 1)]
        texts = [*map(str, marks), "<br>never"]
        layout["xaxis"] |= {"range": [0, edge * 1.04], "tickangle": 0, "tickvals": [*marks, edge], "ticktext": texts}
    missed = " Seeds that never reach it stand at the right edge." if by_steps else " Lower is better."
    caption = (
        f"Dot: a scoring seed. Diamond and bar: median with its 95 % interval (from 5 seeds on), in "
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
        is_best = rows.is_best.tolist()
        symbols = {
            "symbol": ["star" if best else "circle" for best in is_best],
            "size": [13 if best else 6 for best in is_best],
        }
        drawn = {"x": shorts(rows.lr), "y": shorts(rows.score), "mode": "lines+markers", "marker": symbols}
        shown = "lr %{x:.3g}: %{y:.4g}<extra>%{fullData.name}</extra>"
        traces.append({**trace(str(name), "line"), **drawn, "hovertemplate": shown})
    yardstick = context.yardstick
    per_unit = yardstick.normalised(yardstick.chance + 1.0)
    threshold = yardstick.chance + TRAINS_ABOVE / per_unit
    layout = axes("learning rate", f"final validation {yardstick.label}")
    grid = sorted(set(shorts(sensitivity.lr)), key=float)  # type: ignore[arg-type]
    layout["xaxis"] |= {"type": "log", "tickvals": thinned(grid, 9), "ticktext": [f"{lr:g}" for lr in thinned(grid, 9)]}
    caption = (
        f"Mean final validation {yardstick.label} ({_unit(context)}) over "
        f"{format_counts(sensitivity.num_seeds, 'tuning seed')} at each learning rate; a diverged trial counts as "
        f"chance. Star: the learning rate that the initializer is scored at. Dashed: above it, it trains."
    )
    return {
        "data": traces,
        "layout": {**layout, **with_lines([level_line(threshold, "trains", "right")])},
        "caption": caption,
    }


def trace(name: str, role: str) -> Figure:
    """What every trace of an initializer has: the page colours it by `meta`."""
    found: Figure = {
        "type": "scatter",
        "name": plot_text(name),
        "legendgroup": name,
        "meta": {"init": name, "role": role},
    }
    return found if role == "band" else {**found, "line": {"width": 2, "dash": DASHES[line_style(name)]}}


def axes(horizontal: str, vertical: str) -> Figure:
    """A layout with titled axes."""
    return {"xaxis": {"title": {"text": horizontal}}, "yaxis": {"title": {"text": vertical}}}


def rows_axis(names: Sequence[str]) -> Figure:
    """A vertical axis with a row for each name, the first on top."""
    texts = [plot_text(name) for name in names]
    return {
        "tickvals": list(range(len(names))),
        "ticktext": texts,
        "range": [len(names) - 0.5, -0.5],
        "zeroline": False,
    }


def level_line(height: float, text: str, side: str) -> Figure:
    """A dashed horizontal line with its name at the left or the right."""
    return {"height": short(height), "text": text, "x": 0 if side == "left" else 1, "side": side}


def with_lines(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Such lines as parts of a layout."""
    shapes = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": line["height"], "y1": line["height"]}
        for line in lines
    ]
    notes = [
        {"xref": "paper", "x": line["x"], "y": line["height"], "text": line["text"], "yanchor": "bottom"}
        for line in lines
    ]
    return {
        "shapes": [{**shape, "line": {"dash": "dash", "width": 1}} for shape in shapes],
        "annotations": [
            {**note, "xanchor": line["side"], "showarrow": False} for note, line in zip(notes, lines, strict=True)
        ],
    }


def _row_of_dots(standing: Standing, column: str, row: int, edge: float) -> Iterator[Figure]:
    name, values = standing.arm.name, standing.arm.trials[column].astype(float)
    heights = row + _JITTER * np.linspace(-1, 1, len(values)) if len(values) > 1 else [row]
    reached = "%{x:.4g}, seed %{customdata}<extra>%{fullData.name}</extra>"
    dots = {"x": shorts(values.fillna(edge)), "y": shorts(heights), "customdata": standing.arm.trials.seed.tolist()}
    texts = [f"never, seed {seed}" if math.isnan(value) else "" for seed, value in values.items()]
    hover = [f"{text}<extra>%{{fullData.name}}</extra>" if text else reached for text in texts]
    yield {**trace(name, "dots"), **dots, "mode": "markers", "hovertemplate": hover, "showlegend": False}
    middle = standing.steps if column != "loss_auc" else standing.loss_auc
    if math.isfinite(middle.estimate):
        bar: Figure = {"x": [short(middle.estimate)], "y": [row], "mode": "markers"}
        if middle.exists:
            high = min(middle.high, edge)
            bar["error_x"] = {
                "type": "data",
                "symmetric": False,
                "array": [short(high - middle.estimate)],
                "arrayminus": [short(middle.estimate - middle.low)],
            }
        shown = "median %{x:.4g}<extra>%{fullData.name}</extra>"
        yield {**trace(name, "median"), **bar, "hovertemplate": shown, "showlegend": False}


def _unit(context: Context) -> str:
    return METRICS[context.yardstick.metric].unit
