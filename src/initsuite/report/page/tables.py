"""The tables of the page as plain data, which it sorts and filters: columns with their kind, and rows of cells.

A cell is what is shown, or a list: the value to sort by, what is shown, the detail below it, and where it leads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from initsuite.report.formatting import BLANK, Cell, format_share
from initsuite.report.page.cells import short
from initsuite.report.page.contexts import Card, name_of, short_names
from initsuite.report.text.display import (
    arms_for_people,
    interval_of,
    people_table,
    recommendations_for_people,
    records,
)
from initsuite.report.text.worth import worth_for_people
from initsuite.report.verdicts.comparison import by_comparison
from initsuite.report.verdicts.recommendations import Report
from initsuite.report.verdicts.views import Views
from initsuite.spec import CONTEXT_AXES
from initsuite.wording import format_count

Table = dict[str, Any]
"""columns: [{title, kind, filter, hidden}], rows: [row][column]; `empty`: what is shown where there are no rows;
`same`: what holds in every row, as pairs of a heading and a text."""
NEVER_SORTS_AS = 1e300
_INITS = ("recommended", "initializer", "init")
_PLACES = (*CONTEXT_AXES, "learning rate")
_CHOSEN_BY = (*_PLACES, "recommended", "confidence")
_TRIALS = {
    "context": "context", "init": "initializer", "stage": "stage", "lr": "lr", "seed": "seed", "status": "status",
    "counts": "counts", "steps_to_target": "steps to target", "loss_auc": "loss area",
    "final_val_score": "final validation", "test_score": "test", "diverged_at": "diverged at step",
    "setup_s": "setup, s", "wall_s": "training, s", "trial_id": "trial",
}  # fmt: skip
"""Columns of `Views.trials` and their headings."""
_INTERVALS = {"iqm": "interquartile mean [95 %]", "optimality_gap": "optimality gap [95 %]"}
_AGGREGATES = {"num_contexts": "contexts", "profile_area": "profile area, 0 to 1", "mean_rank": "mean rank"}


def recommendations(report: Report, found: Sequence[Card]) -> Table:
    """The recommendations for people, one row per context: what distinguishes it, then what to use there.

    The choices that make a context are filters beside the table rather than columns of it.
    """
    if report.recommendations.empty:
        return {"columns": [], "rows": [], "empty": "No stored trial counts yet."}
    table = recommendations_for_people(report.recommendations)
    for column, below in {"confidence": table.pop("reason"), "recommended": _ties(table)}.items():
        table[column] = [replace(cell, detail=str(detail)) for cell, detail in zip(table[column], below, strict=True)]
    first = [*_PLACES, "recommended", "confidence"]
    made = table_of_cells(table[[*first, *table.columns.drop(first)]], _CHOSEN_BY)
    for column in made["columns"]:
        if column["title"] in _PLACES:
            column["hidden"] = True
    context = {"title": "context", "kind": "context"}
    rows = [
        [[name, name, "", card.name], *row]
        for name, card, row in zip(short_names(found), found, made["rows"], strict=True)
    ]
    return condensed({**made, "columns": [context, *made["columns"]], "rows": rows})


def _ties(table: pd.DataFrame) -> list[str]:
    """What could not be distinguished from the recommended initializer, out of columns that are taken away."""
    tied, undecided = table.pop("tied with"), table.pop("not enough seeds to tell")
    said = {"tied with": tied, "too few seeds to tell it from": undecided}
    return [
        "; ".join(f"{words} {names[row]}" for words, names in said.items() if str(names[row])) for row in table.index
    ]


def arms(report: Report) -> list[Table]:
    """The arms for people, one table per comparison, in the order of the report."""
    groups = by_comparison(report.arms)
    return [condensed(table_of_cells(arms_for_people(groups[found.key]))) for found in report.comparisons]


def trials(views: Views) -> Table:
    """Every trial of the newest protocol version, with the address of its W&B run where it is known."""
    made = _of_values(views.trials, _TRIALS, ("context", "initializer", "stage", "status", "counts"))
    for row in made["rows"]:
        if link := safe_link(views.report.links.get(row[-1])):
            row[-1] = [row[-1], row[-1], "", link]
    return condensed({**made, "empty": "The store holds no trials."})


def failures(views: Views) -> Table:
    """Arms with a diverged scoring trial, a failed trial, or near chance, with what failed in words."""
    rows = []
    for row in records(views.failures):
        name = name_of(row["context"], row["lr_rule"])
        rows.append([[name, name, "", name], row["init"], _what_failed(row), row["last_error"]])
    columns = [
        {"title": "context", "kind": "context", "filter": True},
        {"title": "initializer", "kind": "init", "filter": True},
        {"title": "what failed", "kind": "text"},
        {"title": "last error", "kind": "text"},
    ]
    empty = "No scoring trial diverged, no trial failed, and every initializer trains."
    return condensed({"columns": columns, "rows": rows, "empty": empty})


def _what_failed(row: Mapping[str, Any]) -> str:
    diverged, failed = row["num_diverged"], row["num_failed"]
    parts = [f"{diverged} of {format_count(row['num_seeds'], 'scoring trial')} diverged"] if diverged else []
    parts += [f"{format_count(failed, 'trial')} ended with an error"] if failed else []
    parts += ["near chance at every learning rate tried"] if row["near_chance"] else []
    return "; ".join(parts)


def aggregates(views: Views) -> Table:
    """One row per initializer: the measures over all contexts, with their intervals."""
    made = people_table(
        {
            "initializer": row["init"],
            **{title: format_share(interval_of(row, name)) for name, title in _INTERVALS.items()},
            **{title: _rounded(row[name]) for name, title in _AGGREGATES.items()},
        }
        for row in records(views.aggregates)
    )
    return {**condensed(table_of_cells(made)), "empty": "Needs two initializers that were scored in the same contexts."}


def condensed(table: Table) -> Table:
    """The table without the columns that say nothing: the empty ones, and those that say the same in every row.

    What the latter say stands in `same`. Initializers and contexts stay, as does every column of a single row.
    """
    columns, rows = table["columns"], table["rows"]
    if not rows:
        return table
    kept, same = [], []
    for place, column in enumerate(columns):
        texts = {_shown(row[place]) for row in rows}
        if texts == {""}:
            continue
        if len(rows) > 1 and len(texts) == 1 and column["kind"] not in ("init", "context"):
            same.append([column["title"], *texts])
        else:
            kept.append(place)
    shown = {"columns": [columns[place] for place in kept], "rows": [[row[place] for place in kept] for row in rows]}
    return {**table, **shown, "same": same}


def _shown(cell: Any) -> str:
    if isinstance(cell, list):
        return " ".join(part for part in cell[1:3] if part)
    return "" if cell is None else str(cell)


def worth(views: Views) -> Table:
    """What the choice of an initializer is worth, one row per context."""
    return table_of_cells(worth_for_people(views.worth), ("network", "norm", "optimizer"))


def safe_link(address: object) -> str | None:
    """The address if a page may link to it, being http or https with a host; else None.

    Example:
        >>> safe_link("https://wandb.ai/a/b/runs/c"), safe_link("javascript:alert(1)")
        ('https://wandb.ai/a/b/runs/c', None)
    """
    if not isinstance(address, str):
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return address if parts.scheme in ("http", "https") and parts.netloc else None


def table_of_cells(table: pd.DataFrame, chosen_by: Sequence[str] = ()) -> Table:
    """The data of a table for people, which is made of cells."""
    columns = [_column(str(name), _kind_of(str(name), table[name]), chosen_by) for name in table.columns]
    rows = [[_embedded(cell) for cell in row] for row in table.itertuples(index=False, name=None)]
    return {"columns": columns, "rows": rows, "empty": "No rows."}


def _kind_of(name: str, cells: Iterable[Cell]) -> str:
    if name in _INITS:
        return "init"
    if name == "confidence":
        return "grade"
    return "number" if any(isinstance(cell.value, int | float) for cell in cells) else "text"


def _embedded(cell: Cell) -> Any:
    """Text that sorts as it is shown stands alone."""
    if isinstance(cell.value, str) and cell.value == cell.text and not cell.detail:
        return cell.text
    value = (
        cell.value if isinstance(cell.value, str) else NEVER_SORTS_AS if cell.value == math.inf else short(cell.value)
    )
    return [value, cell.text, cell.detail] if cell.detail else [value, cell.text]


def _column(title: str, kind: str, chosen_by: Sequence[str]) -> dict[str, Any]:
    return {"title": title, "kind": kind, **({"filter": True} if title in chosen_by else {})}


def _of_values(table: pd.DataFrame, headings: Mapping[str, str], chosen_by: Sequence[str]) -> Table:
    """The data of a table of plain numbers and texts: the columns in `headings`, under these headings."""
    kinds = dict.fromkeys(table.select_dtypes("number"), "number") | {"init": "init"}
    columns = [_column(title, kinds.get(name, "text"), chosen_by) for name, title in headings.items()]
    rows = table[list(headings)].itertuples(index=False, name=None)
    return {"columns": columns, "rows": [[_plain_cell(value) for value in row] for row in rows]}


def _plain_cell(value: Any) -> Any:
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    found = short(value)
    return found if found is None or abs(found) >= 1000 else short(found, digits=4)


def _rounded(value: float) -> Cell:
    if math.isnan(value):
        return BLANK
    return Cell(value, f"{value:zg}" if float(value).is_integer() else f"{value:z.2f}")
