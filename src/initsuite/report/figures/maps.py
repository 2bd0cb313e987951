"""Initializer x activation and initializer x depth: one cell per score, with its number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from initsuite.report.figures import style
from initsuite.report.verdicts.views import Views

COLOUR_MAP = "cividis"
"""Reads the same for those who cannot distinguish red from green."""
_CELL_WIDTH, _CELL_HEIGHT = 0.34, 0.17
_GAP, _RIGHT, _BAR = 0.12, 0.08, 0.1
_NOTE = (
    "Mean normalised test score: 0 is chance, 1 the hard level (the best there is where none is frozen). Empty: not "
    "scored."
)


def heat_activation(views: Views) -> style.Drawing | None:
    """Normalised test score by initializer and activation, one panel per workload and one for all."""
    return _drawing("heat_activation", views.by_activation, "activation")


def heat_depth(views: Views) -> style.Drawing | None:
    """Normalised test score by initializer and number of hidden layers."""
    return _drawing("heat_depth", views.by_depth, "hidden layers")


def _drawing(name: str, table: pd.DataFrame, column: str) -> style.Drawing | None:
    if table.empty:
        return None
    inits = sorted(set(table.init))
    panels = [(str(title), part) for title, part in table.groupby("panel", sort=False)]
    most_columns = max(part.column.nunique() for _, part in panels)
    left = style.name_width(inits)
    fitting = max(1, int((style.PAGE - left - _RIGHT + _GAP) / (most_columns * _CELL_WIDTH + _GAP)))
    num_columns = min(fitting, len(panels))
    # Where a single panel fits, it takes the whole width: its cells may be too narrow for numbers.
    panel_width = most_columns * _CELL_WIDTH if fitting > 1 else style.PAGE - left - _RIGHT
    has_numbers = panel_width / most_columns > _CELL_WIDTH - 0.01
    titles = [style.wrapped(title, panel_width) for title, _ in panels]
    title_height = style.LINE * max(map(style.num_lines, titles)) + 0.06
    label_height = _label_height(table.column)
    above = title_height + label_height + 0.05
    margins = style.Margins(left, _RIGHT, title_height, label_height + style.LINE + 0.72, _GAP, above)
    width = max(left + _RIGHT + num_columns * (panel_width + _GAP) - _GAP, 3.3)
    height = len(inits) * _CELL_HEIGHT
    num_rows = max(1, int((style.PAGE_HEIGHT - margins.bottom) / (height + margins.between_rows)))
    pages = []
    drawn = [(title, part) for title, (_, part) in zip(titles, panels, strict=True)]
    for portion in style.pages_of(drawn, num_columns * num_rows):
        figure, grid = style.grid_of_panels(len(portion), num_columns, width, height, margins)
        for place, (axes, (title, part)) in enumerate(zip(grid, portion, strict=True)):
            _draw(axes, part, inits, has_numbers, is_first=place % num_columns == 0)
            axes.set_title(title)
        for axes in grid[-num_columns:]:
            axes.set_xlabel(column)
        _add_scale(figure)
        pages.append(figure)
    units = {name: f"{name} [normalised]" for name in ("score", "low", "high")}
    return style.Drawing(name, pages, table.rename(columns={**units, "column": column}), _NOTE)


def _label_height(columns: pd.Series) -> float:
    """Room for the names below the cells, which are turned where they are words."""
    return style.LETTER * max(len(str(column)) for column in columns) * (0.75 if _are_words(columns) else 0) + 0.2


def _are_words(columns: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(columns)


def _draw(axes: Axes, table: pd.DataFrame, inits: Sequence[str], has_numbers: bool, is_first: bool) -> None:
    columns = sorted(set(table.column))
    scores = table.pivot_table(index="init", columns="column", values="score")
    values = scores.reindex(index=list(inits), columns=columns).to_numpy(dtype=float)
    axes.imshow(np.ma.masked_invalid(values), cmap=COLOUR_MAP, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for row, column in np.argwhere(np.isfinite(values)) if has_numbers else ():
        shade = "white" if values[row, column] < 0.55 else "black"
        axes.text(column, row, f"{values[row, column]:z.2f}", ha="center", va="center", color=shade)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    angle = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if _are_words(table.column) else {}
    axes.set_xticks(range(len(columns)), [str(column) for column in columns], **angle)
    axes.set_yticks(range(len(inits)), [style.short(name) for name in inits] if is_first else [])


def _add_scale(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    note = style.wrapped(_NOTE, width - 0.2)
    axes = figure.add_axes((0.2, (0.22 + style.LINE * style.num_lines(note)) / height, 0.6, _BAR / height))
    figure.colorbar(ScalarMappable(Normalize(0, 1), COLOUR_MAP), cax=axes, orientation="horizontal", ticks=[0, 0.5, 1])
    axes.grid(visible=False)
    figure.text(0.5, 0.04 / height, note, ha="center", va="bottom", color="#444444")
