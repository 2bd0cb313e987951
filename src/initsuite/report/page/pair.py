"""Two stores side by side as a page: whether they agree, and the arms of each shared context as dots."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from initsuite.protocol.yardstick import METRICS
from initsuite.report.page.cells import short
from initsuite.report.page.contexts import name_of
from initsuite.report.page.frame import Section, framed, palette_of
from initsuite.report.page.plots import Figure, axes, error_bar, rows_axis, trace, zoomed
from initsuite.report.page.tables import Table, condensed, table_of_cells
from initsuite.report.pair.display import caption_of_pair, contexts_for_people, summary_of_pair
from initsuite.report.pair.side_by_side import SIDES, SideBySide
from initsuite.report.text.display import interval_of, records
from initsuite.report.verdicts.comparison import rows_of
from initsuite.stats.intervals import Interval

_APART = 0.17
"""How far the marks of the two stores stand from the middle of their row."""
_NEVER_AT = 1.12
"""Where a median that misses the target stands, as a multiple of the most steps drawn."""
_ROLES = dict(zip(SIDES, ("median", "second"), strict=True))


def pair_page(pair: SideBySide) -> str:
    """The page."""
    contexts = [
        {"row": row, "key": f"c{place}", "name": name_of(row["context"], row["lr_rule"]), "arms": arms}
        for place, (row, arms) in enumerate(contexts_for_people(pair))
    ]
    sections = [Section("pair_answer", "Do they agree?")]
    if contexts:
        sections.append(Section("pair_context", "Initializers"))
    values = {
        "summary": summary_of_pair(pair),
        "caption": caption_of_pair(pair) if contexts else "",
        "names": pair.names,
        "contexts": contexts,
        "notes": pair.notes,
    }
    return framed(
        title=" and ".join(pair.names),
        heading=f"{pair.names[0]} and {pair.names[1]} side by side",
        sections=[*sections, Section("pair_notes", "Notes")],
        palette=palette_of(pair.arms.init),
        drawn=_drawn(pair, contexts) if contexts else None,
        values=values,
    )


def _drawn(pair: SideBySide, contexts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the scripts draw, sort and filter."""
    drawn = []
    stuck = {cell_id for side in pair.sides for cell_id in side.cell_id[side.near_chance.astype(bool)]}
    for found in contexts:
        row = found["row"]
        arms = rows_of(pair.arms, {(row["context_id"], row["lr_rule"])})
        scores = scores_of_both(arms, pair.names, [cell_id in stuck for cell_id in arms.cell_id])
        charts = {"pair_steps": steps_of_both(arms, pair.names), "pair_scores": scores}
        table = condensed(table_of_cells(found["arms"]))
        drawn.append({"key": found["key"], "name": found["name"], "facets": {}, "charts": charts, "arms": table})
    tables = {"agreement": _agreement(pair)}
    return {"contexts": drawn, "across": {}, "heat": {}, "tables": tables, "dots": {}, "first": drawn[0]["key"]}


def _agreement(pair: SideBySide) -> Table:
    titles = [
        ("context", "context"),
        ("do they agree?", "text"),
        *((f"{name} recommends", "init") for name in pair.names),
        ("in words", "text"),
    ]
    rows = []
    for row in records(pair.contexts):
        name = name_of(row["context"], row["lr_rule"])
        chosen = [row[f"{side}_recommended"] for side in SIDES]
        rows.append([[name, name, "", name], row["agrees"], *chosen, row["in_words"]])
    columns = [{"title": title, "kind": kind} for title, kind in titles]
    return condensed({"columns": columns, "rows": rows, "empty": "The stores share no context."})


def scores_of_both(arms: pd.DataFrame, names: tuple[str, str], are_stuck: Sequence[bool]) -> Figure:
    """Test score of each arm in both stores, with its interval.

    Args:
        arms: the rows of a context in `SideBySide.arms`.
        names: of the stores.
        are_stuck: [arm], whether it stays near chance: then the axis need not reach it.
    """
    metric = METRICS[arms.metric.iloc[0]]
    found = [[interval_of(row, f"{side}_test_score") for side in SIDES] for row in records(arms)]
    dots = [[value.estimate for value in row if math.isfinite(value.estimate)] for row in found]
    if not any(dots):
        return {"empty": "No test scores yet."}
    training = [value for row, is_stuck in zip(found, are_stuck, strict=True) if not is_stuck for value in row]
    ends = [end for value in training for end in (value.estimate, value.low, value.high) if math.isfinite(end)]
    axis, beyond = zoomed(dots, ends)
    names_axis = rows_axis(list(arms.init))
    caption = (
        f"{_marks(names)}, mean test {metric.label} ({metric.unit}) with its 95 % t interval over the scoring seeds. "
        "Arrows: beyond the axis."
    )
    layout = axes(f"test {metric.label}", "", x=axis, y=names_axis) | {"annotations": beyond}
    data = list(_traces(arms, found, lambda value: value))
    return {"data": data, "layout": layout, "caption": caption, "rows": 1.3 * len(arms)}


def steps_of_both(arms: pd.DataFrame, names: tuple[str, str]) -> Figure:
    """Median steps of each arm in both stores; nothing where their steps lead to different scores."""
    goals = {tuple(arms[f"{side}_target"].dropna().unique()) for side in SIDES}
    if len(goals) > 1 or goals == {()}:
        return {"empty": "The stores rank this context by different levels, or by none: their steps do not compare."}
    found = [[interval_of(row, f"{side}_median_steps") for side in SIDES] for row in records(arms)]
    ends = [end for row in found for value in row for end in (value.estimate, value.low, value.high)]
    edge = _NEVER_AT * max((end for end in ends if math.isfinite(end)), default=1.0)
    ((goal,),) = goals
    caption = f"{_marks(names)}, median steps with their 95 % interval (from 5 seeds on). At the right edge: never."
    width = {"range": [0, 1.05 * edge]}
    layout = axes(f"steps to {goal:g}", "", x=width, y=rows_axis(list(arms.init)))
    data = list(_traces(arms, found, lambda value: min(value, edge)))
    return {"data": data, "layout": layout, "caption": caption, "rows": 1.3 * len(arms)}


def _traces(
    arms: pd.DataFrame, found: Sequence[Sequence[Interval]], place: Callable[[float], float]
) -> Iterator[Figure]:
    """A mark with its bar for each arm and store that has one.

    Args:
        found: [arm][store].
        place: where on the axis a value stands.
    """
    for row, (init, both) in enumerate(zip(arms.init, found, strict=True)):
        for side, value, shift in zip(SIDES, both, (-_APART, _APART), strict=True):
            if math.isnan(value.estimate):
                continue
            middle, low, high = (place(end) for end in (value.estimate, value.low, value.high))
            bar = {"error_x": error_bar(middle, low, high)} if value.exists else {}
            text = "never" if math.isinf(value.estimate) else "%{x:.4g}"
            shown = {"hovertemplate": f"{text}<extra>%{{fullData.name}}</extra>", "showlegend": False}
            at = {"x": [short(middle)], "y": [row + shift], "mode": "markers"}
            yield trace(str(init), _ROLES[side], **at, **bar, **shown)


def _marks(names: tuple[str, str]) -> str:
    return f"Diamond: {names[0]}. Open square: {names[1]}. Both"
