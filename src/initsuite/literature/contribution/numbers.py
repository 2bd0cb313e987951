"""The numbers of rows: read off their curves again, and trained again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from initsuite.engine.workload import Cell
from initsuite.literature.claim import Starts
from initsuite.literature.running import measured
from initsuite.protocol.measures import measure
from initsuite.protocol.yardstick import yardstick_of
from initsuite.spec import Curve, Stage, Status, Trial, TrialResult
from initsuite.train.events import Event, Finished
from initsuite.train.executor import Executor
from initsuite.train.task import Stack, Task
from initsuite.wording import format_count

ELSEWHERE = 0.05
"""How far losses (relative) and scores (absolute) may be apart where rows are of another torch or device."""
_CURVE = ("train_loss", "val_loss", "val_score")
Say = Callable[[str], None]


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
    tolerance: float,
    say: Say,
) -> Rerun:
    """Train chosen trials again, each in the stack that it was in, and compare every trial of these stacks.

    Rounding depends on how many trials a stack has and on their seeds, so that only the same stack gives the same bits.
    The trials of a stack are those that were stored together; where some of them are missing, bits cannot be compared.

    Args:
        chosen: ids of trials.
        tolerance: how far numbers may be apart; 0 = the same bits.
    """
    stacks = [rows for rows in _stacks(trials) if rows.trial_id.isin(chosen).any()]
    by_trial, differences = dict(tuple(curves.groupby("trial_id"))), {}
    is_whole: dict[str, bool] = {}
    for number, rows in enumerate(stacks, 1):
        where = "/".join(str(rows[axis].iloc[0]) for axis in ("dataset", "model", "activation", "optimizer"))
        say(f"Training stack {number} of {len(stacks)} again: {format_count(len(rows), 'trial')} of {where} ...")
        for result in _trained(rows, cells):
            trial_id = result.trial.trial_id
            stored = _stored_result(rows[rows.trial_id == trial_id].iloc[0], by_trial[trial_id])
            differences[trial_id] = _apart(stored, result)
            is_whole[trial_id] = len(rows) == rows.stack_size.iloc[0]
    limits = {name: tolerance if is_whole[name] else max(tolerance, ELSEWHERE) for name in differences}
    problems = [
        f"trial {name}: trained again it is {value:.3g} apart. Expected "
        + (f"at most {limits[name]:g}" if limits[name] else "the same bits")
        for name, value in differences.items()
        if value > limits[name]
    ]
    largest = max(differences.values(), default=0.0)
    return Rerun(len(differences), sum(value == 0 for value in differences.values()), largest, tuple(problems))


def _stacks(trials: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The trials of each stack in its order: what was stored in one go."""
    done = trials[trials.status != Status.FAILED]
    for _, rows in done.groupby(["written_at", "dataset", "model", "activation", "optimizer", "stack_size"]):
        yield rows.sort_values(["seed", "cell_id", "lr", "stage"])


def _trained(rows: pd.DataFrame, cells: Mapping[str, Cell]) -> list[TrialResult]:
    executor = Executor({name: cells[name] for name in rows.cell_id.unique()}, "cpu", None, math.inf)
    pairs = zip(rows.cell_id, rows.lr, rows.seed, rows.stage, strict=True)
    trials = tuple(Trial(cell, float(lr), int(seed), Stage(stage)) for cell, lr, seed, stage in pairs)
    manner = executor.rehearse(executor.member(cells[trials[0].cell_id]))
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
        again = measured(cells[str(stored.cell)], starts, [seed]).iloc[0]
        names = [str(name) for name in again.index if name not in ("cell", "seed", "measures", "config")]
        pairs = {name: np.array([[stored[name]], [again[name]]], float) for name in names}
        by_name = {name: _difference(pair[0], pair[1], is_relative=True) for name, pair in pairs.items()}
        worst = max(by_name, key=lambda name: by_name[name])
        gaps.append(by_name[worst])
        if gaps[-1] > tolerance:
            problems.append(
                f"start of cell {stored.cell}, seed {seed}: bad `{worst}`={stored[worst]:g}. Measured again it is "
                f"{again[worst]:g}"
            )
    return Rerun(len(gaps), sum(gap == 0 for gap in gaps), max(gaps, default=0.0), tuple(problems))
