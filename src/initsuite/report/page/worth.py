"""What the choice of an initializer is worth, as a Plotly figure in plain data."""

from __future__ import annotations

import math
from typing import Any

from initsuite.report.formatting import format_difference
from initsuite.report.page.cells import plot_text, short
from initsuite.report.page.plots import Figure, axes, error_bar, rows_axis, trace
from initsuite.report.text.display import interval_of, records
from initsuite.report.verdicts.comparison import BASELINE
from initsuite.report.verdicts.views import Views
from initsuite.report.verdicts.worth_summary import in_hundredths


def worth_chart(views: Views) -> Figure:
    """A row for each context: what the best initializer gains over the worst one, and over torch_default."""
    if views.worth.empty:
        return {"empty": "Needs a network with and without a norm, each trained by two optimizers."}
    column, unit = in_hundredths(views.worths)
    rows = records(views.worth)
    traces = []
    for place, row in enumerate(rows):
        best, over_default = (interval_of(row, f"{column}{end}") for end in ("", "_over_default"))
        shown = {"y": [place], "mode": "markers", "showlegend": False}
        bar = error_bar(*(100 * value for value in (best.estimate, best.low, best.high)))
        traces.append(
            trace(
                row["best"],
                "median",
                x=[short(100 * best.estimate)],
                error_x=bar,
                **shown,
                **_hover(row, "score", row["worst"]),
            )
        )
        if not math.isnan(over_default.estimate):
            near = {"x": [short(100 * over_default.estimate)], **shown, **_hover(row, "score_over_default", BASELINE)}
            traces.append(trace(BASELINE, "dots", **near))
    models = {row["network"]: row["network"].split(" / ")[1] for row in rows}
    names = [f"{models[row['network']]} · {row['norm']} · {row['optimizer']}" for row in rows]
    caption = (
        "Diamond and bar: how much better the best initializer is than the worst one, with its 95 % interval, in the "
        f"colour of the best one. Small dot: how much better the best other one is than {BASELINE}. Rows: network · "
        f"norm · optimizer. In {unit}."
    )
    layout = axes(f"worth of the choice, {unit}", "", y=rows_axis(names))
    return {"data": traces, "layout": layout, "caption": caption, "rows": len(rows)}


def _hover(row: dict[str, Any], name: str, other: str) -> dict[str, str]:
    first = row["best"] if other != BASELINE else "best other one"
    text = f"{first} against {other}: {format_difference(interval_of(row, name), row['metric'])}"
    return {"hovertemplate": f"{plot_text(text)}<extra></extra>"}
