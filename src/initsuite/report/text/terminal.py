"""The report on the terminal: a table and sentences for each context, then the scorecard, within 80 columns."""

from __future__ import annotations

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from initsuite.report.text.display import (
    Row,
    area_heading,
    arms_for_people,
    records,
    score_heading,
    scorecard_for_people,
    summary_line,
)
from initsuite.report.verdicts.scorecard import Ruling
from initsuite.report.verdicts.views import Views

_NOTE = "[95 %]: intervals over the scoring seeds. p-values: paired by seed, Holm."
_RULE_COLUMNS = {"recommendation": 25, "verdict": 13, "contexts": 13, "estimate": 16, "p": 9}
"""Of the scorecard with their widths: with the padding less than 80 in all."""
_STYLES = {Ruling.SUPPORTED: "green", Ruling.CONTRADICTED: "red"}


def print_report(views: Views, console: Console) -> None:
    """Print each context with its arms, best first, the article's recommendations, if any was tested, and the notes."""
    report = views.report
    console.print(Text(summary_line(report)))
    keys = ["context", "lr_rule"]
    arms = dict(tuple(report.arms.groupby(keys, sort=False)))
    for row in records(report.recommendations):
        console.print()
        console.print(Text(f"{row['context']} · {row['lr_rule']}", style="bold"))
        console.print(_arms_table(arms[(row["context"], row["lr_rule"])], row["recommended"]))
        console.print(_sentence(row))
    console.print()
    if report.comparisons:
        console.print(Text(_NOTE, style="dim"))
    _print_scorecard(views.scorecard, console)
    for note in report.notes:
        console.print(Text(f"Note: {note}", style="yellow"))


def _print_scorecard(scorecard: pd.DataFrame, console: Console) -> None:
    is_tested = scorecard.verdict != Ruling.UNTESTED
    if not is_tested.any():
        return
    console.print(Text("\nThe article's recommendations against the trials", style="bold"))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name, width in _RULE_COLUMNS.items():
        table.add_column("estimate\n[95 %]" if name == "estimate" else name, max_width=width, overflow="fold")
    for row in records(scorecard_for_people(scorecard[is_tested])):
        votes = f"{row['for']} for\n{row['against']} against\n{row['undecided']} undecided"
        estimate = f"{row['measure']}\n{_narrow(row['estimate [95 %]'])}"
        cells = (row["recommendation"], Text(row["verdict"], style=_STYLES.get(row["verdict"], "")), votes)
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in (*cells, estimate, row["p"])))
    console.print(table)
    untested = records(scorecard_for_people(scorecard[~is_tested]))
    if untested:
        names = "; ".join(row["recommendation"] for row in untested)
        console.print(Text(f"Not tested here: {names}.", style="dim"))
    console.print(Text("p: pooled over contexts, Holm over the rules.", style="dim"))


def _arms_table(arms: pd.DataFrame, recommended: str) -> Table:
    columns = _columns(arms)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading, width in columns.values():
        table.add_column(heading, max_width=width, overflow="fold")
    for row in records(arms_for_people(arms)):
        style = "bold green" if row["initializer"] == recommended else ""
        table.add_row(*(Text(_narrow(row[name]), style=style) for name in columns))
    return table


def _columns(arms: pd.DataFrame) -> dict[str, tuple[str, int]]:
    """By column of the table for people, a short heading and a width: with the padding less than 80 in all.

    Steps are shown where a level ranks the arms, the loss area where that does. A longer name of an initializer is
    folded.
    """
    if arms.success_rate.notna().any():
        ranking = {
            "success rate (seeds)": ("reached\n[95 %]", 12),
            "median steps to target [95 %]": ("median steps\n[95 %]", 15),
        }
    else:
        ranking = {area_heading(arms): (_narrow(area_heading(arms)), 15)}
    return {
        "initializer": ("initializer", 22),
        **ranking,
        score_heading(arms): (_narrow(score_heading(arms)), 15),
        "best lr": ("lr", 8),
        "verdict": ("verdict", 13),
    }


def _narrow(cell: str) -> str:
    """An interval and a p-value go to the line below what they belong to."""
    return cell.replace(" [", "\n[", 1).replace(" (p ", "\n(p ", 1)


def _sentence(row: Row) -> Text:
    return Text.assemble(
        ("Recommended: ", "bold"),
        (f"{row['recommended']}. ", "bold green"),
        f"{row['in_words']} Confidence {row['confidence']}. The article's rule agrees: {row['article_agrees']}.",
    )
