"""The tables of the page as plain data, which it sorts and filters: columns with their kind, and rows of cells.

A cell is what is shown, or a pair of what it sorts by and what is shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from initsuite.report.formatting import NEVER
from initsuite.report.page.cells import short
from initsuite.report.text.display import arms_for_people, recommendations_for_people, records
from initsuite.report.verdicts.comparison import by_comparison
from initsuite.report.verdicts.recommendations import Report
from initsuite.report.verdicts.views import Views

Table = dict[str, Any]
"""columns: [{title, kind, filter}], rows: [row][column]; `empty`: what to say without rows."""
NEVER_SORTS_AS = 1e300
_INITS = ("recommended", "initializer", "init")
_CHOSEN_BY = ("dataset", "model", "activation", "optimizer", "learning rate", "recommended")
_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
_TRIALS = {
    **{"context": "context", "init": "initializer", "stage": "stage", "lr": "lr", "seed": "seed", "status": "status"},
    **{"counts": "counts", "steps_to_target": "steps to target", "loss_auc": "loss area"},
    **{"final_val_score": "final validation", "test_score": "test", "diverged_at": "diverged at step"},
    **{"setup_s": "setup, s", "wall_s": "training, s", "trial_id": "trial"},
}
"""Columns of `Views.trials` and their headings."""
_FAILURES = {
    **{"context": "context", "lr_rule": "learning rate", "init": "initializer", "num_seeds": "scoring seeds"},
    **{"num_diverged": "diverged", "diverges_from_lr": "diverges from lr", "num_failed": "failed trials"},
    **{"near_chance": "near chance at every lr tried", "last_error": "last error"},
}
_AGGREGATES = {"num_contexts": "contexts", "profile_area": "profile area, 0 to 1", "mean_rank": "mean rank"}


def recommendations(report: Report) -> Table:
    """The recommendations for people, one row a context; the answer first, where a phone shows it."""
    if report.recommendations.empty:
        return {"columns": [], "rows": [], "empty": "No stored trial counts yet."}
    table = recommendations_for_people(report.recommendations)
    columns = ["recommended", *(name for name in table.columns if name != "recommended")]
    return _of_texts(table[columns], _CHOSEN_BY)


def arms(report: Report) -> list[Table]:
    """The arms for people, a table for each comparison, in the order of the report."""
    groups = by_comparison(report.arms)
    return [_of_texts(arms_for_people(groups[found.key])) for found in report.comparisons]


def trials(views: Views) -> Table:
    """Every trial of the newest protocol version, with the address of its W&B run where it is known."""
    links = views.report.links
    chosen = ("context", "init", "stage", "status", "counts")
    columns = [_column(title, _kind(title), name in chosen) for name, title in _TRIALS.items()]
    rows = [
        [_trial_cell(name, value, links) for name, value in zip(_TRIALS, row, strict=True)]
        for row in views.trials[list(_TRIALS)].itertuples(index=False, name=None)
    ]
    return {"columns": columns, "rows": rows, "empty": "The store holds no trials."}


def failures(views: Views) -> Table:
    """Arms with a diverged or failed trial, or near chance."""
    columns = [_column(title, _kind(title), name in ("context", "init")) for name, title in _FAILURES.items()]
    rows = [
        [_plain_cell(value) for value in row]
        for row in views.failures[list(_FAILURES)].itertuples(index=False, name=None)
    ]
    return {"columns": columns, "rows": rows, "empty": "No trial diverged or failed, and every initializer trains."}


def aggregates(views: Views) -> Table:
    """One row an initializer: the measures over all contexts, with their intervals."""
    measures = {"iqm": "interquartile mean [95 %]", "optimality_gap": "optimality gap [95 %]"}
    columns = [_column("initializer", "init"), *(_column(title, "number") for title in measures.values())]
    columns += [_column(title, "number") for title in _AGGREGATES.values()]
    rows = []
    for row in records(views.aggregates):
        cells: list[Any] = [row["init"]]
        cells += [[short(row[name]), _with_bounds(row, name)] for name in measures]
        rows.append([*cells, *([short(row[name]), _number(row[name])] for name in _AGGREGATES)])
    return {"columns": columns, "rows": rows, "empty": "Needs two initializers that were scored in the same contexts."}


def safe_link(address: object) -> str | None:
    """An address that a page may link to: http or https with a host, else None.

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


def _of_texts(table: pd.DataFrame, chosen_by: Sequence[str] = ()) -> Table:
    """A table for people: a text that begins with a number sorts by it."""
    texts = {str(name): [str(value) for value in table[name]] for name in table.columns}
    kinds = {name: _kind_of(name, values) for name, values in texts.items()}
    columns = [_column(name, kind, name in chosen_by) for name, kind in kinds.items()]
    cells = [list(_text_cells(values, kinds[name])) for name, values in texts.items()]
    return {"columns": columns, "rows": [list(row) for row in zip(*cells, strict=True)], "empty": "No rows."}


def _kind_of(name: str, values: Sequence[str]) -> str:
    if name in _INITS:
        return "init"
    if name == "confidence":
        return "grade"
    told = [value for value in values if value]
    return "number" if told and all(_NUMBER.match(value) or value == NEVER for value in told) else "text"


def _text_cells(values: Sequence[str], kind: str) -> Iterator[Any]:
    for value in values:
        if kind != "number":
            yield value
        elif value == NEVER:
            yield [NEVER_SORTS_AS, value]
        else:
            found = _NUMBER.match(value)
            yield [float(found.group().replace(",", "")) if found else None, value]


def _column(title: str, kind: str, is_filter: bool = False) -> dict[str, Any]:
    return {"title": title, "kind": kind, **({"filter": True} if is_filter else {})}


def _kind(title: str) -> str:
    if title == "initializer":
        return "init"
    texts = ("context", "stage", "status", "counts", "learning rate", "near chance at every lr tried", "last error")
    return "link" if title == "trial" else "text" if title in texts else "number"


def _trial_cell(name: str, value: Any, links: Mapping[str, str]) -> Any:
    if name == "trial_id":
        link = safe_link(links.get(value))
        return [value, value, link] if link else value
    if name == "counts":
        return "yes" if value else "no"
    return _plain_cell(value)


def _plain_cell(value: Any) -> Any:
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    found = short(value)
    return found if found is None or abs(found) >= 1000 else short(float(f"{found:.4g}"))


def _with_bounds(row: Mapping[str, Any], name: str) -> str:
    if math.isnan(row[name]):
        return ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    bounds = "too few seeds" if math.isnan(low) else f"{low:.3f}, {high:.3f}"
    return f"{row[name]:.3f} [{bounds}]"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:g}" if float(value).is_integer() else f"{value:.2f}"
