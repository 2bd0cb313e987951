"""The charts over several contexts as Plotly figures in plain data: profiles, aggregates, ranks, heat maps, tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from initsuite.report.formatting import format_p
from initsuite.report.page.cells import plot_text, short, shorts
from initsuite.report.page.charts import Figure, axes, rows_axis, trace
from initsuite.report.text.display import records
from initsuite.report.verdicts.across import Ranks
from initsuite.report.verdicts.heat import EVERYWHERE
from initsuite.report.verdicts.rules import RELU_LIKE, SATURATING
from initsuite.report.verdicts.views import Views
from initsuite.wording import format_count, format_names

CIVIDIS = [[0.0, "#00204d"], [0.25, "#414d6b"], [0.5, "#7c7b78"], [0.75, "#bbaf71"], [1.0, "#ffea46"]]
"""Nunez, Anderton and Renslow 2018: read the same with every common colour blindness."""
FEW = "This chart needs at least two initializers that were all scored in the same contexts."


def charts_across(views: Views) -> dict[str, Figure]:
    """The figures of the whole report, by name."""
    return {
        "profiles": profiles_chart(views),
        "aggregates": aggregates_chart(views),
        "ranks": ranks_chart(views.ranks, left_out(views)),
        "budget": budget_chart(views),
    }


def heat_charts(table: pd.DataFrame, column: str, why_empty: str) -> list[tuple[str, Figure]]:
    """A heat map for each panel, with its title.

    Args:
        table: of `heat`.
        column: heading of what its columns are.
        why_empty: a sentence for a table without rows.
    """
    if table.empty:
        return [("", {"empty": why_empty})]
    return [(str(panel), _heat(rows, column, str(panel))) for panel, rows in table.groupby("panel", sort=False)]


def profiles_chart(views: Views) -> Figure:
    """Share of contexts over the factor of the fastest one's steps."""
    table = views.profiles
    num_contexts = 0 if table.empty else int(table.num_contexts.iloc[0])
    if num_contexts < 2:
        return {"empty": "Time-to-target profiles need at least two contexts with a frozen target."}
    areas = dict(zip(views.aggregates.init.astype(str), views.aggregates.profile_area, strict=True))
    traces = []
    for name in sorted(areas, key=lambda init: -areas[init]):
        rows = table[table.init == name]
        drawn = {"x": shorts(rows.tau), "y": shorts(rows.share), "mode": "lines"}
        text = f"{plot_text(name)} · area {areas[name]:.2f}"
        shown = "within %{x:.2f} times the fastest: %{y:.0%}<extra>%{fullData.name}</extra>"
        made = {**trace(name, "line"), **drawn, "name": text, "hovertemplate": shown}
        made["line"] = {**made["line"], "shape": "hv"}
        traces.append(made)
    layout = axes("steps, as a multiple of the fastest", "share of contexts")
    layout["yaxis"] |= {"range": [-0.03, 1.03], "tickformat": ".0%"}
    caption = (
        f"Share of {num_contexts} contexts in which the median seed reaches the ranking level within so many times "
        "the steps of the fastest initializer there; higher and further left is better. Area: mean over contexts of "
        f"the share between 1 and 4 times, 0 to 1. No interval is drawn.{left_out(views)}"
    )
    return {"data": traces, "layout": layout, "caption": caption}


