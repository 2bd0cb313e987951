"""The article's recommendations against the trials, as a forest plot."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl

from initsuite.report.figures.style import (
    PAGE,
    STYLE,
    Drawing,
    Margins,
    add_legend,
    grid_of_panels,
    legend_height,
    wrapped,
)
from initsuite.report.formatting import format_p
from initsuite.report.verdicts.scorecard import IMPROVEMENT, Ruling
from initsuite.report.verdicts.views import Views
from initsuite.wording import format_count

RULING_COLOURS = {
    Ruling.SUPPORTED: "#0072B2",
    Ruling.CONTRADICTED: "#D55E00",
    Ruling.NO_DIFFERENCE: "#777777",
    Ruling.UNDECIDED: "#777777",
    Ruling.UNTESTED: "#aaaaaa",
}
"""Blue and vermilion are told apart with every colour blindness; the verdict stands beside in words."""
_LEFT, _RIGHT = 1.95, 2.3
_ROW = 0.34
_NOTE = (
    "Circle: the mean over contexts of P(the recommended initializer is better), ties 1/2. Square: the "
    "share of contexts in which the statement holds. Line: 95 % interval. Behind the verdict: contexts for, against, "
    "undecided, and the p-value pooled over contexts (Holm over the rules)."
)


def scorecard(views: Views) -> Drawing | None:
    """Each recommendation with its interval, coloured by its verdict, with the counts; None if none was tested."""
    data = views.scorecard
    if data.empty or (data.verdict == Ruling.UNTESTED).all():
        return None
    rows = list(data.itertuples())
    margins = Margins(_LEFT, _RIGHT, 0.08, 0.36 + legend_height([], _NOTE, PAGE))
    figure, (axes,) = grid_of_panels(1, 1, PAGE, _ROW * len(rows), margins)
    with mpl.rc_context(STYLE):
        axes.axvline(0.5, color="#444444", linewidth=0.8, linestyle=(0, (4, 3)))
        for place, row in enumerate(rows):
            shade = RULING_COLOURS[Ruling(str(row.verdict))]
            estimate, low, high = (float(getattr(row, name)) for name in ("estimate", "low", "high"))
            if math.isfinite(low) and math.isfinite(high):
                axes.plot([low, high], [place, place], color=shade, linewidth=1.6, clip_on=False)
            if math.isfinite(estimate):
                mark = "o" if row.measure == IMPROVEMENT else "s"
                axes.plot(estimate, place, mark, color=shade, markersize=5, markeredgewidth=0, clip_on=False)
            edges = axes.get_yaxis_transform()
            axes.text(
                1.04, place, _words(row), transform=edges, va="center", color=shade if shade != "#aaaaaa" else "#777777"
            )
        labels = [wrapped(f"{row.rule}. {row.recommendation}", _LEFT - 0.1) for row in rows]
        axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("contradicted  ←  0.5  →  supported")
    add_legend(figure, [], _NOTE)
    shares = {name: f"{name} [share]" for name in ("estimate", "low", "high")}
    return Drawing("scorecard", [figure], data.rename(columns=shares))


def _words(row: Any) -> str:
    """The verdict, and the numbers behind it."""
    verdict, counts = (getattr(row, name) for name in ("verdict", "num_contexts"))
    if verdict == Ruling.UNTESTED:
        return str(verdict)
    votes = ", ".join(f"{getattr(row, f'num_{name}')} {name}" for name in ("for", "against", "undecided"))
    p_value = float(row.p_value)
    pooled = "" if math.isnan(p_value) else f"; {format_p(p_value)}"
    return f"{verdict}{pooled}\n{format_count(counts, 'context')}: {votes}"
