"""Learning curves, in several views: the score stretched towards the best, the score itself, and the losses.

Near the ceiling all good initializers look alike: the stretched view draws the distance to the best on a logarithmic
scale, with the scores beside it. The page draws bands and lines from `bands`, by the view that is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from initsuite.protocol.yardstick import METRICS, Yardstick
from initsuite.report.evidence.context import Context
from initsuite.report.page.cells import shorts
from initsuite.report.page.plots import Figure, axes, level_line, trace
from initsuite.report.verdicts.bands import INTERVAL, SCORE
from initsuite.report.verdicts.comparison import Comparison
from initsuite.wording import format_counts

MOST_POINTS = 60
"""Points of a curve at most: half of them evenly spread, the others denser at the start, which a log scale shows."""
DIGITS = 4
_STRETCH = 300
"""How many times closer to the best than chance the stretched view still tells scores apart."""
_HOVER = "%{customdata[0]:.4g} [%{customdata[1]:.4g}, %{customdata[2]:.4g}]<extra>%{fullData.name}</extra>"
_STEPS = "Steps are optimizer updates."
_LOSSES = {"val_loss": "validation loss", "train_loss": "training loss"}


_TEXT = 0.12
"""Height of the text of a mark on the stretched axis, decades."""


def curves_chart(comparison: Comparison, bands: Mapping[str, pd.DataFrame]) -> Figure:
    """A line and a band for each arm, which the legend switches together.

    Returns:
        `data` has a line for each arm, without heights; `bands` its median, low and high values by measure, [line];
        `views` what the page can show of them, each with its measure, layout and caption. A view with `best` draws the
        distance to it, no less than `least`.
    """
    scores = bands[SCORE]
    if scores.empty:
        return {"empty": "No learning curves: this context has no scoring trials yet."}
    lines, drawn = [], {measure: [] for measure in bands}
    tables = {measure: dict(tuple(table.groupby("init", sort=False))) for measure, table in bands.items()}
    for name, rows in scores.groupby("init", sort=False):
        steps = thinned_steps(rows.step.tolist())
        lines.append(trace(str(name), "line", x=steps, mode="lines", hovertemplate=_HOVER))
        for measure, by_init in tables.items():
            drawn[measure].append(_heights(by_init.get(name), steps))
    return {"data": lines, "bands": drawn, "views": list(_views(comparison, scores))}


def thinned_steps(steps: Sequence[int]) -> list[int]:
    """At most `MOST_POINTS` of these steps, with the first and the last.

    Example:
        >>> len(thinned_steps(range(1, 1001))), thinned_steps([20, 40, 60])
        (56, [20, 40, 60])
    """
    if len(steps) <= MOST_POINTS:
        return list(steps)
    last = len(steps) - 1
    places = {round(place) for place in np.linspace(0, last, MOST_POINTS // 2)}
    places |= {round(place) - 1 for place in np.geomspace(1, last, MOST_POINTS // 2)}
    return [steps[place] for place in sorted(places)]


def unit_of(context: Context) -> str:
    """The unit of a score."""
    return METRICS[context.yardstick.metric].unit


def _heights(rows: pd.DataFrame | None, steps: Sequence[int]) -> list[list[float | int | None]]:
    if rows is None:
        return [[None] * len(steps)] * 3
    found = rows.set_index("step").reindex(list(steps))
    return [shorts(found[column], DIGITS) for column in ("median", "low", "high")]


def _views(comparison: Comparison, scores: pd.DataFrame) -> Iterator[dict[str, Any]]:
    context, yardstick = comparison.context, comparison.context.yardstick
    seeds = format_counts(scores.groupby("init").num_seeds.first(), "scoring seed")
    kinds = {
        "the 95 % interval of the median" if band == INTERVAL else "the range of the seeds, too few for an interval"
        for band in scores.band.unique()
    }
    over = f"over {seeds}. Band: {' or '.join(sorted(kinds))}."
    label, unified = f"validation {yardstick.label}", {"hovermode": "x unified"}
    line = f"Line: median {label} ({unit_of(context)}) {over} A diverged trial counts as chance. {_STEPS}"
    yield from _stretched(comparison, scores, line)
    goal = {"shapes": [], "annotations": []}
    if comparison.target is not None:
        goal = level_line(comparison.target, f"target {comparison.target:g}", "left")
    shown = {"layout": axes("step", label) | unified | goal, "caption": line}
    yield {"name": "score", "title": label, "of": SCORE, **shown}
    for measure, what in _LOSSES.items():
        layout = axes("step", f"{what}, {context.loss_unit}", y={"type": "log"}) | unified
        caption = f"Line: median {what} ({context.loss_unit}) {over} A diverged trial counts as infinite. {_STEPS}"
        shown = {"layout": layout, "caption": caption}
        yield {"name": measure, "title": f"{what}, log scale", "of": measure, **shown}


def _stretched(comparison: Comparison, scores: pd.DataFrame, caption: str) -> Iterator[dict[str, Any]]:
    """The distance to the best score of any band; nothing where no score is better than chance."""
    yardstick = comparison.context.yardstick
    is_up = METRICS[yardstick.metric].direction == "max"
    best = float(scores.high.max() if is_up else scores.low.min())
    room = abs(best - yardstick.chance)
    if not (math.isfinite(room) and room > 0 and yardstick.oriented(best) > yardstick.oriented(yardstick.chance)):
        return
    least = room / _STRETCH
    span = [math.log10(1.15 * room), math.log10(0.9 * least)]
    axis = {"type": "log", "range": span if is_up else span[::-1], **_ticks(yardstick, best, room, least)}
    label = f"validation {yardstick.label}"
    layout = axes("step", f"{label}, stretched", y=axis) | {"hovermode": "x unified"}
    goal = comparison.target
    if goal is not None and least < abs(best - goal) < room:
        layout |= level_line(abs(best - goal), f"target {goal:g}", "left", is_log=True)
    words = (
        f"{caption} The height is the distance to {_written(yardstick, best)}, the best that a band reaches, on a "
        "logarithmic scale: initializers that look alike near the ceiling come apart."
    )
    shown = {"layout": layout, "caption": words, "best": best, "least": least}
    yield {"name": "stretched", "title": f"{label}, stretched towards the best", "of": SCORE, **shown}


def _ticks(yardstick: Yardstick, best: float, room: float, least: float) -> Figure:
    """Marks at the best and at scores that are the rounder the further from it they are."""
    sign = -1 if METRICS[yardstick.metric].direction == "max" else 1
    marks = {_written(yardstick, best): least, f"{yardstick.chance:z.3g}": room}
    for decade in range(math.floor(math.log10(least)), math.ceil(math.log10(room))):
        for part in (1, 2, 5):
            score = round(best + sign * part * 10.0**decade, -decade)
            distance = sign * (score - best)
            if 2 * least < distance < 0.8 * room and not any(_touch(distance, other) for other in marks.values()):
                marks[f"{score:z.6g}"] = distance
    return {"tickvals": shorts(marks.values()), "ticktext": list(marks)}


def _touch(distance: float, other: float) -> bool:
    """Whether the texts of two marks would overlap."""
    return abs(math.log10(distance / other)) < _TEXT


def _written(yardstick: Yardstick, score: float) -> str:
    return format(score, METRICS[yardstick.metric].written)
