"""The charts over several contexts as Plotly figures in plain data: profiles, aggregates, ranks, heat maps, tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from initsuite.protocol.tuning import TRAINS_ABOVE
from initsuite.report.formatting import format_p
from initsuite.report.page.cells import plot_text, short, shorts
from initsuite.report.page.contexts import rank_of
from initsuite.report.page.plots import Figure, axes, error_bar, rows_axis, trace, zoomed
from initsuite.report.page.worth import worth_chart
from initsuite.report.text.display import records
from initsuite.report.verdicts.heat import EVERYWHERE
from initsuite.report.verdicts.views import Views
from initsuite.wording import format_count, format_names

CIVIDIS = [[0.0, "#00204d"], [0.25, "#414d6b"], [0.5, "#7c7b78"], [0.75, "#bbaf71"], [1.0, "#ffea46"]]
"""Nunez, Anderton and Renslow 2018: reads the same with every common colour blindness."""
FEW = "This chart needs at least two initializers that were all scored in the same contexts."


def charts_across(views: Views) -> dict[str, Figure]:
    """The figures of the whole report, by name."""
    return {
        "profiles": profiles_chart(views),
        "aggregates": aggregates_chart(views),
        "ranks": ranks_chart(views),
        "budget": budget_chart(views),
        "worth": worth_chart(views),
    }


def heat_charts(table: pd.DataFrame, column: str, why_empty: str) -> list[tuple[str, Figure]]:
    """A heat map for each panel, with its title.

    Args:
        table: one of the tables of `heat`.
        column: what its columns are, "activation" or "depth".
        why_empty: a sentence for a table without rows.
    """
    charts = [(str(panel), _heat(rows, column, str(panel))) for panel, rows in table.groupby("panel", sort=False)]
    return charts or [("", {"empty": why_empty})]


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
        hover = "within %{x:.2f} times the fastest: %{y:.0%}<extra>%{fullData.name}</extra>"
        text = f"{plot_text(name)} · area {areas[name]:z.2f}"
        traces.append(trace(name, "line", **drawn, name=text, hovertemplate=hover))
        traces[-1]["line"]["shape"] = "hv"
    shares = {"range": [-0.03, 1.03], "tickformat": ".0%"}
    layout = axes("steps, as a multiple of the fastest", "share of contexts", y=shares)
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
    shown = {"mode": "markers", "showlegend": False, "hovertemplate": "%{x:.3f}<extra>%{fullData.name}</extra>"}
    traces = []
    for row, found in enumerate(records(table)):
        bar = error_bar(found["iqm"], found["iqm_low"], found["iqm_high"])
        traces.append(trace(str(found["init"]), "median", x=[short(found["iqm"])], y=[row], error_x=bar, **shown))
    good = table[table.iqm > TRAINS_ABOVE]
    ends = pd.concat([good.iqm, good.iqm_low, good.iqm_high]).dropna().tolist()
    axis, beyond = zoomed([[value] for value in table.iqm], ends)
    layout = axes("normalised test score (IQM)", "", x=axis, y=rows_axis([str(name) for name in table.init]))
    layout |= {"annotations": beyond}
    caption = (
        "Interquartile mean: the mean of the middle half of the test scores of all seeds and contexts, 0 at chance and "
        "1 at the hard level (the best score there is where none is frozen). Bar: 95 % interval of a bootstrap that "
        f"redraws the seeds of each context. {views.block.size}; rows by mean rank, best first. "
        f"Arrows: initializers beyond the axis.{left_out(views)}"
    )
    return {"data": traces, "layout": layout, "caption": caption, "rows": len(table)}


def ranks_chart(views: Views) -> Figure:
    """The critical-difference diagram: mean ranks as dots, and bars over groups that are not distinguished."""
    found = views.ranks
    if found is None:
        return {"empty": "The critical-difference diagram needs at least two initializers scored in two contexts."}
    ranks, groups = found.mean_ranks, found.cliques
    best, lanes = min(ranks.values()), len(groups) + 1
    traces = [_bar(best, best + found.critical_difference, -lanes, "critical difference")]
    for lane, group in enumerate(groups, start=1 - lanes):
        traces.append(_bar(ranks[group[0]], ranks[group[-1]], lane, "not distinguishable", group))
    dotted = {"line": {"width": 1, "dash": "dot"}, "mode": "lines", "hoverinfo": "skip", "showlegend": False}
    hover = "mean rank %{x:.2f}<extra>%{fullData.name}</extra>"
    dot = {"mode": "markers", "showlegend": False, "hovertemplate": hover}
    for row, (name, rank) in enumerate(ranks.items(), start=1):
        traces.append(trace(name, "drop", x=[short(rank)] * 2, y=[-lanes + 0.5, row], **dotted))
        traces.append(trace(name, "median", x=[short(rank)], y=[row], **dot))
    rows = {
        "tickvals": list(range(-lanes, len(ranks) + 1)),
        "ticktext": [f"CD {found.critical_difference:z.2f}", *[""] * lanes, *map(plot_text, ranks)],
        "range": [len(ranks) + 0.6, -lanes - 0.6],
        "showgrid": False,
        "zeroline": False,
    }
    width = {"range": [0.8, max(len(ranks), best + found.critical_difference) + 0.2]}
    alike = "; ".join(format_names(list(group)) for group in groups)
    p_value = found.friedman.p_f
    caption = (
        f"Mean rank over {format_count(found.num_contexts, 'context')} by the rule of the recommendations (1 is best). "
        f"Mean ranks further apart than the critical difference {found.critical_difference:z.2f} differ at the "
        f"5 % level (Nemenyi). {f'Grey bars, not distinguishable: {alike}. ' if alike else 'All are distinguishable. '}"
        f"That all are alike: {'not tested' if math.isnan(p_value) else format_p(p_value)} (Friedman, Iman and "
        f"Davenport).{left_out(views)}"
    )
    layout = axes("mean rank, 1 is best", "", x=width, y=rows)
    return {"data": traces, "layout": layout, "caption": caption, "rows": len(ranks) + lanes}


def budget_chart(views: Views) -> Figure:
    """Expected best validation score over the number of learning rates tried."""
    table = views.tuning_budget
    if table.empty:
        is_tuned = any(found.context.is_tuned for found in views.report.comparisons)
        return {"empty": FEW if is_tuned else "No learning rate was tuned: this chart needs a protocol that tunes."}
    traces = []
    for name, rows in table.groupby("init", sort=False):
        drawn = {"x": rows.num_lrs.tolist(), "y": shorts(rows.score), "mode": "lines+markers"}
        hover = "%{x} tried: %{y:.3f}<extra>%{fullData.name}</extra>"
        traces.append(trace(str(name), "line", **drawn, hovertemplate=hover))
    layout = axes("learning rates tried", "expected best normalised score", x={"dtick": 1})
    caption = (
        "Expected best final validation score (0 at chance, 1 at the hard level or the best there is) after trying "
        f"so many learning rates of the grid in random order; the mean over {views.block.size}. A curve that starts "
        f"high needs little tuning. No interval is drawn.{left_out(views)}"
    )
    return {"data": traces, "layout": layout, "caption": caption}


def left_out(views: Views) -> str:
    """What the comparisons over contexts leave out, as a sentence with a space before it."""
    return f" Left out: {views.block.left_out}." if views.block.left_out else ""


def _heat(rows: pd.DataFrame, column: str, panel: str) -> Figure:
    names = sorted(rows.init.unique(), key=lambda name: -rows[rows.init == name].score.mean())
    by_kind = column == "activation"
    columns = sorted(rows.column.unique(), key=(lambda name: rank_of("activation", name)) if by_kind else None)
    cells = {(row.init, row.column): row for row in rows.itertuples()}
    found = [[cells.get((name, value)) for value in columns] for name in names]
    scale = {"zmin": 0, "zmax": 1, "colorscale": CIVIDIS, "showscale": False, "hoverongaps": False}
    grid = {
        "type": "heatmap",
        "meta": {"role": "heat"},
        "z": [[short(cell.score) if cell else None for cell in line] for line in found],
        "x": [plot_text(str(value)) for value in columns],
        "y": [plot_text(name) for name in names],
        "text": [[f"{cell.score:z.2f}" if cell else "" for cell in line] for line in found],
        "customdata": [[_details(cell) if cell else "" for cell in line] for line in found],
        "hovertemplate": f"%{{y}}, {column} %{{x}}: %{{customdata}}<extra></extra>",
        "xgap": 2,
        "ygap": 2,
        **scale,
    }
    as_names = {"showgrid": False, "type": "category"}
    heading = "activation" if by_kind else "hidden layers"
    layout = axes(heading, "", x=as_names, y={**as_names, "autorange": "reversed"})
    caption = (
        "Mean test score, 0 at chance and 1 at the hard level of the data set (the best score there is where none is "
        f"frozen), over {'contexts' if panel == EVERYWHERE else 'scoring seeds'}; its 95 % t interval shows on hover "
        "or tap. A blank cell was not tried."
    )
    return {"data": [grid], "layout": layout, "caption": caption, "rows": len(names)}


def _details(row: Any) -> str:
    bounds = "too few for an interval" if math.isnan(row.low) else f"{row.low:z.3f}, {row.high:z.3f}"
    over = f"{row.num_contexts} contexts" if row.num_contexts > 1 else f"{row.num_seeds} seeds"
    return f"{row.score:z.3f} [{bounds}], {over}"


def _bar(left: float, right: float, lane: int, what: str, group: Sequence[str] = ()) -> Figure:
    text = f"{what}: {', '.join(map(plot_text, group))}" if group else f"{what} {right - left:z.2f}"
    ends = {"x": [short(left), short(right)], "y": [lane, lane], "text": [text] * 2}
    shown = {"hovertemplate": "%{text}<extra></extra>", "showlegend": False, "line": {"width": 5 if group else 3}}
    return {"type": "scatter", "mode": "lines", **ends, **shown, "meta": {"role": "clique" if group else "distance"}}
