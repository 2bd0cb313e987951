"""What a launch would do, before it does it: `dry_run=true` and `initsuite.plan`."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from initsuite.config.build import AnyJob
from initsuite.config.settings import Settings
from initsuite.results.columns import TRIALS
from initsuite.results.store import load_results
from initsuite.spec import CONTEXT_AXES, Stage, Status
from initsuite.train.plan.composition import Group, groups_of
from initsuite.train.plan.placement import Place
from initsuite.train.plan.planner import PlannedGroup, Planner
from initsuite.train.trials import Tuned, grids_of, scoring_pairs, tuning_pairs
from initsuite.wording import format_duration, format_first, last_line, plural

COLUMNS = [
    *CONTEXT_AXES, "stage", "cells", "trials", "done",
    "stacks", "width", "workers", "expected_s", "memory_mb", "why", "kept", "unstacked", "illegal",
]  # fmt: skip
HEADINGS = ["workload", "stage", "cells", "trials", "done", "stacks", "at a time", "time", "memory"]
MAX_ROWS = 40


class Plan(pd.DataFrame):
    """A plan that a notebook shows as the terminal does; what is cut out of it is a plain table."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def _repr_html_(self) -> str:
        if not {*COLUMNS} <= set(self.columns) or "device" not in self.attrs:
            return super()._repr_html_()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
        legal = self[self.illegal.isna()]
        shown = pd.DataFrame([_cells_of(row) for row in legal.to_dict("records")], columns=HEADINGS)
        illegal = [f"{row['model']}: {row['illegal']}" for row in self[self.illegal.notna()].to_dict("records")]
        lines = "".join(f"<li>illegal: {html.escape(line)}</li>" for line in illegal)
        summary = html.escape(_summary(legal, self.attrs["device"]))
        return f"{shown.to_html(index=False, border=0)}<p>{summary}</p>{f'<ul>{lines}</ul>' if lines else ''}"


def plan_table(
    jobs: Sequence[AnyJob], settings: Settings, planner: Planner, illegal: Sequence[tuple[str, str]] = ()
) -> pd.DataFrame:
    """What a launch would do, one row per workload and stage, and one row per illegal combination.

    Args:
        illegal: the overrides of each combination that cannot be trained, and the reason.

    Returns:
        The columns of `COLUMNS`: labels of the workload; the stage; how many cells and trials it has, and how many of
        these are done; the stacks of the others, their width, and how many are trained at the same time; seconds
        expected for them, and memory for their stacks, in 10^6 bytes; why; the tensors of the model that no initializer
        draws; why each trial is trained by itself, where `torch.vmap` cannot map the model; and why a combination is
        illegal. `attrs["expected_s"]` has the seconds of the launch: less than the sum, as workloads are trained side
        by side.
        Learning rates that an extension of the grid may add are not included.
    """
    is_there = (settings.results_dir / "trials").is_dir()  # a plan creates no store
    trials = load_results(settings.results_dir).trials if is_there else pd.DataFrame(columns=TRIALS.names)
    done = set(trials.trial_id[trials.status != Status.FAILED])
    tuned = Tuned(trials)
    stages = {
        Stage.TUNE: list(tuning_pairs(jobs, grids_of(jobs, tuned))),
        Stage.SCORE: [pair for job in jobs for pair in scoring_pairs(job, tuned)],
    }
    groups = [
        (stage, group)
        for stage, wanted in stages.items()
        for group in groups_of((job.cell, trial) for job, trial in wanted)
    ]
    missing = [group.without(done) for _, group in groups]
    planned = planner.plan(missing, is_stored=False)
    place = planner.place(planned)
    rows = [_row(*group, left, one, place) for group, left, one in zip(groups, missing, planned, strict=True)]
    _estimate(rows)
    total_s = sum(_stage_s([row for row in rows if row["stage"] == str(stage)], place) for stage in stages)
    rows += [{"model": overrides, "illegal": reason, "trials": 0, "done": 0} for overrides, reason in illegal]
    plan = Plan(rows, columns=COLUMNS)
    plan.attrs |= {"expected_s": total_s, "device": settings.device}
    return plan


