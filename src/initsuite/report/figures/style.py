"""What all figures share: paper sizes, fonts, the look of an initializer, a grid of panels, the legend below."""

from __future__ import annotations

import math
import re
import textwrap
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from initsuite.report.colours import COLOURS, colour, line_style
from initsuite.report.verdicts.comparison import Comparison

COLUMN, PAGE = 3.3, 6.9
"""Widths of figures, inches: one column and two columns of a paper."""
PAGE_HEIGHT = 9.0
"""Greatest height of a figure, inches."""
FONT_SIZE = 7
"""Size of all text, points in print."""
LETTER, LINE = 0.056, 0.135
"""Mean width of a letter and height of a line at that size, inches."""
NAME_LETTERS = 24
"""A longer name of an initializer is shortened in figures; the data beside them have it in full."""
_SIZES = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")
STYLE: dict[Any, Any] = {
    **dict.fromkeys(_SIZES, FONT_SIZE),
    "text.parse_math": False,  # a name may hold a dollar sign
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.titley": 1.0,  # else each draw looks for room
    "axes.labelpad": 2,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "xtick.bottom": False,  # the grid says where a number is, and each mark takes time
    "ytick.left": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "figure.facecolor": "white",
    "pdf.fonttype": 42,  # text stays text
    "axes.unicode_minus": False,  # one more embedded font for one sign
    "svg.hashsalt": "initsuite",  # the same figure gives the same file
}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class Drawing:
    """A figure with its data.

    Attributes:
        name: the name of its files.
        pages: one figure each.
        data: what is drawn, in full; the units are in the names of the columns.
        caption: what its marks mean, for a paper.
    """

    name: str
    pages: Sequence[Figure]
    data: pd.DataFrame
    caption: str


@dataclass(frozen=True)
class Margins:
    """Room around the panels of a grid and between them, inches."""

    left: float
    right: float
    top: float
    bottom: float
    between_columns: float = 0.0
    between_rows: float = 0.0


def look(name: str, has_marker: bool = False) -> dict[str, Any]:
    """How the line of an initializer is drawn, the same in every figure."""
    marks = {"marker": marker(name), "markersize": 3.5, "markeredgewidth": 0} if has_marker else {}
    return {"color": colour(name), "linestyle": line_style(name), "linewidth": 1.3, **marks}


def marker(name: str) -> str:
    """The marker of an initializer; it depends on nothing but the name."""
    place = list(COLOURS).index(name) if name in COLOURS else zlib.crc32(name.encode())
    return _MARKERS[place % len(_MARKERS)]


def short(name: str) -> str:
    """A name that fits beside an axis.

    Example:
        >>> short("variance_scaling (gain=1.4142, mode=fan_out)")
        'variance_sca…de=fan_out)'
    """
    half = NAME_LETTERS // 2
    return name if len(name) <= NAME_LETTERS else f"{name[:half]}…{name[1 - half :]}"


def name_width(names: Sequence[str]) -> float:
    """Room for the longest of the names, inches."""
    return LETTER * max((len(short(name)) for name in names), default=0) + 0.12


def wrapped(text: str, width: float) -> str:
    """Text in lines of at most this width, inches; none begins with the slash of a title.

    A word that is longer is broken after a sign in it, such as the comma between two options, and never within a word.

    Example:
        >>> print(wrapped("digits / transformer(depth=2, heads=4) / gelu", 1.1))
        digits /
        transformer(depth=
        2, heads=4) / gelu
    """
    letters = max(12, int(width / LETTER))
    words = [_broken(word, letters) for word in text.replace(" / ", "\xa0/ ").split(" ")]
    whole = textwrap.fill(" ".join(words), letters, break_on_hyphens=False, break_long_words=False)
    return "\n".join(line.strip() for line in whole.replace("\xa0", " ").splitlines())


def _broken(word: str, letters: int) -> str:
    """A word in pieces of at most so many letters, as far as its signs allow."""
    if len(word) <= letters:
        return word
    lines = [""]
    for piece in re.findall(r"[^-_(,=+/\xa0]*[-_(,=+/\xa0]*", word):
        if lines[-1] and len(lines[-1]) + len(piece) > letters:
            lines.append("")
        lines[-1] += piece
    return " ".join(lines)


def num_lines(text: str) -> int:
    return text.count("\n") + 1


def title_of(comparison: Comparison, width: float, detail: str = "") -> str:
    """The context in lines of at most this width, inches; what else the panel says in the line below."""
    lr_rule = "" if comparison.context.is_tuned else comparison.context.lr_rule
    details = ", ".join(filter(None, [lr_rule, detail]))
    return "\n".join(wrapped(line, width) for line in (comparison.context.title, details) if line)


def grid_of_panels(
    num_panels: int, num_columns: int, width: float, panel_height: float, margins: Margins
) -> tuple[Figure, list[Axes]]:
    """A figure of this width with panels of this height, row by row; laid out by hand, as solvers take seconds."""
    num_rows = math.ceil(num_panels / num_columns)
    height = margins.top + margins.bottom + num_rows * panel_height + (num_rows - 1) * margins.between_rows
    panel_width = (width - margins.left - margins.right - (num_columns - 1) * margins.between_columns) / num_columns
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    figure.subplots_adjust(
        left=margins.left / width,
        right=1 - margins.right / width,
        bottom=margins.bottom / height,
        top=1 - margins.top / height,
        wspace=margins.between_columns / panel_width,
        hspace=margins.between_rows / panel_height,
    )
    for axes in grid.flat[num_panels:]:
        axes.remove()
    return figure, list(grid.flat[:num_panels])


def legend_height(names: Sequence[str], note: str, width: float) -> float:
    """Room for `add_legend`, inches."""
    rows = math.ceil(len(names) / _legend_columns(names, width)) if names else 0
    return (rows + num_lines(wrapped(note, width - 0.2))) * LINE + 0.12


def add_legend(figure: Figure, names: Sequence[str], note: str, has_marker: bool = False) -> None:
    """The names with their lines at the lower edge, and under them what the figure shows."""
    width, height = figure.get_size_inches()
    text = wrapped(note, width - 0.2)
    figure.text(0.5, 0.04 / height, text, ha="center", va="bottom", color="#444444")
    spacing = {"borderpad": 0, "borderaxespad": 0, "labelspacing": 0.25, "handlelength": 2.4, "columnspacing": 1.2}
    figure.legend(
        [Line2D([], [], **look(name, has_marker)) for name in names],
        [short(name) for name in names],
        loc="lower center",
        bbox_to_anchor=(0.5, (0.05 + num_lines(text) * LINE) / height),
        ncols=_legend_columns(names, width),
        frameon=False,
        **spacing,
    )


def _legend_columns(names: Sequence[str], width: float) -> int:
    fitting = max(1, int((width - 0.2) / (name_width(names) + 0.4)))
    return math.ceil(len(names) / math.ceil(len(names) / fitting)) if names else 1


def pages_of(items: Sequence[Any], per_page: int) -> list[Sequence[Any]]:
    """The items in portions of at most `per_page`."""
    return [items[start : start + per_page] for start in range(0, len(items), per_page)]
