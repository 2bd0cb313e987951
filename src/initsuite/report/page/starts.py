"""Signal at step 0, for each context of which it was measured: a table, and how far signal and gradient change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from initsuite.report.page.cells import short
from initsuite.report.page.plots import Figure, axes, rows_axis, trace
from initsuite.report.page.tables import Table
from initsuite.report.text.display import records
from initsuite.report.text.starts import HEADINGS

EMPTY = "Not measured here: train with diagnostics=true."


def starts(table: pd.DataFrame) -> Table:
    """One row per initializer, from its rows of `starts_table`."""
    columns = [("initializer", "init"), ("at step 0", "text"), ("begins at", "text"), ("seeds", "text")]
    columns += [(title, "number") for title in HEADINGS.values()]
    rows: list[list[Any]] = []
    for row in records(table):
        agreeing = f"{row['num_agreeing']} of {row['num_seeds']}"
        numbers = [[short(row[name]), f"{row[name]:z.3g}"] if not math.isnan(row[name]) else None for name in HEADINGS]
        rows.append([row["init"], row["verdict"], row["layer"], agreeing, *numbers])
    return {"columns": [{"title": title, "kind": kind} for title, kind in columns], "rows": rows, "empty": EMPTY}


def starts_chart(table: pd.DataFrame) -> Figure:
    """How far the mean square of signal and gradient changes from one end of the network to the other, a row each."""
    if table.empty:
        return {"empty": EMPTY}
    traces, notes = [], []
    for place, row in enumerate(records(table)):
        for role, column, name in (("median", "q_ratio", "signal"), ("second", "gradient_ratio", "gradient")):
            if row[column] > 0 and math.isfinite(row[column]):
                hover = f"{name} %{{x:.3g}}<extra>%{{fullData.name}}</extra>"
                made = {"x": [short(row[column])], "y": [place], "mode": "markers", "hovertemplate": hover}
                traces.append(trace(row["init"], role, **made, showlegend=False))
        if lost := _lost(row):
            notes.append(_at_the_left(place, f"← {lost}"))
    known = [each["x"][0] for each in traces]
    ticks = {"dtick": 1} if known and max(known) > 100 * min(known) else {}
    layout = axes("squared length, far end / near end", "",
                  x={"type": "log", "exponentformat": "power", **ticks},
                  y=rows_axis([str(name) for name in table["init"]]))  # fmt: skip
    caption = (
        "Diamond: mean square of the signal, in the last hidden layer / in the first. Square: squared length of the "
        "gradient, in the first / in the last. "
        "Geometric means over the scoring seeds, before the first step; 1 is ideal, below 1/403 or above 403 a deep "
        "network is hard to train."
    )
    return {"data": traces, "layout": {**layout, "annotations": notes}, "caption": caption, "rows": len(table)}


def _lost(row: Mapping[str, Any]) -> str:
    """What no logarithm can show."""
    if math.isnan(row["q_ratio"]):
        return "no signal in the first layer"
    missing = [what for what, name in (("signal", "q_ratio"), ("gradient", "gradient_ratio")) if row[name] == 0]
    return f"{' and '.join(missing)} 0" if missing else ""


def _at_the_left(row: int, text: str) -> Figure:
    place = {"xref": "paper", "x": 0, "y": row, "xanchor": "left", "yanchor": "middle"}
    return {**place, "text": text, "showarrow": False}
