"""The numbers of rows: read off their curves again, and trained again."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from initsuite.engine.workload import Cell
from initsuite.literature.claim import Starts
from initsuite.literature.contribution.reading import START_COLUMNS
from initsuite.literature.running import measured
from initsuite.protocol.measures import measure
from initsuite.protocol.yardstick import yardstick_of
from initsuite.spec import Curve, Stage, Status, Trial, TrialResult
from initsuite.train.events import Event, Finished
from initsuite.train.executor import Executor
from initsuite.train.task import Stack, Task, failure
from initsuite.wording import first_line, format_count, last_line

ELSEWHERE = 0.05
"""How far losses (relative) and scores (absolute) may be apart where rows are of another torch or device."""
_CURVE = ("train_loss", "val_loss", "val_score")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Allowed:
    """How far numbers may be apart; 0 = the same bits.

    Attributes:
        whole: in stacks all of whose trials are there.
        part: in those of which trials are missing, so that bits cannot be compared.
    """

    whole: float
    part: float


@dataclass(frozen=True)
class Rerun:
    """What was done again.

    Attributes:
        num: trials, or draws of starts.
        num_equal: those whose every number has the same bits.
        largest: the largest difference: relative of losses and measures, absolute of scores.
        problems: what is further apart than allowed.
    """

    num: int
    num_equal: int
    largest: float
    problems: tuple[str, ...]


def derived_problems(trials: pd.DataFrame, curves: pd.DataFrame, cells: Mapping[str, Cell]) -> list[str]:
    """Numbers of rows that are not those of their curves: steps, area, scores."""
    by_trial = dict(tuple(curves.groupby("trial_id")))
    found = []
    for _, row in trials[trials.status != Status.FAILED].iterrows():
        cell = cells.get(row.cell_id)
        if cell is None:
            continue
        result, workload = _stored_result(row, by_trial[row.trial_id]), cell.workload
        yardstick = yardstick_of(json.loads(row.config)["dataset"])  # that of the time
        again = measure(result, yardstick, chance_loss=workload.chance_loss, steps_per_epoch=workload.steps_per_epoch)
        for name, value in again.items():
            if not _same(row[name], value):
                found.append(f"trial {row.trial_id}: bad `{name}`={row[name]:g}. Expected {value:g}, that of its curve")
    return found


def _stored_result(row: pd.Series, curve: pd.DataFrame) -> TrialResult:
    trial = Trial(row.cell_id, float(row.lr), int(row.seed), Stage(row.stage))
    columns = (curve[name].to_numpy(float) for name in _CURVE)
    at = None if pd.isna(row.diverged_at) else int(row.diverged_at)
    stored = Curve(curve.step.to_numpy(), *columns)
    return TrialResult(trial, Status(row.status), stored, row.test_score, at, 0.0, 0.0, int(row.stack_size), row.device)


def _same(stored: float, value: float) -> bool:
    return bool(np.isclose(float(stored), value, rtol=1e-9, atol=0, equal_nan=True))


def rerun_trials(
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    cells: Mapping[str, Cell],
    chosen: Sequence[str],
    allowed: Allowed,
    say: Say,
) -> Rerun:
    """Train chosen trials again, each in the stack that it was in, and compare every trial of these stacks.

    Rounding depends on how many trials a stack has and on their seeds, so that only the same stack gives the same bits.
    The trials of a stack are those that were stored together; where some of them are missing, bits cannot be compared.

    Args:
        chosen: ids of trials. One that cannot be compared is a problem.
        allowed: how far numbers may be apart.
    """
    stacks = [rows for rows in _stacks(trials) if rows.trial_id.isin(chosen).any()]
    by_trial = dict(tuple(curves.groupby("trial_id")))
    differences: dict[str, float] = {}
    problems: dict[str, str] = {}
    for number, rows in enumerate(stacks, 1):
        where = "/".join(str(rows[axis].iloc[0]) for axis in ("dataset", "model", "activation", "optimizer"))
        say(f"Training stack {number} of {len(stacks)} again: {format_count(len(rows), 'trial')} of {where} ...")
        limit, size = allowed.whole, int(rows.stack_size.iloc[0])
        if len(rows) != size:
            limit = allowed.part
            say(f"Stack {number} is not whole, {len(rows)} of {format_count(size, 'trial')}: {_expected(limit)}")
        for result in _trained(rows, cells):
            name = result.trial.trial_id
            if result.status == Status.FAILED:
                problems[name] = f"cannot be trained again: {last_line(result.error)}"
                continue
            stored = _stored_result(rows[rows.trial_id == name].iloc[0], by_trial[name])
            differences[name] = gap = _apart(stored, result)
            if gap > limit:
                problems[name] = f"trained again it is {gap:.3g} apart. Expected {_expected(limit)}"
    problems |= {name: "was chosen, and not compared" for name in chosen if name not in differences.keys() | problems}
    largest, num_equal = max(differences.values(), default=0.0), sum(gap == 0 for gap in differences.values())
    return Rerun(
        len(differences), num_equal, largest, tuple(f"trial {name}: {what}" for name, what in problems.items())
    )


def _expected(limit: float) -> str:
    return f"at most {limit:g}" if limit else "the same bits"


def _stacks(trials: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The trials of each stack in its order: what was stored in one go."""
    done = trials[trials.status != Status.FAILED]
    axes = ["written_at", "dataset", "model", "activation", "optimizer", "stack_size"]
    for _, rows in done.groupby(axes, dropna=False):  # without a date too
        yield rows.sort_values(["seed", "cell_id", "lr", "stage"])


