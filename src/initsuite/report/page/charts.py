"""The charts of one context as Plotly figures in plain data."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from initsuite.protocol.tuning import TRAINS_ABOVE
from initsuite.report.evidence.context import Context
from initsuite.report.page.cells import shorts, thinned
from initsuite.report.page.curves import curves_chart, unit_of
from initsuite.report.page.dots import scores_chart, steps_chart
from initsuite.report.page.plots import Figure, axes, level_line, trace
from initsuite.report.verdicts.comparison import Comparison
from initsuite.wording import format_counts


def charts_of(
    comparison: Comparison, bands: Mapping[str, pd.DataFrame], sensitivity: pd.DataFrame
) -> dict[str, Figure]:
    """The figures of a context, by name.

    Args:
        bands: its rows of `curve_bands`, by measure.
        sensitivity: its rows of `lr_sensitivity`.
    """
    return {
        "curves": curves_chart(comparison, bands),
        "steps": steps_chart(comparison),
        "scores": scores_chart(comparison),
        "lr": lr_chart(comparison.context, sensitivity),
    }


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
        f"Mean final validation {yardstick.label} ({unit_of(context)}) over "
        f"{format_counts(sensitivity.num_seeds, 'tuning seed')} at each learning rate; a diverged trial counts as "
        "chance. Star: the learning rate that the initializer is scored at. Dashed: above it, it trains."
    )
    return {"data": traces, "layout": layout | level_line(threshold, "trains", "right"), "caption": caption}
