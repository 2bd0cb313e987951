"""Two stores side by side on the terminal, within 80 columns."""

from __future__ import annotations

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from initsuite.report.pair.display import (
    DIFFERENCE,
    RATE,
    STEPS,
    caption_of_pair,
    contexts_for_people,
    summary_of_pair,
)
from initsuite.report.pair.side_by_side import SIDES, SideBySide
from initsuite.report.text.display import Row, records

LABELS = ("A", "B")
"""Of the stores in a table: their names may be long paths."""


def print_side_by_side(pair: SideBySide, console: Console) -> None:
    """Print each shared context with the arms of both stores, then the notes."""
    for label, name in zip(LABELS, pair.names, strict=True):
        console.print(Text(f"{label}: {name}"), soft_wrap=True)
    console.print(Text(summary_of_pair(pair)))
    for row, arms in contexts_for_people(pair):
        console.print()
        console.print(Text(f"{row['context']} · {row['lr_rule']}", style="bold"))
        console.print(_arms_table(arms, row, pair.names))
        console.print(Text.assemble(("Do they agree? ", "bold"), (f"{row['agrees']}. ", "bold green"), row["in_words"]))
    console.print()
    if len(pair.contexts):
        console.print(Text(caption_of_pair(pair), style="dim"))
    for note in pair.notes:
        console.print(Text(f"Note: {note}", style="yellow"))


def _arms_table(arms: pd.DataFrame, row: Row, names: tuple[str, str]) -> Table:
    """What a store recommends is green; an arm of both stores is followed by the difference of its scores."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    measures = [column for column in arms.columns if column not in ("initializer", "store")]
    for heading, width in [("initializer", 16), ("", 3), *(_heading(column) for column in measures)]:
        table.add_column(heading, max_width=width, overflow="fold")
    labels = dict(zip(names, LABELS, strict=True)) | {DIFFERENCE: "B-A"}
    chosen = {name: row[f"{side}_recommended"] for name, side in zip(names, SIDES, strict=True)}
    before = ""
    for line in records(arms):
        init, store = line["initializer"], line["store"]
        style = "bold green" if chosen.get(store) == init else "dim" if store == DIFFERENCE else ""
        cells = ("" if init == before else init, labels[store], *(_narrow(line[name], name) for name in measures))
        table.add_row(*(Text(cell, style=style) for cell in cells))
        before = init
    return table


def _heading(column: str) -> tuple[str, int]:
    """A short heading and a width: with the names and the padding 80 in all."""
    known = {
        RATE: ("reached", 8),
        STEPS: ("median steps\n[95 %]", 13),
        "best lr": ("lr", 8),
        "verdict": ("verdict", 10),
    }
    return known.get(column, (_narrow(column), 15))


def _narrow(cell: str, column: str = "") -> str:
    """An interval and a p-value go to the line below what they belong to; that of a rate has no room."""
    if column == RATE:
        return cell.partition(" [")[0]
    return cell.replace(" [", "\n[", 1).replace(" (p ", "\n(p ", 1)
