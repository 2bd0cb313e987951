"""Panels with a row for each initializer: a dot for each scoring seed, the middle of them and its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from initsuite.report.colours import colour
from initsuite.report.figures import style
from initsuite.report.verdicts.comparison import Comparison

PER_PAGE = 12
"""Panels that one page can show readably; further ones go to the next page."""
_JITTER = 0.27
"""Height of the band of seed dots, rows."""
_RIGHT = 0.14
"""Inches at the right edge."""


def arm_pages(
    shown: Sequence[Comparison],
    draw: Callable[[Axes, Comparison], None],
    note: str,
    num_columns: int,
    label: str = "",
    detail: Callable[[Comparison], str] = lambda _: "",
) -> list[Figure]:
    """A panel for each comparison, in pages: as many columns of panels as this, one for a single comparison.

    Args:
        draw: draws the rows of a comparison, from 0 at the top.
        label: what the horizontal axis of all panels is; it stands below the last row of them. Without one, each panel
            labels its own.
        detail: what a panel says below its title.
    """
    names, num_arms = names_of(shown), max(len(found.standings) for found in shown)
    left = style.name_width(names)
    width, num_columns = (style.COLUMN, 1) if len(shown) == 1 else (style.PAGE, num_columns)
    panel_width = (width - left * num_columns) / num_columns
    titles = {found.key: style.title_of(found, panel_width + left - 0.15, detail(found)) for found in shown}
    title_height = style.LINE * max(map(style.num_lines, titles.values())) + 0.06
    below = (0.26 if label else 0.4) + title_height
    margins = style.Margins(left, _RIGHT, title_height, 0.36 + style.legend_height([], note, width), left + 0.05, below)
    height = 0.25 + 0.14 * num_arms
    room = style.PAGE_HEIGHT - margins.top - margins.bottom + below
    per_page = num_columns * max(1, min(PER_PAGE // num_columns, int(room / (height + below))))
    pages = []
    for portion in style.pages_of(shown, per_page):
        figure, grid = style.grid_of_panels(len(portion), num_columns, width, height, margins)
        for axes, comparison in zip(grid, portion, strict=True):
            draw(axes, comparison)
            axes.set_ylim(num_arms - 0.5, -0.5)
            axes.set_title(titles[comparison.key], x=-(left - 0.05) / panel_width, ha="left")
        for axes in grid[-num_columns:] if label else ():
            axes.set_xlabel(label)
        style.add_legend(figure, [], note)
        pages.append(figure)
    return pages


def names_of(shown: Sequence[Comparison]) -> list[str]:
    return [standing.arm.name for found in shown for standing in found.standings]


def draw_arm(
    axes: Axes,
    place: int,
    name: str,
    values: Sequence[float],
    middle: tuple[float, float, float],
    empty: str,
    opacity: float | None = None,
) -> None:
    """The row of an initializer.

    Args:
        values: a dot each.
        middle: the bar, and the ends of the line through it if they are known.
        empty: what a row without values says.
    """
    if not len(values):
        axes.text(0.5, place, empty, transform=axes.get_yaxis_transform(), va="center", ha="center")
        return
    offsets = np.linspace(-_JITTER, _JITTER, len(values)) if len(values) > 1 else np.zeros(1)
    size = max(1.5, 5 - 0.15 * len(values))
    axes.scatter(values, place + offsets, s=size, color=colour(name), alpha=opacity, linewidths=0)
    estimate, low, high = middle
    if math.isfinite(low):
        axes.plot([low, high], [place, place], color=colour(name), linewidth=1.0)
    axes.plot([estimate] * 2, [place - 0.36, place + 0.36], color=colour(name), linewidth=1.5)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """The names of the rows beside a panel, which has no lines across them."""
    axes.set_yticks(range(len(names)), [style.short(name) for name in names])
    axes.grid(axis="y", visible=False)
