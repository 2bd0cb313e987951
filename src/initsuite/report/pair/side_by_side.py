"""Two stores side by side: the arms of the contexts that both hold, and whether they recommend the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from initsuite.report.evidence.context import counted_scores
from initsuite.report.evidence.notes import commits_of
from initsuite.report.pair.agreement import agreement
from initsuite.report.text.display import records
from initsuite.report.verdicts.comparison import Comparison, rows_of
from initsuite.report.verdicts.recommendations import NOTHING, OF_INTERVAL, Report, interval_columns
from initsuite.spec import CONTEXT_AXES
from initsuite.stats.intervals import mean_interval
from initsuite.wording import format_first

SIDES = ("first", "second")
Pair = tuple[Comparison, Comparison]
"""A context and lr rule in both stores."""
MAX_CONTEXTS = 8
"""How many contexts that only one store holds a sentence lists."""
_PLACE = [*CONTEXT_AXES, "context", "context_id", "lr_rule", "metric"]
_MEASURES = ["level", "target", "verdict", "num_reached", "num_seeds", "best_lr"]
_MEASURES += [f"{name}{end}" for name in ("success_rate", "median_steps", "test_score") for end in OF_INTERVAL]
CONTEXT_COLUMNS = [*_PLACE, *[f"{side}_{name}" for side in SIDES for name in ("store", "recommended")]]
CONTEXT_COLUMNS += ["agrees", "in_words"]
ARM_COLUMNS = [*_PLACE, "init", "cell_id"]
ARM_COLUMNS += [f"{side}_{name}" for side in SIDES for name in ("store", "recommended", *_MEASURES)]
ARM_COLUMNS += [*[f"test_score_difference{end}" for end in OF_INTERVAL], "num_shared_seeds"]


@dataclass(frozen=True)
class SideBySide:
    """Two stores, compared where they hold the same contexts under the same lr rule.

    Attributes:
        names: the names of the stores.
        contexts: one row per context and lr rule, columns `CONTEXT_COLUMNS`; `agrees` is the answer of `agreement`.
        arms: one row per context, lr rule and initializer, columns `ARM_COLUMNS`, missing values where a store lacks
            it. Units as in `recommend_table`; the difference is the mean of the second store's test score less the
            first one's over the `num_shared_seeds` that both scored, with Student's interval.
        sides: the rows of these contexts in the `arms_table` of each store.
        notes: sentences on what was left out or deserves suspicion.
    """

    names: tuple[str, str]
    contexts: pd.DataFrame
    arms: pd.DataFrame
    sides: tuple[pd.DataFrame, pd.DataFrame]
    notes: tuple[str, ...]


def side_by_side(first: Report, second: Report, names: tuple[str, str]) -> SideBySide:
    """Compare two stores. Only the newest protocol version of both counts.

    Args:
        first: the report on one store.
        second: the report on the other one.
        names: how sentences refer to the stores.
    """
    reports = (first, second)
    ours, theirs = ({comparison.key: comparison for comparison in report.comparisons} for report in reports)
    versions = [report.trials.protocol_version.max() for report in reports]
    is_one_version = versions[0] == versions[1]
    pairs = {key: (ours[key], theirs[key]) for key in ours if key in theirs and is_one_version}
    tables = [
        {(row["context_id"], row["lr_rule"], row["cell_id"]): row for row in records(report.arms)} for report in reports
    ]
    alone = [[found for key, found in side.items() if key not in pairs] for side in (ours, theirs)]
    notes = [
        *(_alone_notes(alone, names) if is_one_version else _version_notes(versions, alone, names)),
        *_commit_notes(reports, names),
        *(note for pair in pairs.values() for note in _level_notes(pair, names)),
        *_copy_notes(pairs.values()),
        *(f"{name}: {note}" for name, report in zip(names, reports, strict=True) for note in report.notes),
    ]
    context_rows = [_context_row(pair, names) for pair in pairs.values()]
    arm_rows = [row for pair in pairs.values() for row in _arm_rows(pair, names, tables)]
    return SideBySide(
        names,
        pd.DataFrame(context_rows, columns=CONTEXT_COLUMNS),
        pd.DataFrame(arm_rows, columns=ARM_COLUMNS),
        (rows_of(first.arms, pairs), rows_of(second.arms, pairs)),
        tuple(notes),
    )


def _title(pair: Pair) -> str:
    """The longer one says more: a store names the options that distinguish its own contexts."""
    return max((comparison.context.title for comparison in pair), key=len)


def _place(pair: Pair) -> dict[str, Any]:
    context = pair[0].context
    place = {"context": _title(pair), "context_id": context.context_id, "lr_rule": context.lr_rule}
    return {**context.axes, **place, "metric": context.yardstick.metric}


def _context_row(pair: Pair, names: tuple[str, str]) -> dict[str, Any]:
    row = _place(pair)
    for side, name, comparison in zip(SIDES, names, pair, strict=True):
        leader = comparison.leader
        row |= {f"{side}_store": name, f"{side}_recommended": leader.arm.name if leader else NOTHING}
    agrees, words = agreement(*pair, names)
    return {**row, "agrees": agrees, "in_words": words}


def _arm_rows(
    pair: Pair, names: tuple[str, str], tables: Sequence[Mapping[tuple[str, str, str], Mapping[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """In the order of the first store, then those that only the second one has."""
    found = [{standing.arm.cell_id: standing.arm for standing in side.standings} for side in pair]
    for cell_id in found[0] | found[1]:
        arms = [side[cell_id] for side in found if cell_id in side]
        row = {**_place(pair), "init": max((arm.name for arm in arms), key=len), "cell_id": cell_id}
        for side, name, table, comparison in zip(SIDES, names, tables, pair, strict=True):
            measures = table.get((*comparison.key, cell_id), {})
            is_leader = bool(comparison.leader and comparison.leader.arm.cell_id == cell_id)
            row |= {f"{side}_store": name, f"{side}_recommended": is_leader}
            row |= {f"{side}_{measure}": measures.get(measure) for measure in _MEASURES}
        if len(arms) == 2:
            scores = [counted_scores(arm, side.context.yardstick) for arm, side in zip(arms, pair, strict=True)]
            difference = mean_interval((scores[1] - scores[0]).dropna())
            row |= interval_columns("test_score_difference", difference)
            row["num_shared_seeds"] = difference.num_values
        yield row


def _version_notes(
    versions: Sequence[Any], alone: Sequence[Sequence[Comparison]], names: tuple[str, str]
) -> Iterator[str]:
    older = 0 if versions[0] < versions[1] else 1
    yield (
        f"{names[older]} holds trials of protocol version {versions[older]} at most, {names[1 - older]} of version "
        f"{versions[1 - older]}: their numbers do not compare. All {len(alone[older])} contexts of {names[older]} are "
        "left out. Train them again with this version of initsuite."
    )


def _alone_notes(alone: Sequence[Sequence[Comparison]], names: tuple[str, str]) -> Iterator[str]:
    for name, side in zip(names, alone, strict=True):
        if side:
            listed = [f"{found.context.title} ({found.context.lr_rule})" for found in side]
            yield f"Left out, as only {name} holds them: {format_first(listed, MAX_CONTEXTS)}."


def _commit_notes(reports: Sequence[Report], names: tuple[str, str]) -> Iterator[str]:
    ours, theirs = (commits_of(report.trials) for report in reports)
    if set(ours) != set(theirs):
        yield (
            f"The trials come from different code: {', '.join(ours) or 'unknown'} in {names[0]}, "
            f"{', '.join(theirs) or 'unknown'} in {names[1]}."
        )


def _level_notes(pair: Pair, names: tuple[str, str]) -> Iterator[str]:
    """Says where the steps of the two stores lead to different scores."""
    goals = [
        "no level, as the loss area ranks," if side.target is None else f"{side.target:g} ({side.level})"
        for side in pair
    ]
    if goals[0] != goals[1]:
        where = f"{_title(pair)} ({pair[0].context.lr_rule})"
        yield f"{where}: steps lead to {goals[0]} in {names[0]}, to {goals[1]} in {names[1]}, and do not compare."


def _copy_notes(pairs: Iterable[Pair]) -> Iterator[str]:
    """Says where one store holds the very rows of the other one."""
    ours, theirs = (_rows([pair[side] for pair in pairs]) for side in (0, 1))
    if copied := len(ours & theirs):
        yield f"{copied} scoring trials are the same rows in both stores, as after a merge: their differences are zero."


def _rows(comparisons: Sequence[Comparison]) -> set[tuple[str, str]]:
    """The rows of the store that count, by trial_id and the time when they were written."""
    arms = [arm for comparison in comparisons for arm in comparison.context.arms]
    return {row for arm in arms for row in zip(arm.trials.trial_id, arm.trials.written_at, strict=True)}
