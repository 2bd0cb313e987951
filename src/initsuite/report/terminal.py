"""The report on the terminal: a table and sentences for each context, within 80 columns."""

from __future__ import annotations

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from initsuite.report.display import Row, area_heading, arms_for_people, records, score_heading, summary_line
from initsuite.report.recommendations import Report

_NOTE = "[95 %]: intervals over the scoring seeds. p-values: paired by seed, Holm."


def print_report(report: Report, console: Console) -> None:
    """Print each context with its arms, best first, then the notes."""
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
    for note in report.notes:
        console.print(Text(f"Note: {note}", style="yellow"))


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