def print_plan(plan: pd.DataFrame, settings: Settings, console: Console | None = None) -> None:
    """Show a plan on the terminal."""
    console = console or Console()
    legal = plan[plan.illegal.isna()]
    title = Text("The plan; nothing is trained", style="bold")
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for name in HEADINGS:
        table.add_column(name, justify="left" if name in ("workload", "stage") else "right", overflow="fold")
    for row in legal.head(MAX_ROWS).to_dict("records"):
        table.add_row(*map(Text, _cells_of(row)))
    console.print(table)
    if len(legal) > MAX_ROWS:
        console.print(f"... and {len(legal) - MAX_ROWS} more rows: initsuite.plan(...) returns all of them")
    console.print(Text(_summary(legal, settings.device)), soft_wrap=True)
    for line in kept_lines((row["model"], row["kept"].split(", ")) for row in legal.to_dict("records") if row["kept"]):
        console.print(Text(line), soft_wrap=True)
    for model, line in dict.fromkeys(zip(legal.model, legal.unstacked, strict=True)):
        if line:
            console.print(Text(f"unstacked: {model}: {line}"), soft_wrap=True)
    for row in plan[plan.illegal.notna()].to_dict("records"):
        console.print(Text(f"illegal: {row['model']}: {row['illegal']}"), soft_wrap=True)


def kept_lines(models: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """What to say of the tensors that each model, by its label, gives their values itself."""
    return list(
        dict.fromkeys(
            f"kept: {model}: {format_first(names, 4)}: the model's own values; no initializer draws them"
            for model, names in models
            if names
        )
    )


def _row(stage: Stage, group: Group, missing: Group, planned: PlannedGroup, place: Place) -> dict[str, Any]:
    workers = min(place.workers, len(planned.stacks))
    return {
        "stage": str(stage),
        **{axis: group.cell.axes[axis] for axis in CONTEXT_AXES},
        "cells": len(group.cells),
        "trials": len(group.pairs),
        "done": len(group.pairs) - len(missing.pairs),
        "stacks": len(planned.stacks),
        "width": planned.width,
        "workers": workers,
        "core_s": planned.seconds,
        "memory_mb": planned.bytes_each * planned.width * workers / 1e6,
        "why": "; ".join(planned.lines()) or "all of it is stored",
        "kept": ", ".join(group.cell.workload.kept),
        "unstacked": planned.manner.line(),
        "illegal": last_line(planned.error) or math.nan,
        "work": planned.bytes_each * len(missing.pairs) * group.cell.workload.max_steps,
    }


def _estimate(rows: list[dict[str, Any]]) -> None:
    """Fill in the time of each row, of what was not timed in proportion to memory x steps, which grow with a model."""
    timed = [row for row in rows if row["core_s"] > 0]
    pace = sum(row["core_s"] for row in timed) / sum(row["work"] for row in timed) if timed else math.nan
    for row in rows:
        if timed and math.isnan(row["core_s"]):
            row["core_s"] = pace * row["work"]
            row["why"] = "estimated from the workloads that were measured"
        row["expected_s"] = row["core_s"] / max(1, row["workers"])


def _stage_s(rows: Sequence[Mapping[str, Any]], place: Place) -> float:
    """Seconds of the workloads of a stage, trained side by side: no less than those of the longest."""
    together_s = sum(row["core_s"] for row in rows) / place.workers
    return max([together_s, *(row["expected_s"] for row in rows)])


def _cells_of(row: Mapping[Any, Any]) -> list[str]:
    workload = "/".join(row[axis] for axis in CONTEXT_AXES)
    counts = [f"{int(row[name]):,}" for name in ("cells", "trials", "done")]
    stacks = f"{int(row['stacks'])} of {int(row['width'])}"
    size = f"{row['memory_mb']:,.0f} MB"
    return [workload, row["stage"], *counts, stacks, f"{int(row['workers'])}", _time(row["expected_s"]), size]


def _summary(legal: pd.DataFrame, device: str) -> str:
    cells = int(legal[legal.stage == Stage.SCORE].cells.sum())
    trials, done, stacks = (int(legal[name].sum()) for name in ("trials", "done", "stacks"))
    time = _time(legal.attrs["expected_s"])
    return (
        f"{cells:,} {plural(cells, 'cell')}, {trials:,} {plural(trials, 'trial')}, {done:,} of them done; "
        f"{trials - done:,} to train in {stacks:,} {plural(stacks, 'stack')}: {time} on {device}, up to "
        f"{legal.memory_mb.max():,.0f} MB for stacks. An extended learning-rate grid adds to this."
    )


def _time(seconds: float) -> str:
    return "too little to time" if math.isnan(seconds) else format_duration(seconds)
