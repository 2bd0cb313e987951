"""Initializer x activation and initializer x depth, as tables that a heat map shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from initsuite.report.across import main_comparisons, normalised_scores
from initsuite.report.comparison import Comparison
from initsuite.report.guideline import hidden_layers
from initsuite.report.recommendations import Report
from initsuite.spec import short_hash
from initsuite.stats.intervals import mean_interval

HEAT_COLUMNS = ["panel", "init", "column", "score", "low", "high", "num_contexts", "num_seeds"]
EVERYWHERE = "all workloads"
"""The panel that is the mean over the others."""


def by_activation(report: Report) -> pd.DataFrame:
    """Normalised test score of each initializer at each activation, a panel for each workload and one for all.

    Returns:
        Columns `HEAT_COLUMNS`: `column` is the activation; `score` is 0 at chance and 1 at the hard level, with the
        95 % t interval over seeds, or over contexts in the panel of all workloads.
    """
    return _heat(main_comparisons(report), "activation", lambda found: found.context.axes["activation"])


def by_depth(report: Report) -> pd.DataFrame:
    """The same at each number of hidden layers, for networks that differ in nothing else; `column` is the depth."""
    layered = [found for found in main_comparisons(report) if hidden_layers(found.context)]
    found = _heat(layered, "depth", lambda comparison: hidden_layers(comparison.context))
    per_panel = found.groupby("panel").column.nunique()
    return found[found.panel.isin(per_panel[per_panel > 1].index)].reset_index(drop=True)


def workload_key(comparison: Comparison, without: str) -> str:
    """Equal for contexts that differ in nothing but `activation` or `depth`."""
    config = {key: value for key, value in comparison.context.config.items() if key not in ("init", "network")}
    config["dataset"] = {k: v for k, v in (config.get("dataset") or {}).items() if k not in ("levels", "chance")}
    if without == "activation":
        config.pop("activation", None)
    else:
        config["model"] = {k: v for k, v in (config.get("model") or {}).items() if k != "depth"}
    return short_hash(json.loads(json.dumps([config, comparison.context.lr_rule], default=str)))


def _heat(
    comparisons: tuple[Comparison, ...] | list[Comparison], axis: str, column_of: Callable[[Comparison], Any]
) -> pd.DataFrame:
    groups: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault(workload_key(comparison, axis), []).append(comparison)
    rows = [
        row
        for title, group in zip(_panel_titles(groups, axis), groups.values(), strict=True)
        for comparison in group
        for row in _cells(comparison, title, column_of(comparison))
    ]
    table = pd.DataFrame(rows, columns=HEAT_COLUMNS)
    if axis == "activation" and table.panel.nunique() > 1:
        table = pd.concat([_over_all(table), table], ignore_index=True)
    return table


def _cells(comparison: Comparison, panel: str, column: Any) -> list[dict[str, Any]]:
    rows = []
    for standing in comparison.standings:
        scores = normalised_scores(comparison.context, standing.arm)
        found = mean_interval(scores)
        values = (panel, standing.arm.name, column, found.estimate, found.low, found.high, 1, len(scores))
        if len(scores):
            rows.append(dict(zip(HEAT_COLUMNS, values, strict=True)))
    return rows


def _over_all(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (init, column), group in table.groupby(["init", "column"], sort=False):
        found = mean_interval(group.score)
        values = (
            EVERYWHERE,
            init,
            column,
            found.estimate,
            found.low,
            found.high,
            len(group),
            int(np.sum(group.num_seeds)),
        )
        rows.append(dict(zip(HEAT_COLUMNS, values, strict=True)))
    return pd.DataFrame(rows, columns=HEAT_COLUMNS)


def _panel_titles(groups: Mapping[str, list[Comparison]], axis: str) -> list[str]:
    """Data set, model and what else tells panels apart, in words."""
    titles = []
    for group in groups.values():
        axes = group[0].context.axes
        if axis == "activation":
            titles.append(f"{axes['dataset']} / {axes['model']}")
        else:
            model = str((group[0].context.config.get("model") or {}).get("name") or axes["model"])
            titles.append(f"{axes['dataset']} / {model} / {axes['activation']}")
    return [
        title if titles.count(title) == 1 else f"{title} ({key[:6]})" for title, key in zip(titles, groups, strict=True)
    ]
