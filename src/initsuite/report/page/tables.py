"""The tables of the page as plain data, which it sorts and filters: columns with their kind, and rows of cells.

A cell is what is shown, or a pair: the value to sort by and what is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from initsuite.report.formatting import BLANK, Cell, format_share
from initsuite.report.page.cells import short
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

Table = dict[str, Any]
"""columns: [{title, kind, filter}], rows: [row][column]; `empty`: what is shown where there are no rows."""
NEVER_SORTS_AS = 1e300
_INITS = ("recommended", "initializer", "init")
_CHOSEN_BY = ("dataset", "model", "activation", "optimizer", "learning rate", "recommended", "confidence")
_TRIALS = {
    "context": "context", "init": "initializer", "stage": "stage", "lr": "lr", "seed": "seed", "status": "status",
    "counts": "counts", "steps_to_target": "steps to target", "loss_auc": "loss area",
    "final_val_score": "final validation", "test_score": "test", "diverged_at": "diverged at step",
    "setup_s": "setup, s", "wall_s": "training, s", "trial_id": "trial",
}  # fmt: skip
"""Columns of `Views.trials` and their headings."""
_FAILURES = {
    "context": "context", "lr_rule": "learning rate", "init": "initializer", "num_seeds": "scoring seeds",
    "num_diverged": "diverged", "diverges_from_lr": "diverges from lr", "num_failed": "failed trials",
    "near_chance": "near chance at every lr tried", "last_error": "last error",
}  # fmt: skip
_INTERVALS = {"iqm": "interquartile mean [95 %]", "optimality_gap": "optimality gap [95 %]"}
_AGGREGATES = {"num_contexts": "contexts", "profile_area": "profile area, 0 to 1", "mean_rank": "mean rank"}


def recommendations(report: Report) -> Table:
    """The recommendations for people, one row per context; the answer first, where a phone shows it."""
    if report.recommendations.empty:
        return {"columns": [], "rows": [], "empty": "No stored trial counts yet."}
    table = recommendations_for_people(report.recommendations)
    columns = ["recommended", *(name for name in table.columns if name != "recommended")]
    return _of_cells(table[columns], _CHOSEN_BY)


def arms(report: Report) -> list[Table]:
    """The arms for people, one table per comparison, in the order of the report."""
    groups = by_comparison(report.arms)
    return [_of_cells(arms_for_people(groups[found.key])) for found in report.comparisons]


def trials(views: Views) -> Table:
    """Every trial of the newest protocol version, with the address of its W&B run where it is known."""
    made = _of_values(views.trials, _TRIALS, ("context", "initializer", "stage", "status", "counts"))
    for row in made["rows"]:
        if link := safe_link(views.report.links.get(row[-1])):
            row[-1] = [row[-1], row[-1], link]
    return {**made, "empty": "The store holds no trials."}


def failures(views: Views) -> Table:
    """Arms with a diverged or failed trial, or near chance."""
    made = _of_values(views.failures, _FAILURES, ("context", "initializer"))
    return {**made, "empty": "No trial diverged or failed, and every initializer trains."}


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
    return {**_of_cells(made), "empty": "Needs two initializers that were scored in the same contexts."}


def worth(views: Views) -> Table:
    """What the choice of an initializer is worth, one row per context."""
    return _of_cells(worth_for_people(views.worth), ("network", "norm", "optimizer"))


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


def _of_cells(table: pd.DataFrame, chosen_by: Sequence[str] = ()) -> Table:
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
    if isinstance(cell.value, str):
        return str(cell) if cell.value == str(cell) else [cell.value, str(cell)]
    return [NEVER_SORTS_AS if cell.value == math.inf else short(cell.value), str(cell)]


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
    return Cell(value, f"{value:g}" if float(value).is_integer() else f"{value:.2f}")
