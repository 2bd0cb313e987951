"""Tables as wide as the terminal lets them be."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from initsuite.report.formatting import Cell
from initsuite.report.text.display import Row, records

Columns = Mapping[str, tuple[str, int]]
"""By heading of a table for people, a short heading, and a width for a terminal of 80 columns."""


class PipedConsole(Console):
    """A console that leaves it to the door what happens when nobody reads on."""

    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError that rich is handling


def fitted_table(table: pd.DataFrame, columns: Columns, style: Callable[[Row, str], str], width: int) -> Table:
    """A table for people, with the details of its cells beside them or, where that is too wide, below.

    Args:
        table: a table of cells.
        columns: the columns to show.
        style: gives the style of an entry, from its row and the heading of its column.
        width: that of the terminal, in characters. What fits neither way has columns of the widths in `columns`, and
            text that is longer is folded.
    """
    measuring = Console(width=10 * width, force_jupyter=False)
    for is_beside in (True, False):
        made = _table(table, columns, style, is_beside=is_beside)
        if Measurement.get(measuring, measuring.options, made).maximum <= width:
            return made
    return _table(table, columns, style, is_beside=False, is_folded=True)


def _table(
    table: pd.DataFrame, columns: Columns, style: Callable[[Row, str], str], *, is_beside: bool, is_folded: bool = False
) -> Table:
    gap = " " if is_beside else "\n"
    made = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading, width in columns.values():
        made.add_column(heading.replace("\n", gap), max_width=width if is_folded else None, overflow="fold")
    for row in records(table):
        made.add_row(*(Text(lines_of(row[name], gap), style=style(row, name)) for name in columns))
    return made


def lines_of(cell: Cell, gap: str = "\n") -> str:
    """A cell with its detail, and `gap` in place of each new line."""
    return (f"{cell.text}\n{cell.detail}" if cell.detail else cell.text).replace("\n", gap)