def aggregates_chart(views: Views) -> Figure:
    """Interquartile mean of the normalised test score with its interval, a row for each initializer."""
    table = views.aggregates
    if table.empty:
        return {"empty": FEW}
    traces = []
    for row, found in enumerate(records(table)):
        error = {
            "type": "data",
            "symmetric": False,
            "array": [short(found["iqm_high"] - found["iqm"])],
            "arrayminus": [short(found["iqm"] - found["iqm_low"])],
        }
        drawn = {"x": [short(found["iqm"])], "y": [row], "mode": "markers", "showlegend": False, "error_x": error}
        drawn["hovertemplate"] = "%{x:.3f}<extra>%{fullData.name}</extra>"
        traces.append({**trace(str(found["init"]), "median"), **drawn})
    layout = axes("normalised test score (IQM)", "")
    layout["yaxis"] |= rows_axis([str(name) for name in table.init])
    caption = (
        "Interquartile mean: the mean of the middle half of the test scores of all seeds and contexts, 0 at chance and "
        "1 at the hard level (the best score there is where none is frozen). Bar: 95 % interval of a bootstrap that "
        "draws the seeds of each context anew. "
        f"{views.block.size}; rows by mean rank, best first.{left_out(views)}"
    )
    return {"data": traces, "layout": layout, "caption": caption, "rows": len(table)}


def ranks_chart(found: Ranks | None, left_out: str) -> Figure:
    """The critical-difference diagram: mean ranks as dots, and bars over groups that are not told apart."""
    if found is None:
        return {"empty": "The critical-difference diagram needs at least two initializers scored in two contexts."}
    names, best = list(found.mean_ranks), min(found.mean_ranks.values())
    groups = found.cliques
    lanes = len(groups) + 1
    traces: list[Figure] = [
        _bar(best, best + found.critical_difference, -lanes, "critical difference"),
        *(
            _bar(found.mean_ranks[group[0]], found.mean_ranks[group[-1]], lane - len(groups), "not told apart", group)
            for lane, group in enumerate(groups)
        ),
    ]
    for row, (name, rank) in enumerate(found.mean_ranks.items(), start=1):
        drop: Figure = {"x": [short(rank)] * 2, "y": [-lanes + 0.5, row], "mode": "lines", "hoverinfo": "skip"}
        drop |= {"line": {"width": 1, "dash": "dot"}, "showlegend": False}
        traces.append({**trace(name, "drop"), **drop})
        dot: Figure = {"x": [short(rank)], "y": [row], "mode": "markers", "showlegend": False}
        dot["hovertemplate"] = "mean rank %{x:.2f}<extra>%{fullData.name}</extra>"
        traces.append({**trace(name, "median"), **dot})
    layout = axes("mean rank, 1 is best", "")
    texts = [f"CD {found.critical_difference:.2f}", *([""] * len(groups)), *(plot_text(name) for name in names)]
    layout["yaxis"] |= {"tickvals": list(range(-lanes, len(names) + 1)), "range": [len(names) + 0.6, -lanes - 0.6]}
    layout["yaxis"] |= {"ticktext": [texts[0], *texts[1 : 1 + len(groups)], "", *texts[1 + len(groups) :]]}
    layout["yaxis"] |= {"showgrid": False, "zeroline": False}
    layout["xaxis"] |= {"range": [0.8, max(len(names), best + found.critical_difference) + 0.2]}
    told = "; ".join(format_names(list(group)) for group in groups)
    p_value = found.friedman.p_f
    caption = (
        f"Mean rank over {format_count(found.num_contexts, 'context')} by the rule of the recommendations (1 is best). "
        f"Mean ranks further apart than the critical difference {found.critical_difference:.2f} differ at the "
        f"5 % level (Nemenyi). {f'Grey bars, not told apart: {told}. ' if told else 'All are told apart. '}"
        f"That all are alike: {'not tested' if math.isnan(p_value) else format_p(p_value)} (Friedman, Iman and "
        f"Davenport).{left_out}"
    )
    return {"data": traces, "layout": layout, "caption": caption, "rows": len(names) + lanes}


