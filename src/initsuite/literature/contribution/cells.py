"""The cells of rows, made again from what is stored: every id, label and configuration must come out the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from initsuite.config.build import Builder
from initsuite.config.compose.resolve import Composed
from initsuite.config.sweep import compose_each
from initsuite.engine.workload import Cell
from initsuite.literature.claim import Claim, Starts
from initsuite.literature.evidence import flat
from initsuite.literature.running import composed, launches
from initsuite.spec import CONTEXT_AXES, Stage, Trial
from initsuite.wording import format_count, format_first, last_line

SHOWN = 3
_YARDSTICK = ("dataset.levels", "dataset.chance", "dataset.direction")
_TUNING = ("optimizer.lr", "optimizer.lr_grid")
"""With the yardstick, what no id depends on: a cell has trials tuned and at one learning rate."""
_LABELS = (*CONTEXT_AXES, "init")


def cells_of(trials: pd.DataFrame, builder: Builder) -> tuple[dict[str, Cell], list[str]]:
    """The cells of trials, by the id that their rows state, and what is wrong with the others.

    Args:
        trials: columns of the store.
        builder: what cells share is made once.
    """
    firsts = trials.drop_duplicates("cell_id")
    lists = [[f"{key}={value}" for key, value in json.loads(text or "{}").items()] for text in firsts.overrides]
    found: dict[str, Cell] = {}
    problems: list[str] = []
    jobs = compose_each([[*each, "tracking=disabled"] for each in lists])
    for job, (_, row) in zip(jobs, firsts.iterrows(), strict=True):
        cell, problem = _made(job, builder)
        if cell is None:
            problems.append(f"cell {row.cell_id} ({row.init}): cannot be made: {problem}")
        elif why := _difference(cell, trials[trials.cell_id == row.cell_id]):
            problems.append(f"cell {row.cell_id} ({row.init}): {why}")
        else:
            found[str(row.cell_id)] = cell
    return found, problems


def _made(job: Composed, builder: Builder) -> tuple[Cell | None, str]:
    try:
        if job.error:
            raise job.error
        draft, _ = builder.draft(job.tree or {})
        return draft.cell, ""
    except Exception as error:  # a contributed law, model or data set may raise anything
        return None, _why(error)


def _why(error: Exception) -> str:
    """The last line of its message, which says what to do; the type of one without a message."""
    return last_line(str(error)) or type(error).__name__


def _difference(cell: Cell, rows: pd.DataFrame) -> str:
    """What of the rows of a cell is not what its overrides make; "" if all is."""
    made = json.loads(json.dumps(dict(cell.config)))
    if keys := sorted({key for text in set(rows.config) for key in _differing(json.loads(text), made)}):
        return f"its configuration is not what its overrides make: {format_first(keys, SHOWN)}"
    if cell.cell_id != rows.cell_id.iloc[0]:
        return (
            f"its id comes out as {cell.cell_id}, from the same configuration: the law, or another file of its own, is "
            "not the one that these rows were made with. Expected the files as they were, or rows of the new ones"
        )
    labels = {**cell.axes, "context_id": cell.context_id, "metric": cell.yardstick.metric}
    for name in (*_LABELS, "context_id", "metric"):
        if set(rows[name]) != {labels[name]}:
            return f"bad `{name}`={sorted(set(rows[name]))}. Expected {labels[name]!r}"
    return ""


def _differing(stored: Mapping[str, object], made: Mapping[str, object]) -> list[str]:
    """Keys of a configuration, without those that say how a cell is tuned, and without the yardstick: later versions of
    the suite may state another one."""
    return [key for key in _keys_apart(stored, made) if not key.startswith(_YARDSTICK) and key not in _TUNING]


def _keys_apart(stored: Mapping[str, object], made: Mapping[str, object]) -> list[str]:
    first, second = flat(stored), flat(made)
    return sorted(key for key in first.keys() | second.keys() if first.get(key, "?") != second.get(key, "?"))


def yardstick_keys(texts: Mapping[str, str], cells: Mapping[str, Cell]) -> list[str]:
    """What of the yardstick of rows is not that of this version; verdicts go by that of the rows.

    Args:
        texts: by cell_id, the stored configuration.
    """
    apart = {
        key
        for cell_id, cell in cells.items()
        if cell_id in texts
        for key in _keys_apart(json.loads(texts[cell_id]), dict(cell.config))
        if key.startswith(_YARDSTICK)
    }
    return sorted(apart)


def wrong_ids(trials: pd.DataFrame) -> list[str]:
    """Ids of trials that are not those of their cell, learning rate, seed and stage."""
    made = [
        Trial(str(cell), float(lr), int(seed), Stage(stage)).trial_id
        for cell, lr, seed, stage in zip(trials.cell_id, trials.lr, trials.seed, trials.stage, strict=True)
    ]
    return [str(stored) for stored, again in zip(trials.trial_id, made, strict=True) if stored != again]


def sweep_problems(claim: Claim, trials: pd.DataFrame) -> list[str]:
    """Cells that the sweep of a claim does not have, or that are missing."""
    if claim.trials is None or claim.trials.store:
        return []
    try:
        jobs = [job for launch in launches(claim.trials) for job in composed(launch, ("tracking=disabled",))]
        wanted = {cell.cell_id for cell in _cells(jobs)}
    except Exception as error:  # as for a cell
        return [f"the sweep of the claim cannot be made: {_why(error)}"]
    there = set(trials.cell_id)
    said = ((there - wanted, "that the sweep of the claim does not have"), (wanted - there, "of the sweep are missing"))
    return [f"{format_count(len(ids), 'cell')} {what}: {format_first(sorted(ids), SHOWN)}" for ids, what in said if ids]


def _cells(jobs: Sequence[Composed]) -> Iterator[Cell]:
    """Raises what a job that cannot be made raises."""
    builder = Builder()
    for job in jobs:
        if job.error:
            raise job.error
        yield builder.draft(job.tree or {})[0].cell


def start_cells(starts: Starts, tables: Sequence[pd.DataFrame]) -> tuple[dict[str, Cell], list[str]]:
    """The cells whose starts a claim measures, by id, and what is wrong with the tables."""
    try:
        cells = {cell.cell_id: cell for cell in _cells(composed(starts, ("tracking=disabled", "protocol=smoke")))}
    except Exception as error:  # as for a cell
        return {}, [f"the starts of the claim cannot be made: {_why(error)}"]
    columns = sorted({str(name) for table in tables for name in table.columns})
    said = [(str(table.cell.iloc[0]), _start_problem(table, cells, starts, columns)) for table in tables]
    problems = [f"starts of cell {cell_id}: {why}" for cell_id, why in said if why]
    missing = cells.keys() - {cell_id for cell_id, _ in said}
    return cells, problems + ([f"starts of {format_count(len(missing), 'cell')} are missing"] if missing else [])


def _start_problem(table: pd.DataFrame, cells: Mapping[str, Cell], starts: Starts, columns: Sequence[str]) -> str:
    """What of the draws of a cell is not what the claim measures; "" if all is."""
    cell_id, seeds = str(table.cell.iloc[0]), table.seed.tolist()
    if table.cell.nunique() > 1 or cell_id not in cells:
        return "the claim has no such cell. Expected those of its `starts`"
    made = json.loads(json.dumps(dict(cells[cell_id].config), default=str))
    if keys := _differing(json.loads(table.config.iloc[0]), made):
        return f"another configuration: {format_first(keys, SHOWN)}"
    if seeds != list(range(len(seeds))):
        return f"seeds {seeds[:SHOWN]}... Expected 0, 1, 2, ..."
    if len(seeds) < starts.draws:
        return f"{format_count(len(seeds), 'draw')}. Expected {starts.draws}"
    there = set(table.measures.iloc[0].split())
    missing = [name for name in starts.measures if name not in there]
    if missing := missing + [name for name in columns if name not in table.columns]:
        return f"no `{missing[0]}`. Expected what the other cells have, and all that the claim measures"
    return ""
