"""What a launch would do, before it does it: `dry_run=true` and `initsuite.plan`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from initsuite.config.build import Job
from initsuite.config.settings import Settings
from initsuite.results.columns import TRIALS
from initsuite.results.store import load_results
from initsuite.spec import Stage, Status
from initsuite.train.plan.planner import Group, Planner, groups_of, in_words
from initsuite.train.plan.widths import bytes_a_trial
from initsuite.train.task import Stack
from initsuite.train.trials import Tuned, grids_of, scoring_pairs, tuning_pairs
from initsuite.wording import format_duration, last_line, plural

COLUMNS = [
    *("dataset", "model", "activation", "optimizer", "stage"),
    *("cells", "trials", "done", "stacks", "width", "workers", "threads", "expected_s", "memory_mb", "why", "illegal"),
]
HEADINGS = ["workload", "stage", "cells", "trials", "done", "stacks", "processes", "time", "memory"]
MEASURING_S = 5.0
"""What a dry run may spend on timing workloads; the others are estimated from those that were timed."""
MAX_ROWS = 40


def plan_table(
    jobs: Sequence[Job], settings: Settings, planner: Planner, illegal: Sequence[tuple[str, str]] = ()
) -> pd.DataFrame:
    """What a launch would do, one row a workload and stage, and one row an illegal combination.

    Args:
        jobs: of the launch.
        illegal: the overrides of a combination that cannot be trained, and the reason.

    Returns:
        The columns of `COLUMNS`: labels of the workload; the stage; how many cells and trials it has, and how many of
        these are done; the stacks of the others, and the width, processes and threads they are trained with; seconds
        expected for them, and memory for their stacks, in 10^6 bytes; why; and the reason of an illegal combination.
        The learning rates that an extension of the grid may add are not in it.
    """
    trials = _stored(settings)
    done = set(trials.trial_id[trials.status != Status.FAILED])
    tuned = Tuned(trials)
    stages = {
        Stage.TUNE: list(tuning_pairs(jobs, grids_of(jobs, tuned))),
        Stage.SCORE: [pair for job in jobs for pair in scoring_pairs(job, tuned)],
    }
    known = planner.plans.read()
    begin = time.monotonic()
    rows = []
    for stage, pairs in stages.items():
        for group in groups_of({trial.trial_id: (cell, trial) for cell, trial in pairs}.values()):
            in_time = time.monotonic() - begin < MEASURING_S
            rows.append({"stage": str(stage), **_row(group, done, planner, known, in_time)})
    _estimate(rows)
    rows += [{"model": overrides, "illegal": reason, "trials": 0, "done": 0} for overrides, reason in illegal]
    return pd.DataFrame(rows, columns=[*COLUMNS, "work"]).drop(columns="work")


def print_plan(plan: pd.DataFrame, settings: Settings, console: Console | None = None) -> None:
    """Show a plan on the terminal."""
    console = console or Console()
    legal = plan[plan.illegal.isna()]
    table = Table(
        box=None, pad_edge=False, title="The plan; nothing is trained", title_style="bold", title_justify="left"
    )
    for name in HEADINGS:
        table.add_column(name, justify="left" if name in ("workload", "stage") else "right", overflow="fold")
    for row in legal.head(MAX_ROWS).to_dict("records"):
        table.add_row(*map(Text, _cells_of(row)))
    console.print(table)
    if len(legal) > MAX_ROWS:
        console.print(f"... and {len(legal) - MAX_ROWS} more rows: initsuite.plan(...) returns all of them")
    console.print(Text(_summary(legal, settings)), soft_wrap=True)
    for row in plan[plan.illegal.notna()].to_dict("records"):
        console.print(Text(f"illegal: {row['model']}: {row['illegal']}"), soft_wrap=True)


def _stored(settings: Settings) -> pd.DataFrame:
    """The stored trials, without making a store where there is none."""
    if (settings.results_dir / "trials").is_dir():
        return load_results(settings.results_dir).trials
    return pd.DataFrame(columns=TRIALS.names)


def _row(
    group: Group, done: set[str], planner: Planner, known: tuple[list[Stack], dict[str, Any]], is_timed: bool
) -> dict[str, Any]:
    missing = tuple(pair for pair in group.pairs if pair[1].trial_id not in done)
    row = {
        **{axis: group.cell.axes[axis] for axis in ("dataset", "model", "activation", "optimizer")},
        "cells": len(group.cells),
        "trials": len(group.pairs),
        "done": len(group.pairs) - len(missing),
        **dict.fromkeys(("stacks", "width", "workers", "threads"), 0),
        "expected_s": 0.0,
        "memory_mb": 0.0,
        "why": "all of it is stored",
    }
    if not missing:
        return row
    error = planner.broken([group]).get(group.key)
    if error:
        return {**row, "illegal": last_line(error)}
    draft = planner.draft(Group(missing), *known, is_timed=is_timed)
    stacks = [*draft.kept, *draft.new]
    width, workers = (max(sizes) for sizes in zip(*((len(s.trial_ids), s.workers) for s in stacks), strict=True))
    memory = bytes_a_trial(group.cell.workload)
    return {
        **row,
        "stacks": len(stacks),
        "width": width,
        "workers": workers,
        "threads": max(stack.threads for stack in stacks),
        "expected_s": draft.seconds,
        "memory_mb": memory * width * min(workers, len(stacks)) / 1e6,
        "why": "; ".join(in_words(draft)),
        "work": memory * len(missing) * group.num_steps,
    }


def _estimate(rows: list[dict[str, Any]]) -> None:
    """Fill in the time of what was not timed: in proportion to memory x steps, which grow with the size of a model."""
    timed = [row for row in rows if row["expected_s"] > 0]
    if not timed:
        return
    pace = sum(row["expected_s"] for row in timed) / sum(row["work"] for row in timed)
    for row in rows:
        if math.isnan(row["expected_s"]):
            row["expected_s"] = pace * row["work"]
            row["why"] = "estimated from the workloads that were measured"


def _cells_of(row: Mapping[Any, Any]) -> list[str]:
    workload = "/".join(row[axis] for axis in ("dataset", "model", "activation", "optimizer"))
    counts = [f"{int(row[name]):,}" for name in ("cells", "trials", "done")]
    stacks = f"{int(row['stacks'])} of {int(row['width'])}"
    processes = f"{int(row['workers'])} of {int(row['threads'])}"
    return [workload, row["stage"], *counts, stacks, processes, _time(row["expected_s"]), f"{row['memory_mb']:,.0f} MB"]


def _summary(legal: pd.DataFrame, settings: Settings) -> str:
    cells = int(legal[legal.stage == Stage.SCORE].cells.sum())
    trials, done, stacks = (int(legal[name].sum()) for name in ("trials", "done", "stacks"))
    return (
        f"{cells:,} {plural(cells, 'cell')}, {trials:,} trials, {done:,} of them done; {trials - done:,} to train in "
        f"{stacks:,} stacks: {_time(legal.expected_s.sum(skipna=False))} on {settings.device}, up to "
        f"{legal.memory_mb.max():,.0f} MB for stacks. An extended learning-rate grid adds to it."
    )


def _time(seconds: float) -> str:
    return "too little to time" if math.isnan(seconds) else format_duration(seconds)
