"""Two stores side by side as people read them: strings with units and uncertainty under headings in words."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from initsuite.report.formatting import BLANK, format_score
from initsuite.report.pair.side_by_side import SideBySide
from initsuite.report.text.display import Row, area_heading, arms_for_people, records, score_heading
from initsuite.stats.intervals import Interval
from initsuite.wording import plural

DIFFERENCE = "difference"
NOT_THERE = "not in this store"
RATE, STEPS = "success rate (seeds)", "median steps to target [95 %]"


def contexts_for_people(pair: SideBySide) -> Iterator[tuple[Row, pd.DataFrame]]:
    """Rows of `SideBySide.contexts`, each with its arms as strings: a line a store, and one for the difference."""
    for row in records(pair.contexts):
        yield row, pd.DataFrame(list(_lines(pair, row)))


def summary_of_pair(pair: SideBySide) -> str:
    """How many contexts are shared, and in how many the stores recommend the same."""
    if pair.contexts.empty:
        return "Nothing can be compared: the stores share no context under one learning rate rule. The notes say why."
    counts = pair.contexts.agrees.value_counts()
    answers = ", ".join(f"{answer} {count}" for answer, count in counts.items())
    return f"Shared contexts: {len(pair.contexts)}. Do the recommendations agree? {answers[0].upper()}{answers[1:]}."


def caption_of_pair(pair: SideBySide) -> str:
    return (
        f"[95 %]: intervals over the scoring seeds. {DIFFERENCE}: score in {pair.names[1]} less that in "
        f"{pair.names[0]}, paired by seed, Student's t."
    )


def _lines(pair: SideBySide, row: Row) -> Iterator[dict[str, str]]:
    sides = [_of_context(side, row) for side in pair.sides]
    texts = [dict(zip(side.cell_id, records(arms_for_people(side)), strict=True)) for side in sides]
    score = score_heading(sides[0])
    is_by_level = any(side.success_rate.notna().any() for side in sides)
    shown = [*((RATE, STEPS) if is_by_level else (area_heading(sides[0]),)), score, "best lr", "verdict"]
    for arm in records(_of_context(pair.arms, row)):
        for name, found in zip(pair.names, texts, strict=True):
            text = found.get(arm["cell_id"], {"verdict": NOT_THERE})
            yield {"initializer": arm["init"], "store": name, **{column: text.get(column, BLANK) for column in shown}}
        if arm["num_shared_seeds"] > 0:  # NaN where one store lacks the arm
            line = {"initializer": arm["init"], "store": DIFFERENCE, **dict.fromkeys(shown, BLANK)}
            shared = f"{arm['num_shared_seeds']:.0f} {plural(arm['num_shared_seeds'], 'shared seed')}"
            yield {**line, score: format_score(_difference(arm), arm["metric"]), "verdict": shared}


def _of_context(table: pd.DataFrame, row: Row) -> pd.DataFrame:
    return table.loc[(table.context_id == row["context_id"]) & (table.lr_rule == row["lr_rule"])]


def _difference(arm: Row) -> Interval:
    name = "test_score_difference"
    return Interval(arm[name], arm[f"{name}_low"], arm[f"{name}_high"], arm[f"{name}_coverage"], 0)
