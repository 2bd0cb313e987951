"""What the choice of an initializer is worth over all networks: with and without a norm, under each optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pandas as pd

from initsuite.report.verdicts.recommendations import OF_INTERVAL, interval_columns
from initsuite.report.verdicts.worth import Worth
from initsuite.stats.intervals import Interval
from initsuite.stats.pooled import dependent_mean

SUMMARY_COLUMNS = [
    "has_norm", "optimizer", "num_networks", "num_contexts", "unit",
    *[f"{name}{end}" for name in ("worth", "worth_over_default") for end in OF_INTERVAL],
]  # fmt: skip
POINTS, SHARE = "points", "% of the way from chance to the hard level"


def in_hundredths(found: Sequence[Worth]) -> tuple[str, str]:
    """The column of the score whose hundredths these contexts share, and their unit."""
    is_points = all(worth.comparison.context.yardstick.metric == "accuracy" for worth in found)
    return ("score", POINTS) if is_points else ("share", SHARE)


def worth_summary(found: Sequence[Worth]) -> pd.DataFrame:
    """One row for networks without and with a norm under each optimizer, columns `SUMMARY_COLUMNS`.

    The mean over networks, each with the mean over its norms; the bounds are the means of theirs, so that networks that
    share seeds count as one. In points, hundredths of an accuracy, where all metrics are accuracies; else in hundredths
    of the way from chance to the hard level.
    """
    column, unit = in_hundredths(found)
    rows = []
    for has_norm in (False, True):
        for optimizer in dict.fromkeys(worth.optimizer for worth in found):
            chosen = [one for one in found if (one.has_norm, one.optimizer) == (has_norm, optimizer)]
            if not chosen:  # still in training
                continue
            networks = {worth.network for worth in chosen}
            counts = (has_norm, optimizer, len(networks), len(chosen), unit)
            row = dict(zip(SUMMARY_COLUMNS, counts, strict=False))
            for name, of in (("worth", column), ("worth_over_default", f"{column}_over_default")):
                row |= interval_columns(name, _mean_over_networks(chosen, of))
            rows.append(row)
    return pd.DataFrame(rows if found else [], columns=SUMMARY_COLUMNS)


def _mean_over_networks(found: Sequence[Worth], column: str) -> Interval:
    """In hundredths."""
    by_network: dict[str, list[Interval]] = {}
    for worth in found:
        one = worth.interval(column)
        in_hundredths = replace(one, estimate=100 * one.estimate, low=100 * one.low, high=100 * one.high)
        by_network.setdefault(worth.network, []).append(in_hundredths)
    return dependent_mean([dependent_mean(intervals) for intervals in by_network.values()])


def worth_in_words(summary: pd.DataFrame) -> str:
    """The answer in a few sentences: "" where nothing was crossed."""
    if summary.empty:
        return ""
    rows = cast("list[dict[str, Any]]", summary.to_dict("records"))
    where = [f"{'with' if row['has_norm'] else 'without'} a norm under {row['optimizer']}" for row in rows]
    unit, networks = rows[0]["unit"], max(row["num_networks"] for row in rows)
    unit = "points of final score" if unit == POINTS else unit
    over = f", the mean over {networks} networks" if networks > 1 else ""
    parts = [f"Best against worst initializer: {_listed(rows, where, 'worth', unit)}{over}."]
    if not any(math.isnan(row["worth_over_default"]) for row in rows):
        parts.append(f"Best other one against torch_default: {_listed(rows, where, 'worth_over_default')}.")
    shown = [place for place, row in zip(where, rows, strict=True) if row["worth_low"] > 0]
    open_ = [place for place, row in zip(where, rows, strict=True) if not row["worth_low"] > 0]
    if shown:
        on_average = "on average " if networks > 1 else ""
        parts.append(f"The choice makes a difference {on_average}{_all_or(shown, rows)}.")
    if open_:
        parts.append(f"No difference is shown {_all_or(open_, rows)}.")
    return " ".join(parts)


def _all_or(places: Sequence[str], rows: Sequence[Any]) -> str:
    return "in every case" if len(places) == len(rows) else "; ".join(places)


def _listed(rows: Sequence[Any], where: Sequence[str], name: str, unit: str = "") -> str:
    written = []
    for row, place in zip(rows, where, strict=True):
        estimate, low, high = (row[f"{name}{end}"] for end in OF_INTERVAL[:3])
        bounds = "too few seeds" if math.isnan(low) else f"{low:z.1f}, {high:z.1f}"
        written.append(f"{estimate:z.1f} {f'{unit} ' if unit and not written else ''}[{bounds}] {place}")
    return ", ".join(written)
