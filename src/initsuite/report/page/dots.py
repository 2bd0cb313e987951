"""The two results of a context as dots: one for each seed, with the middle of each initializer and its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from initsuite.protocol.tuning import trains
from initsuite.protocol.yardstick import Yardstick
from initsuite.report.evidence.context import counted_scores
from initsuite.report.evidence.levels import COLUMN_OF_LEVEL
from initsuite.report.page.cells import short, shorts
from initsuite.report.page.curves import unit_of
from initsuite.report.page.plots import Figure, axes, error_bar, rows_axis, trace, zoomed
from initsuite.report.verdicts.comparison import Comparison, Standing
from initsuite.spec import Status
from initsuite.stats.intervals import Interval
from initsuite.wording import format_counts

_JITTER = 0.28
_BEYOND = 1.16
"""Where seeds that miss the target stand, as a multiple of the budget."""


def steps_chart(comparison: Comparison) -> Figure:
    """One dot per seed and the median with its interval, one row per arm; the loss area where no level ranks."""
    scored = comparison.scored
    if not scored:
        return {"empty": "No scoring trials yet."}
    context = comparison.context
    column = COLUMN_OF_LEVEL.get(comparison.level or "", "loss_auc")
    by_steps = comparison.level is not None
    edge = _BEYOND * context.max_steps
    traces = [made for row, standing in enumerate(scored) for made in _steps_of(standing, column, row, edge)]
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


def scores_chart(comparison: Comparison) -> Figure:
    """The second result, as the first one is drawn: test score of each seed, and the mean with its interval.

    The rows are those of the steps, so that the two can be read beside each other. The axis is as wide as the seeds
    that train need it; a note says where the others are.
    """
    scored, context = comparison.scored, comparison.context
    yardstick = context.yardstick
    scores = [counted_scores(standing.arm, yardstick) for standing in scored]
    if not any(len(found) for found in scores):
        return {"empty": "No test scores yet."}
    traces = []
    for row, (standing, found) in enumerate(zip(scored, scores, strict=True)):
        hover = "%{x:.4g}, seed %{customdata}<extra>%{fullData.name}</extra>"
        dots = {"x": shorts(found), "y": _heights(row, len(found)), "customdata": found.index.tolist()}
        traces.append(trace(standing.arm.name, "dots", **dots, **_MARKS, hovertemplate=hover))
        traces += _middle(standing.arm.name, "mean", standing.score, row)
    training = [value for standing in scored for value in _training(standing, yardstick)]
    axis, beyond = zoomed([found.tolist() for found in scores], training)
    names = rows_axis([standing.arm.name for standing in scored])
    layout = axes(f"test {yardstick.label}", "", x=axis, y=names) | {"annotations": beyond}
    caption = (
        f"Dot: test {yardstick.label} ({unit_of(context)}) of a scoring seed after the last step. Diamond and bar: "
        "mean with its 95 % t interval. The rows stand in the order of the steps. A diverged trial counts as chance. "
        "Arrows: seeds beyond the axis."
    )
    return {"data": traces, "layout": layout, "caption": caption, "rows": len(scored)}


def _training(standing: Standing, yardstick: Yardstick) -> list[float]:
    """The test scores of an arm's seeds that did not diverge and are better than chance."""
    is_done = standing.arm.trials.status == Status.DONE
    return [value for value in counted_scores(standing.arm, yardstick)[is_done] if trains(value, yardstick)]


def _steps_of(standing: Standing, column: str, row: int, edge: float) -> Iterator[Figure]:
    name, values = standing.arm.name, standing.arm.trials[column].astype(float)
    reached = "%{x:.4g}, seed %{customdata}<extra>%{fullData.name}</extra>"
    places = {"x": shorts(values.fillna(edge)), "y": _heights(row, len(values))}
    missed = "never, seed %{customdata}<extra>%{fullData.name}</extra>"
    hover = [missed if is_missing else reached for is_missing in values.isna()] if values.isna().any() else reached
    yield trace(name, "dots", **places, **_MARKS, customdata=standing.arm.trials.seed.tolist(), hovertemplate=hover)
    middle = standing.steps if column != "loss_auc" else standing.loss_auc
    yield from _middle(name, "median", middle, row, edge)


_MARKS = {"mode": "markers", "showlegend": False}


def _heights(row: int, count: int) -> list[float | int | None]:
    """Where the dots of a row stand: a little above and below it, so that equal ones are seen."""
    return shorts(row + _JITTER * np.linspace(-1, 1, count)) if count > 1 else [row]


def _middle(name: str, what: str, found: Interval, row: int, edge: float = math.inf) -> Iterator[Figure]:
    """The diamond of a row with its bar, which ends at the edge; nothing where the middle is not finite."""
    if math.isfinite(found.estimate):
        bar = {"error_x": error_bar(found.estimate, found.low, min(found.high, edge))} if found.exists else {}
        hover = f"{what} %{{x:.4g}}<extra>%{{fullData.name}}</extra>"
        yield trace(name, "median", x=[short(found.estimate)], y=[row], **_MARKS, **bar, hovertemplate=hover)
