"""What an answer rests on, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from initsuite.report.formatting import format_p, format_share
from initsuite.report.verdicts.across import SCORE, SPEED, Block
from initsuite.report.verdicts.comparison import Comparison
from initsuite.report.verdicts.leaders import Leader
from initsuite.report.verdicts.rulings import EQUAL, Ruling
from initsuite.stats.intervals import CONFIDENCE, Interval
from initsuite.wording import format_count, format_first, format_names, format_range

_RESULT_IN_WORDS = {SPEED: "speed", SCORE: "final score"}


def what_is_single(block: Block) -> Iterator[str]:
    """What little can be concluded from comes first: one initializer, one seed, one context."""
    seeds = [standing.num_seeds for found in block.comparisons for standing in block.standings(found)]
    singles = {"initializer": len(block.names), "seed": max(seeds), "context": len(block.comparisons)}
    if names := [f"one {what}" for what, number in singles.items() if number == 1]:
        yield f"This rests on {format_names(names)}."


def reasons_of(chosen: Leader, num_contexts: int, by: str) -> Iterator[str]:
    against, matches = chosen.against, chosen.matches
    if against.empty:
        yield "There is nothing to compare it with."
        return
    yield f"Over {format_count(num_contexts, 'context')} it has the best mean rank by {_RESULT_IN_WORDS[by]}."
    rows = {ruling: against[against.verdict == ruling] for ruling in Ruling}
    if not rows[Ruling.SUPPORTED].empty:
        yield f"It is better than {_listed(rows[Ruling.SUPPORTED])}."
    for name in map(str, rows[Ruling.DEPENDS].init):
        better, worse = (format_first(titles, 3) for titles in (matches[name].won, matches[name].lost))
        yield f"Against {name} it depends: it is better at {better}; worse at {worse}."
    if not rows[Ruling.NO_DIFFERENCE].empty:
        low, high = EQUAL
        yield f"No difference from {_names(rows[Ruling.NO_DIFFERENCE])}: P(better) lies within {low:g} to {high:g}."
    undecided = rows[Ruling.UNDECIDED]
    can_decide = undecided.init.map(lambda name: matches[str(name)].pooled.can_decide(chosen.family)).astype(bool)
    if can_decide.any():
        yield f"Undecided against {_listed(undecided[can_decide])}."
    if not can_decide.all():
        yield f"Not enough seeds to tell it from {_names(undecided[~can_decide])}."
    if not rows[Ruling.CONTRADICTED].empty:
        yield f"Seed by seed it is worse than {_listed(rows[Ruling.CONTRADICTED])}: test and mean rank disagree."


def _names(rows: pd.DataFrame) -> str:
    return format_names(list(rows.init))


def _listed(against: pd.DataFrame) -> str:
    listed = []
    for init, estimate, low, high, p_value, _ in against.itertuples(index=False):
        share = format_share(Interval(estimate, low, high, CONFIDENCE, 0))
        listed.append(f"{init} (P(better) {share}, {format_p(p_value)})")
    return format_names(listed)


def limits_of(found: Sequence[Comparison]) -> Iterator[str]:
    titles = [comparison.context.title for comparison in found]
    listed = "; ".join(titles[:4]) + (" ..." if len(titles) > 4 else "")
    yield f"It is based on {format_count(len(found), 'context')}: {listed}."
    seeds = format_range(standing.num_seeds for comparison in found for standing in comparison.standings)
    yield f"Scoring seeds per initializer and context: {seeds}."
