"""The report on the terminal: all contexts in a table, then a table and sentences for each, then the scorecard."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
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
    recommendations_for_people,
    records,
    score_heading,
    scorecard_for_people,
    summary_line,
)
from initsuite.report.text.fitting import Columns, fitted_table, lines_of
from initsuite.report.text.worth import WORTH_TITLE, worth_lines, worth_words
from initsuite.report.verdicts.comparison import by_comparison
from initsuite.report.verdicts.rulings import Ruling
from initsuite.report.verdicts.views import Views
from initsuite.spec import CONTEXT_AXES

_RULE_COLUMNS: Columns = {
    "recommendation": ("recommendation", 25),
    "verdict": ("verdict", 13),
    "contexts": ("contexts", 13),
    ESTIMATE: ("estimate\n[95 %]", 16),
    "p": ("p", 9),
}
_STYLES = {Ruling.SUPPORTED: "green", Ruling.CONTRADICTED: "red", Ruling.DEPENDS: "yellow"}


def print_report(views: Views, console: Console) -> None:
    """Print what is recommended in each context, each with its arms, best first, the article's rules, and the notes."""
    report = views.report
    if report.comparisons:
        print_recommendations(report.recommendations, console)
    console.print(Text(summary_line(report)))
    arms = by_comparison(report.arms)
    for row in records(report.recommendations):
        table = _arms_table(arms[(row["context_id"], row["lr_rule"])], row["recommended"], console.width)
        print_context(row, table, _sentence(row), console)
    console.print()
    if report.comparisons:
        note = "[95 %]: intervals over the scoring seeds. p-values: paired by seed, Holm."
        console.print(Text(note, style="dim"))
    if words := worth_words(views):
        console.print(Text(f"\n{WORTH_TITLE}", style="bold"))
        for line in (words, *worth_lines(views)):
            console.print(Text(line))
    _print_scorecard(views.scorecard, console)
    print_notes(report.notes, console)


def print_recommendations(recommendations: pd.DataFrame, console: Console) -> None:
    """Print the recommendations table, one row a context; what all contexts share stands in its title."""
    shown, shared = recommendations_for_people(recommendations), _shared(recommendations)
    shown["context"] = pd.Series(_contexts(recommendations, shared), index=shown.index)
    is_mixed = recommendations.lr_rule.nunique() > 1
    columns: Columns = {
        "context": ("context", 19),
        **({"learning rate": ("lr rule", 8)} if is_mixed else {}),
        "recommended": ("fastest", 12),
        "most accurate": ("most accurate", 13),
        STEPS: ("median steps\n[95 %]", 12),
        score_heading(recommendations): (score_heading(recommendations, "\n"), 14),
        "confidence": ("confidence", 10),
    }
    title = ", ".join([*(str(recommendations[axis].iloc[0]) for axis in shared), *recommendations.lr_rule.unique()[:1]])
    console.print(Text(f"Recommendations{'' if is_mixed or not shared else f' ({title})'}", style="bold"))
    console.print(
        fitted_table(shown, columns, lambda _, name: "bold green" if name == "recommended" else "", console.width)
    )


def _shared(recommendations: pd.DataFrame) -> list[str]:
    """The axes in which no two contexts differ, where there are several contexts and their titles have nothing else."""
    titles = [" / ".join(str(row[axis]) for axis in CONTEXT_AXES) for row in records(recommendations)]
    if len(recommendations) < 2 or titles != list(recommendations.context):
        return []
    return [axis for axis in CONTEXT_AXES if recommendations[axis].nunique() == 1]


def _contexts(recommendations: pd.DataFrame, shared: Sequence[str]) -> list[Cell]:
    if not shared:
        return [Cell(title, title) for title in map(str, recommendations.context)]
    titles = [
        " / ".join(str(row[axis]) for axis in CONTEXT_AXES if axis not in shared) for row in records(recommendations)
    ]
    return [Cell(title, title) for title in titles]


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
        print_context(row, _arms_table(arms, row["recommended"], width), _sentence(row), console)
    return "\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines())


def print_notes(notes: Sequence[str], console: Console) -> None:
    """Print what was left out or deserves suspicion."""
    for note in notes:
        console.print(Text(f"Note: {note}", style="yellow"))


def _print_scorecard(scorecard: pd.DataFrame, console: Console) -> None:
    is_tested = scorecard.verdict != Ruling.UNTESTED
    if not is_tested.any():
        return
    console.print(Text("\nThe article's recommendations against the trials", style="bold"))
    tested = people_table(_rule(row) for row in records(scorecard_for_people(scorecard[is_tested])))
    console.print(
        fitted_table(tested, _RULE_COLUMNS, lambda row, name: _STYLES.get(row[name].value, ""), console.width)
    )
    if not is_tested.all():
        untested = map(str, scorecard_for_people(scorecard[~is_tested]).recommendation)
        console.print(Text(f"Not tested here: {'; '.join(untested)}.", style="dim"))
    console.print(Text(f"p: pooled over contexts, Holm over the rules. {ARTICLE_NOTE}", style="dim"))


def _rule(row: Row) -> Row:
    """A row of the scorecard for people with fewer columns."""
    votes = f"{row['for']} for,\n{row['against']} against,\n{row['undecided']} undecided"
    return {**row, "contexts": votes, ESTIMATE: f"{row['measure']}\n{lines_of(row[ESTIMATE])}"}


def _arms_table(arms: pd.DataFrame, recommended: str, width: int) -> Table:
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
    return fitted_table(
        arms_for_people(arms),
        columns,
        lambda row, _: "bold green" if row["initializer"].value == recommended else "",
        width,
    )


def _sentence(row: Row) -> Text:
    agrees = article_text(row)
    return Text.assemble(
        ("Recommended: ", "bold"),
        (f"{row['recommended']}. ", "bold green"),
        f"{row['in_words']} Confidence {confidence_text(row)}. ",
        f"Does the article's rule agree? {agrees[0].upper()}{agrees[1:]}.",
    )