def budget_chart(views: Views) -> Figure:
    """Expected best validation score over the number of learning rates tried."""
    table = views.tuning_budget
    if table.empty:
        is_tuned = any(found.context.is_tuned for found in views.report.comparisons)
        return {"empty": FEW if is_tuned else "No learning rate was tuned: this chart needs a protocol that tunes."}
    traces = []
    for name, rows in table.groupby("init", sort=False):
        drawn = {"x": rows.num_lrs.tolist(), "y": shorts(rows.score), "mode": "lines+markers"}
        shown = "%{x} tried: %{y:.3f}<extra>%{fullData.name}</extra>"
        traces.append({**trace(str(name), "line"), **drawn, "hovertemplate": shown})
    layout = axes("learning rates tried", "expected best normalised score")
    layout["xaxis"] |= {"dtick": 1}
    caption = (
        "Expected best final validation score (0 at chance, 1 at the hard level or the best there is) after trying "
        "so many learning rates of the grid in random order; the mean over "
        f"{views.block.size}. A curve that starts high needs little tuning. No interval is "
        f"drawn.{left_out(views)}"
    )
    return {"data": traces, "layout": layout, "caption": caption}


def left_out(views: Views) -> str:
    """What the comparisons over contexts leave out, as a sentence with a space before it."""
    return f" Left out: {views.block.left_out}." if views.block.left_out else ""


def _heat(rows: pd.DataFrame, column: str, panel: str) -> Figure:
    names = sorted(rows.init.unique(), key=lambda name: -rows[rows.init == name].score.mean())
    columns = sorted(rows.column.unique(), key=activation_rank if column == "activation" else None)
    score = rows.pivot(index="init", columns="column", values="score").reindex(index=names, columns=columns)
    found = {(row.init, row.column): row for row in rows.itertuples()}
    details = [[_details(found.get((name, value))) for value in columns] for name in names]
    grid: dict[str, Any] = {
        "type": "heatmap",
        "z": [shorts(values) for values in score.to_numpy().tolist()],
        "x": [plot_text(str(value)) for value in columns],
        "y": [plot_text(name) for name in names],
        "text": [["" if math.isnan(value) else f"{value:.2f}" for value in line] for line in score.to_numpy().tolist()],
        "customdata": details,
        "hovertemplate": f"%{{y}}, {column} %{{x}}: %{{customdata}}<extra></extra>",
        "hoverongaps": False,
        "zmin": 0,
        "zmax": 1,
        "colorscale": CIVIDIS,
        "xgap": 2,
        "ygap": 2,
        "showscale": False,
        "meta": {"role": "heat"},
    }
    layout = axes(column if column == "activation" else "hidden layers", "")
    layout["yaxis"] |= {"autorange": "reversed", "showgrid": False, "type": "category"}
    layout["xaxis"] |= {"showgrid": False, "type": "category"}
    over = "contexts" if panel == EVERYWHERE else "scoring seeds"
    caption = (
        "Mean test score, 0 at chance and 1 at the hard level of the data set (the best score there is where none is "
        f"frozen), over {over}; its 95 % t interval "
        "shows on hover or tap. A blank cell was not tried."
    )
    return {"data": [grid], "layout": layout, "caption": caption, "rows": len(names)}


def activation_rank(name: str) -> tuple[int, str]:
    """ReLU and its variants, then what saturates, then the others."""
    order = (*RELU_LIKE, *SATURATING)
    return (order.index(name) if name in order else len(order), name)


def _details(row: Any) -> str:
    if row is None:
        return ""
    bounds = "too few for an interval" if math.isnan(row.low) else f"{row.low:.3f}, {row.high:.3f}"
    over = f"{row.num_contexts} contexts" if row.num_contexts > 1 else f"{row.num_seeds} seeds"
    return f"{row.score:.3f} [{bounds}], {over}"


def _bar(left: float, right: float, lane: int, what: str, group: Sequence[str] = ()) -> Figure:
    text = f"{what}: {', '.join(map(plot_text, group))}" if group else f"{what} {right - left:.2f}"
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [short(left), short(right)],
        "y": [lane, lane],
        "text": [text] * 2,
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"width": 5 if group else 3},
        "showlegend": False,
        "meta": {"role": "clique" if group else "distance"},
    }
