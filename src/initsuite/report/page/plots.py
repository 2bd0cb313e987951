"""What the charts are made of: traces, axes and marks of Plotly figures, in plain data.

A trace names its initializer in `meta`: the page gives it that initializer's colour, which depends on light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from initsuite.report.colours import line_style
from initsuite.report.page.cells import plot_text, short

Figure = dict[str, Any]
"""data, layout and caption; or `empty`: why there is nothing to draw."""
DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
_ROOM = 0.06
"""Free room at either end of a zoomed axis, as a share of what it shows."""


def trace(init: str, role: str, /, **parts: Any) -> Figure:
    """A trace of an initializer, which the page colours by `meta`, with these parts."""
    line = {"line": {"width": 2, "dash": DASHES[line_style(init)]}}
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


def level_line(height: float, text: str, side: str, is_log: bool = False) -> Figure:
    """Parts of a layout: a dashed horizontal line with its name at the left or the right.

    Args:
        is_log: the vertical axis is logarithmic, where Plotly wants the logarithm of a note's place.
    """
    y = short(height)
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": {"dash": "dash", "width": 1}}
    beside = short(math.log10(height)) if is_log else y
    place = {"xref": "paper", "x": 0 if side == "left" else 1, "y": beside, "xanchor": side, "yanchor": "bottom"}
    return {"shapes": [line], "annotations": [{**place, "text": text, "showarrow": False}]}


def zoomed(rows: Sequence[Sequence[float]], shown: Sequence[float]) -> tuple[Figure, list[Figure]]:
    """A horizontal axis that is as wide as what it should show, and a note in each row on what lies beyond it.

    Args:
        rows: [row][dot], the places of all dots.
        shown: those that the axis should show; all of them if there are none.

    Returns:
        Parts of the axis, and the annotations.
    """
    wanted = list(shown) or [value for row in rows for value in row]
    low, high = min(wanted), max(wanted)
    room = _ROOM * (high - low) or 0.05 * max(abs(high), 1e-9)
    low, high = low - room, high + room
    notes = []
    for place, row in enumerate(rows):
        for side, beyond in (("left", [x for x in row if x < low]), ("right", [x for x in row if x > high])):
            if beyond:
                notes.append(_beyond(place, side, beyond, len(row)))
    return {"range": [short(low), short(high)]}, notes


def _beyond(row: int, side: str, values: Sequence[float], num_dots: int) -> Figure:
    ends = sorted({f"{value:z.3g}" for value in (min(values), max(values))}, key=float)
    count = "" if len(values) == num_dots else f"{len(values)} of {num_dots}: "
    text = f"{count}{' to '.join(ends)}"
    place = {"xref": "paper", "x": 0 if side == "left" else 1, "y": row, "xanchor": side, "yanchor": "middle"}
    return {**place, "text": f"← {text}" if side == "left" else f"{text} →", "showarrow": False}
