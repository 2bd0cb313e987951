"""Two stores side by side as people read them: the tables, on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from initsuite.report.formatting import BLANK, format_score
from initsuite.report.pair.side_by_side import SIDES, SideBySide
from initsuite.report.text.display import (
    RATE,
    STEPS,
    Row,
    area_heading,
    arms_for_people,
    interval_of,
    people_table,
    records,
    score_heading,
)
from initsuite.report.text.documents import markdown, markdown_table, notes_parts, plain
from initsuite.report.text.fitting import Columns, fitted_table
from initsuite.report.text.terminal import print_context, print_notes
from initsuite.report.verdicts.comparison import rows_of
from initsuite.wording import format_count

DIFFERENCE = "difference"
NOT_THERE = "not in this store"
LABELS = ("A", "B")
"""The stores on the terminal, as their names may be long paths."""


def print_side_by_side(pair: SideBySide, console: Console) -> None:
    """Print each shared context with the arms of both stores, then the notes."""
    for label, name in zip(LABELS, pair.names, strict=True):
        console.print(Text(f"{label}: {name}"), soft_wrap=True)
    console.print(Text(summary_of_pair(pair)))
    for row, arms in contexts_for_people(pair):
        words = Text.assemble(("Do they agree? ", "bold"), (f"{row['agrees']}. ", "bold green"), row["in_words"])
        print_context(row, _narrow(arms, row, pair, console.width), words, console)
    console.print()
    if len(pair.contexts):
        console.print(Text(caption_of_pair(pair), style="dim"))
    print_notes(pair.notes, console)


def markdown_of_pair(pair: SideBySide) -> str:
    """Sentences, the arms of each shared context, and the notes."""
    names = " and ".join(plain(name) for name in pair.names)
    parts = [f"# {names} side by side", plain(summary_of_pair(pair))]
    for row, arms in contexts_for_people(pair):
        parts.append(f"## {plain(row['context'])} · {row['lr_rule']}")
        parts += [f"Do they agree? **{row['agrees']}**. {plain(row['in_words'])}", markdown_table(arms)]
    if len(pair.contexts):
        parts.append(plain(caption_of_pair(pair)))
    return markdown([*parts, *notes_parts(pair.notes)])


def contexts_for_people(pair: SideBySide) -> Iterator[tuple[Row, pd.DataFrame]]:
    """Rows of `SideBySide.contexts`, each with its arms in cells: one line per store, and one for the difference."""
    for row in records(pair.contexts):
        yield row, people_table(_lines(pair, row))


def summary_of_pair(pair: SideBySide) -> str:
    """How many contexts are shared, and in how many the stores recommend the same."""
    if pair.contexts.empty:
        return "Nothing can be compared: the stores share no context under one learning rate rule. The notes say why."
    counts = pair.contexts.agrees.value_counts()
    answers = ", ".join(f"{answer} {count}" for answer, count in counts.items())
    return f"Shared contexts: {len(pair.contexts)}. Do the recommendations agree? {answers[0].upper()}{answers[1:]}."


def caption_of_pair(pair: SideBySide) -> str:
    return (
        f"[95 %]: intervals over the scoring seeds. {DIFFERENCE}: score in {pair.names[1]} less that in "
        f"{pair.names[0]}, paired by seed, Student's t."
    )


def _lines(pair: SideBySide, row: Row) -> Iterator[Row]:
    of_context = {(row["context_id"], row["lr_rule"])}
    sides = [rows_of(side, of_context) for side in pair.sides]
    texts = [dict(zip(side.cell_id, records(arms_for_people(side)), strict=True)) for side in sides]
    score = score_heading(sides[0])
    is_by_level = any(side.success_rate.notna().any() for side in sides)
    shown = [*((RATE, STEPS) if is_by_level else (area_heading(sides[0]),)), score, "best lr", "verdict"]
    for arm in records(rows_of(pair.arms, of_context)):
        for name, found in zip(pair.names, texts, strict=True):
            text = found.get(arm["cell_id"], {"verdict": NOT_THERE})
            yield {"initializer": arm["init"], "store": name, **{column: text.get(column, BLANK) for column in shown}}
        if arm["num_shared_seeds"] > 0:  # NaN where one store lacks the arm
            difference = format_score(interval_of(arm, "test_score_difference"), arm["metric"])
            cells = {score: difference, "verdict": format_count(int(arm["num_shared_seeds"]), "shared seed")}
            yield {"initializer": arm["init"], "store": DIFFERENCE, **dict.fromkeys(shown, BLANK), **cells}


def _narrow(arms: pd.DataFrame, row: Row, pair: SideBySide, width: int) -> Table:
    """What a store recommends is green; an arm of both stores is followed by the difference of its scores."""
    labels = dict(zip(pair.names, LABELS, strict=True)) | {DIFFERENCE: "B-A"}
    chosen = {(name, row[f"{side}_recommended"]) for name, side in zip(pair.names, SIDES, strict=True)}

    def style(line: Row, _: str) -> str:
        init, store = line["initializer"].value, line["store"].value
        return "bold green" if (store, init) in chosen else "dim" if store == DIFFERENCE else ""

    lines = records(arms)
    is_repeated = [False, *(line["initializer"] == above["initializer"] for above, line in pairwise(lines))]
    shown = people_table(
        {
            **line,
            "initializer": replace(line["initializer"], text="") if known else line["initializer"],
            "store": replace(line["store"], text=labels[line["store"].text]),
            **({RATE: replace(line[RATE], detail="")} if RATE in line else {}),  # it has no room
        }
        for line, known in zip(lines, is_repeated, strict=True)
    )
    side = rows_of(pair.sides[0], {(row["context_id"], row["lr_rule"])})
    columns: Columns = {
        "initializer": ("initializer", 16),
        "store": ("", 3),
        RATE: ("reached", 8),
        STEPS: ("median steps\n[95 %]", 13),
        area_heading(side): (area_heading(side, "\n"), 15),
        score_heading(side): (score_heading(side, "\n"), 15),
        "best lr": ("lr", 8),
        "verdict": ("verdict", 10),
    }
    return fitted_table(shown, {str(name): columns[str(name)] for name in shown}, style, width)
