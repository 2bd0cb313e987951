"""The article's recommendations against the trials, as a forest plot."""

from __future__ import annotations

import math
from typing import Any

from initsuite.report.figures import style
from initsuite.report.formatting import format_p
from initsuite.report.text.display import ARTICLE_NOTE
from initsuite.report.verdicts.rulings import Ruling
from initsuite.report.verdicts.scorecard import IMPROVEMENT
from initsuite.report.verdicts.views import Views
from initsuite.wording import format_count

RULING_COLOURS = {
    Ruling.SUPPORTED: "#0072B2",
    Ruling.CONTRADICTED: "#D55E00",
    Ruling.DEPENDS: "#7B4EA3",
    Ruling.NO_DIFFERENCE: "#777777",
    Ruling.UNDECIDED: "#777777",
    Ruling.UNTESTED: "#aaaaaa",
}
"""Blue and vermilion are distinguishable with every colour blindness; every verdict stands beside in words."""
_LEFT, _RIGHT = 1.95, 2.3
_ROW = 0.34
_NOTE = (
    "Circle: the mean over contexts of P(the recommended initializer is better), ties 1/2. Square: the "
    "share of contexts in which the statement holds. Line: 95 % interval. Behind the verdict: contexts for, against, "
    "undecided, and the p-value pooled over contexts (Holm over the rules). "
    f"{ARTICLE_NOTE}"
)


def scorecard(views: Views) -> style.Drawing | None:
    """Each recommendation with its interval, coloured by its verdict, with the counts; None if none was tested."""
    data = views.scorecard
    if data.empty or (data.verdict == Ruling.UNTESTED).all():
        return None
    rows = list(data.itertuples())
    margins = style.Margins(_LEFT, _RIGHT, 0.08, 0.36 + style.legend_height([], _NOTE, style.PAGE))
    figure, (axes,) = style.grid_of_panels(1, 1, style.PAGE, _ROW * len(rows), margins)
    axes.axvline(0.5, color="#444444", linewidth=0.8, linestyle=(0, (4, 3)))
    for place, row in enumerate(rows):
        shade = RULING_COLOURS[Ruling(str(row.verdict))]
        estimate, low, high = (float(getattr(row, name)) for name in ("estimate", "low", "high"))
        if math.isfinite(low) and math.isfinite(high):
            axes.plot([low, high], [place, place], color=shade, linewidth=1.6, clip_on=False)
        if math.isfinite(estimate):
            mark = "o" if row.measure == IMPROVEMENT else "s"
            axes.plot(estimate, place, mark, color=shade, markersize=5, markeredgewidth=0, clip_on=False)
        ink = shade if shade != "#aaaaaa" else "#777777"
        axes.text(1.04, place, _words(row), transform=axes.get_yaxis_transform(), va="center", color=ink)
    labels = [style.wrapped(f"{row.rule}. {row.recommendation}", _LEFT - 0.1) for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("contradicted  ←  0.5  →  supported")
    style.add_legend(figure, [], _NOTE)
    shares = {name: f"{name} [share]" for name in ("estimate", "low", "high")}
    return style.Drawing("scorecard", [figure], data.rename(columns=shares), _NOTE)


def _words(row: Any) -> str:
    """The verdict, and the numbers behind it."""
    if row.verdict == Ruling.UNTESTED:
        return str(row.verdict)
    votes = ", ".join(f"{getattr(row, f'num_{name}')} {name}" for name in ("for", "against", "undecided"))
    pooled = "" if math.isnan(row.p_value) else f"; {format_p(row.p_value)}"
    return f"{row.verdict}{pooled}\n{format_count(row.num_contexts, 'context')}: {votes}"
