"""What the choice of an initializer is worth: final score, steps and learning rates, by norm and optimizer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from initsuite.report.figures import style
from initsuite.report.text.display import interval_of, records
from initsuite.report.text.worth import WORTH_CAPTION
from initsuite.report.verdicts.comparison import BASELINE
from initsuite.report.verdicts.views import Views
from initsuite.report.verdicts.worth_summary import in_hundredths
from initsuite.stats.intervals import Interval

_WORST, _DEFAULT = "#0072B2", "#D55E00"
"""Blue and vermilion are distinguishable with every colour blindness; the marks differ, too."""
_ROW, _LINES_PER_PAGE = 0.17, 44
_FACTORS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
_OFFSET = 0.17
"""How far above and below the middle of a row its two marks stand, in rows."""
_NOTE = (
    f"Circle: the best initializer against the worst one. Square: the best other one against {BASELINE}. Line: 95 % "
    "interval over the scoring seeds, for all pairs at once. Steps: how many times those of the fastest initializer; "
    "at the right edge, the target is never reached. Decades of learning rates that train: the widest window less the "
    "narrowest, or that of the default; they have no interval."
)


def worth(views: Views) -> style.Drawing | None:
    """A row for each context, under its network; None where no network was trained with and without a norm by two
    optimizers."""
    if views.worth.empty:
        return None
    column, unit = in_hundredths(views.worths)
    pages = style.pages_of(_lines(records(views.worth)), _LINES_PER_PAGE)
    return style.Drawing("worth", [_page(list(lines), column, unit) for lines in pages], views.worth, WORTH_CAPTION)


def _page(lines: list[Any], column: str, unit: str) -> Figure:
    labels = [str(line) if isinstance(line, str) else f"{line['norm']}, {line['optimizer']}" for line in lines]
    left = min(2.0, style.name_width(labels) + 0.1)
    margins = style.Margins(left, 0.12, 0.1, 0.36 + style.legend_height([], _NOTE, style.PAGE), between_columns=0.22)
    margins = replace(margins, bottom=margins.bottom + 0.15) if len(unit) > 20 else margins  # two lines
    figure, panels = style.grid_of_panels(3, 3, style.PAGE, _ROW * (len(lines) + 0.5), margins)
    _draw_scores(panels[0], lines, column)
    _draw_steps(panels[1], lines)
    _draw_windows(panels[2], lines)
    titles = (f"final score, {unit}", "steps, times the fastest", "decades of learning rates")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_yticks(range(len(lines)), [""] * len(lines))
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(style.wrapped(title, 1.9))
    panels[0].set_yticks(range(len(lines)), labels)
    for line, label in zip(lines, panels[0].get_yticklabels(), strict=True):
        label.set_fontweight("bold" if isinstance(line, str) else "normal")
    style.add_legend(figure, [], _NOTE)
    return figure


def _lines(rows: list[dict[str, Any]]) -> list[Any]:
    """The rows, under the name of each network."""
    lines: list[Any] = []
    for place, row in enumerate(rows):
        if not place or rows[place - 1]["network"] != row["network"]:
            lines.append(style.short(row["network"].split(" / ")[1]))
        lines.append(row)
    return lines


def _draw_scores(axes: Axes, lines: list[Any], column: str) -> None:
    axes.axvline(0, color="#444444", linewidth=0.8, linestyle=(0, (4, 3)))
    for place, row in enumerate(lines):
        if not isinstance(row, str):
            for name, offset, mark in ((column, -_OFFSET, "o"), (f"{column}_over_default", _OFFSET, "s")):
                found = interval_of(row, name)
                _mark(axes, place + offset, 100 * found.estimate, 100 * found.low, 100 * found.high, mark)


def _draw_steps(axes: Axes, lines: list[Any]) -> None:
    rows = [row for row in lines if not isinstance(row, str)]
    found = [interval_of(row, name) for row in rows for name in ("steps", "steps_over_default")]
    known = [
        value for one in found for value in (one.estimate, one.low, one.high) if math.isfinite(value) and value > 0
    ]
    low, high = min([0.9, *known]), max([3.0, *known])
    edge = high * (high / low) ** 0.2
    axes.set_xscale("log")
    axes.set_xlim(low * 0.95, edge * 1.08)
    axes.axvline(1, color="#444444", linewidth=0.8, linestyle=(0, (4, 3)))
    for place, row in enumerate(lines):
        if not isinstance(row, str):
            for name, offset, mark in (("steps", -_OFFSET, "o"), ("steps_over_default", _OFFSET, "s")):
                _mark(axes, place + offset, *_within(interval_of(row, name), low, edge), mark)
    marks = [value for value in _FACTORS if low <= value <= high]
    axes.set_xticks([*marks, edge], [*(f"{value:g}" for value in marks), "never"])
    axes.minorticks_off()


def _within(found: Interval, low: float, edge: float) -> tuple[float, float, float]:
    """An interval of factors in the room of the panel: what is infinite stands at its edge."""
    values = (found.estimate, found.low, found.high)
    return tuple(value if math.isnan(value) else min(max(value, low), edge) for value in values)  # type: ignore[return-value]


def _draw_windows(axes: Axes, lines: list[Any]) -> None:
    for place, row in enumerate(lines):
        if not isinstance(row, str):
            widest = row["widest_decades"]
            _mark(axes, place - _OFFSET, widest - row["narrowest_decades"], math.nan, math.nan, "o")
            _mark(axes, place + _OFFSET, widest - row["default_decades"], math.nan, math.nan, "s")
    axes.set_xlim(left=-0.15)


def _mark(axes: Axes, place: float, estimate: float, low: float, high: float, mark: str) -> None:
    colour = _WORST if mark == "o" else _DEFAULT
    if math.isfinite(low) and math.isfinite(high):
        axes.add_line(Line2D([low, high], [place, place], color=colour, linewidth=1.2))
    if math.isfinite(estimate):
        axes.plot(estimate, place, mark, color=colour, markersize=3.5, markeredgewidth=0, clip_on=False)