def _trained(rows: pd.DataFrame, cells: Mapping[str, Cell]) -> list[TrialResult]:
    """The trials of a stack, trained again; all have failed where its first one does not even start."""
    executor = Executor({name: cells[name] for name in rows.cell_id.unique()}, "cpu", None, math.inf)
    pairs = zip(rows.cell_id, rows.lr, rows.seed, rows.stage, strict=True)
    trials = tuple(Trial(cell, float(lr), int(seed), Stage(stage)) for cell, lr, seed, stage in pairs)
    try:
        manner = executor.rehearse(executor.member(cells[trials[0].cell_id]))
    except Exception:  # a contributed law or model may raise anything
        return [failure(trial, traceback.format_exc(), len(trials), "cpu") for trial in trials]
    found: list[TrialResult] = []

    def take(event: Event) -> None:
        if isinstance(event, Finished):
            found.extend(event.results)

    threads = torch.get_num_threads()
    try:
        executor.run(Task(Stack(tuple(trial.trial_id for trial in trials), "cpu"), trials, manner=manner), take)
    finally:
        torch.set_num_threads(threads)
    return found


def _apart(stored: TrialResult, again: TrialResult) -> float:
    """0 where all numbers have the same bits, infinite where something is there in one of them alone."""
    if stored.status != again.status or not np.array_equal(stored.curve.step, again.curve.step):
        return math.inf
    pairs = [(getattr(stored.curve, name), getattr(again.curve, name), "loss" in name) for name in _CURVE]
    pairs.append((np.array([stored.test_score]), np.array([again.test_score]), False))
    return max(_difference(first, second, is_relative=relative) for first, second, relative in pairs)


def _difference(first: np.ndarray, second: np.ndarray, *, is_relative: bool) -> float:
    if np.array_equal(first, second, equal_nan=True):
        return 0.0
    if not np.array_equal(np.isnan(first), np.isnan(second)):
        return math.inf
    gap = np.abs(first - second) / (np.maximum(np.abs(first), 1e-12) if is_relative else 1.0)
    return float(np.nanmax(gap))


def rerun_starts(
    tables: Sequence[pd.DataFrame], cells: Mapping[str, Cell], starts: Starts, chosen: Sequence[tuple[int, int]],
    tolerance: float,
) -> Rerun:  # fmt: skip
    """Measure chosen draws again.

    Args:
        chosen: the number of a table, and a seed.
        tolerance: relative; 0 = the same bits.
    """
    gaps, problems = [], []
    for number, seed in chosen:
        table = tables[number]
        stored = table[table.seed == seed].iloc[0]
        where = f"start of cell {stored.cell}, seed {seed}"
        try:
            again = measured(cells[str(stored.cell)], starts, [seed]).iloc[0]
        except Exception as error:  # a contributed law or model may raise anything
            problems.append(f"{where}: cannot be measured again: {first_line(error)}")
            continue
        names = [str(name) for name in again.index if name not in START_COLUMNS]
        if missing := [name for name in names if name not in table.columns]:
            problems.append(f"{where}: no `{missing[0]}`. Expected all columns that the claim measures")
            continue
        pairs = {name: np.array([[stored[name]], [again[name]]], float) for name in names}
        by_name = {name: _difference(pair[0], pair[1], is_relative=True) for name, pair in pairs.items()}
        worst = max(by_name, key=lambda name: by_name[name])
        gaps.append(by_name[worst])
        if gaps[-1] > tolerance:
            problems.append(f"{where}: bad `{worst}`={stored[worst]:g}. Measured again it is {again[worst]:g}")
    return Rerun(len(gaps), sum(gap == 0 for gap in gaps), max(gaps, default=0.0), tuple(problems))
