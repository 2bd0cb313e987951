"""The report on the terminal: a table and sentences for each context, then the scorecard, within 80 columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from initsuite.report.formatting import Cell
from initsuite.report.text.display import (
    ARTICLE_NOTE,
    ESTIMATE,
    RATE,
    STEPS,
    Row,
    area_heading,
    arms_for_people,
    article_text,
    confidence_text,
    people_table,
    records,
    score_heading,
    scorecard_for_people,
    summary_line,
)
from initsuite.report.text.worth import WORTH_TITLE, worth_words
from initsuite.report.verdicts.comparison import by_comparison
from initsuite.report.verdicts.rulings import Ruling
from initsuite.report.verdicts.views import Views

Columns = Mapping[str, tuple[str, int]]
"""By heading of a table for people, a short heading and a width; with the padding they stay below 80 in all."""
_RULE_COLUMNS: Columns = {
    "recommendation": ("recommendation", 25),
    "verdict": ("verdict", 13),
    "contexts": ("contexts", 13),
    ESTIMATE: ("estimate\n[95 %]", 16),
    "p": ("p", 9),
}
_STYLES = {Ruling.SUPPORTED: "green", Ruling.CONTRADICTED: "red", Ruling.DEPENDS: "yellow"}


def print_report(views: Views, console: Console) -> None:
    """Print each context with its arms, best first, the article's recommendations, if any was tested, and the notes."""
    report = views.report
    console.print(Text(summary_line(report)))
    arms = by_comparison(report.arms)
    for row in records(report.recommendations):
        table = _arms_table(arms[(row["context_id"], row["lr_rule"])], row["recommended"])
        print_context(row, table, _sentence(row), console)
    console.print()
    if report.comparisons:
        note = "[95 %]: intervals over the scoring seeds. p-values: paired by seed, Holm."
        console.print(Text(note, style="dim"))
    if words := worth_words(views):
        console.print(Text(f"\n{WORTH_TITLE}", style="bold"))
        console.print(Text(words))
    _print_scorecard(views.scorecard, console)
    print_notes(report.notes, console)


def print_context(row: Row, table: Table, words: Text, console: Console) -> None:
    """Print the title of a row's context, its arms, and what to take away."""
    console.print()
    console.print(Text(f"{row['context']} · {row['lr_rule']}", style="bold"))
    console.print(table)
    console.print(words)


def context_text(recommendations: pd.DataFrame, arms: pd.DataFrame, width: int = 100) -> str:
    """The same of one comparison as plain text, with the words broken into lines."""
    (row,) = records(recommendations)
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, force_jupyter=False)
    with console.capture() as captured:
        print_context(row, _arms_table(arms, row["recommended"]), _sentence(row), console)
    return "\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines())


def print_notes(notes: Sequence[str], console: Console) -> None:
    """Print what was left out or deserves suspicion."""
    for note in notes:
        console.print(Text(f"Note: {note}", style="yellow"))


def narrow_table(table: pd.DataFrame, columns: Columns, style: Callable[[Row, str], str]) -> Table:
    """A table for people with the details of its cells on lines of their own.

    Args:
        table: a table of cells.
        columns: the columns to show. Text that is longer than its column is wide is folded.
        style: gives the style of an entry, from its row and the heading of its column.
    """
    made = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading, width in columns.values():
        made.add_column(heading, max_width=width, overflow="fold")
    for row in records(table):
        made.add_row(*(Text(_lines(row[name]), style=style(row, name)) for name in columns))
    return made


def _lines(cell: Cell) -> str:
    return f"{cell.text}\n{cell.detail}" if cell.detail else cell.text


def _print_scorecard(scorecard: pd.DataFrame, console: Console) -> None:
    is_tested = scorecard.verdict != Ruling.UNTESTED
    if not is_tested.any():
        return
    console.print(Text("\nThe article's recommendations against the trials", style="bold"))
    tested = people_table(_rule(row) for row in records(scorecard_for_people(scorecard[is_tested])))
    console.print(narrow_table(tested, _RULE_COLUMNS, lambda row, name: _STYLES.get(row[name].value, "")))
    if not is_tested.all():
        untested = map(str, scorecard_for_people(scorecard[~is_tested]).recommendation)
        console.print(Text(f"Not tested here: {'; '.join(untested)}.", style="dim"))
    console.print(Text(f"p: pooled over contexts, Holm over the rules. {ARTICLE_NOTE}", style="dim"))


def _rule(row: Row) -> Row:
    """A row of the scorecard for people with fewer columns."""
    votes = f"{row['for']} for\n{row['against']} against\n{row['undecided']} undecided"
    return {**row, "contexts": votes, ESTIMATE: f"{row['measure']}\n{_lines(row[ESTIMATE])}"}


def _arms_table(arms: pd.DataFrame, recommended: str) -> Table:
    """Steps are shown where a level ranks the arms, the loss area where that does."""
    if arms.success_rate.notna().any():
        ranking = {RATE: ("reached\n[95 %]", 12), STEPS: ("median steps\n[95 %]", 15)}
    else:
        ranking = {area_heading(arms): (area_heading(arms, "\n"), 15)}
    columns: Columns = {
        "initializer": ("initializer", 22),
        **ranking,
        score_heading(arms): (score_heading(arms, "\n"), 15),
        "best lr": ("lr", 8),
        "verdict": ("verdict", 13),
    }
    return narrow_table(
        arms_for_people(arms),
        columns,
        lambda row, _: "bold green" if row["initializer"].value == recommended else "",
    )


def _sentence(row: Row) -> Text:
    return Text.assemble(
        ("Recommended: ", "bold"),
        (f"{row['recommended']}. ", "bold green"),
        f"{row['in_words']} Confidence {confidence_text(row)}. The article's rule agrees: {article_text(row)}.",
    )
