"""Initializer x activation and initializer x depth, as tables that a heat map shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from initsuite.report.evidence.labels import distinct_labels
from initsuite.report.verdicts.across import Block, main_comparisons, normalised_scores
from initsuite.report.verdicts.comparison import Comparison
from initsuite.report.verdicts.recommendations import Report
from initsuite.spec import short_hash
from initsuite.stats.intervals import mean_interval

HEAT_COLUMNS = ["panel", "init", "column", "score", "low", "high", "num_contexts", "num_seeds"]
EVERYWHERE = "all workloads"
"""The panel that is the mean over the others."""
_IN_NO_ID = {"dataset": ("levels", "chance", "data_dir", "download"), "optimizer": ("lr", "lr_grid")}
"""Options in which contexts may differ and still be the same workload."""


def by_activation(report: Report, block: Block) -> pd.DataFrame:
    """Normalised test score of each initializer at each activation, a panel for each workload and one for all.

    Args:
        report: the contexts.
        block: the initializers and contexts behind the panel of all workloads, which compares like with like.

    Returns:
        Columns `HEAT_COLUMNS`: `column` is the activation; `score` is 0 at chance and 1 at the hard level (the best
        score there is where no level is frozen), with the 95 % t interval over seeds, or over contexts in the panel of
        all workloads.
    """
    table, shared = (_heat(found, "activation") for found in (main_comparisons(report), block.comparisons))
    if shared.panel.nunique() > 1:
        table = pd.concat([_over_all(shared[shared.init.isin(block.names)]), table], ignore_index=True)
    return table


def by_depth(report: Report) -> pd.DataFrame:
    """The same at each number of hidden layers, for networks that differ in nothing else; `column` is the depth."""
    layered = [found for found in main_comparisons(report) if found.context.network.hidden_layers]
    found = _heat(layered, "depth")
    per_panel = found.groupby("panel").column.nunique()
    return found[found.panel.isin(per_panel[per_panel > 1].index)].reset_index(drop=True)


def workload_key(comparison: Comparison, without: str) -> str:
    """Equal for contexts that differ in nothing but `activation` or `depth`."""
    return short_hash([_workload(comparison, without), comparison.context.lr_rule])


def _workload(comparison: Comparison, without: str) -> dict[str, Any]:
    config = {key: value for key, value in comparison.context.config.items() if key not in ("init", "network")}
    if without == "activation":
        config.pop("activation", None)
    for group, options in (_IN_NO_ID | ({"model": ("depth",)} if without == "depth" else {})).items():
        config[group] = {key: value for key, value in (config.get(group) or {}).items() if key not in options}
    return config


def _heat(comparisons: Iterable[Comparison], axis: str) -> pd.DataFrame:
    """One row per workload, initializer and value of the axis, `activation` or `depth`."""
    groups: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault(workload_key(comparison, axis), []).append(comparison)
    firsts = [group[0] for group in groups.values()]
    titles = distinct_labels(
        [_title(found, axis) for found in firsts], [_workload(found, axis) for found in firsts], list(groups)
    )
    # Two contexts may share a cell: a user's own data set whose source has changed.
    cells: dict[tuple[str, str, Any], list[np.ndarray]] = {}
    for title, group in zip(titles, groups.values(), strict=True):
        for context, standing in ((one.context, standing) for one in group for standing in one.standings):
            scores = normalised_scores(context, standing.arm)
            if len(scores):
                column = context.axes["activation"] if axis == "activation" else context.network.hidden_layers
                cells.setdefault((title, standing.arm.name, column), []).append(scores)
    rows = [_cell(*place, np.concatenate(found), len(found)) for place, found in cells.items()]
    return pd.DataFrame(rows, columns=HEAT_COLUMNS)


def _cell(panel: str, init: str, column: Any, scores: np.ndarray, num_contexts: int) -> dict[str, Any]:
    found = mean_interval(scores)
    values = (panel, init, column, found.estimate, found.low, found.high, num_contexts, len(scores))
    return dict(zip(HEAT_COLUMNS, values, strict=True))


def _over_all(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (init, column), group in table.groupby(["init", "column"], sort=False):
        row = _cell(EVERYWHERE, str(init), column, group.score.to_numpy(), len(group))
        rows.append({**row, "num_seeds": int(group.num_seeds.sum())})
    return pd.DataFrame(rows, columns=HEAT_COLUMNS)


def _title(comparison: Comparison, axis: str) -> str:
    axes = comparison.context.axes
    if axis == "activation":
        return f"{axes['dataset']} / {axes['model']}"
    model = str((comparison.context.config.get("model") or {}).get("name") or axes["model"])
    return f"{axes['dataset']} / {model} / {axes['activation']}"
