"""From W&B runs back to trials: the rows and curves that a results store would hold, read from offline files."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from initsuite.errors import StoreError
from initsuite.spec import Curve
from initsuite.tracking.labels import CONFIG_COLUMNS, JOB_TYPES, curve_keys, is_censored, rest_of, summary_keys

AT_ONCE = 4
"""Offline files read at once, each by a process of its own that takes 30 ms."""


@dataclass(frozen=True)
class ReadTrial:
    """A trial from its W&B run: its row of the store's `trials`; NaN in its curve where W&B has no finite number."""

    row: Mapping[str, Any]
    curve: Curve

    @property
    def trial_id(self) -> str:
        return self.row["trial_id"]


@dataclass
class RunContent:
    """What W&B has of a run; that of a trial has the trial_id as its `run_id`, and train or tune as its `job_type`."""

    run_id: str = ""
    job_type: str = ""
    started_at: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[Mapping[str, Any]] = field(default_factory=list)


def is_trial(content: RunContent) -> bool:
    """Whether it is the run of a trial that ended, written by a version whose runs can be read back."""
    return content.job_type in JOB_TYPES.values() and rest_of(content.summary) is not None


def as_trial(content: RunContent) -> ReadTrial:
    """A trial from its run, for which `is_trial` holds."""
    rest = rest_of(content.summary) or {}
    row = {"trial_id": content.run_id, "error": "", "experiment": "", "written_at": content.started_at}
    row |= {name: content.config.get(name) for name in CONFIG_COLUMNS}
    row |= {name: content.summary.get(key) for key, name in summary_keys(rest["metric"]).items()}
    if is_censored(content.summary):
        row["steps_to_target"] = None
    return ReadTrial({**row, **rest}, _curve(content.history, curve_keys(rest["metric"])))


def offline_files(folder: Path) -> list[Path]:
    """The run files in a folder that W&B wrote, or in its `wandb/`."""
    files = [*folder.glob("*run-*/run-*.wandb"), *folder.glob("wandb/*run-*/run-*.wandb")]
    return sorted(file for file in files if not file.parent.is_symlink())  # `latest-run` is one


def read_offline(files: Sequence[Path]) -> Iterator[tuple[Path, RunContent | None]]:
    """Read files of runs through `wandb leet inspect --json`.

    Yields:
        Each file with its run; None where it cannot be read.

    Raises:
        StoreError: W&B's program is missing.
    """
    from wandb.util import get_core_path

    try:
        # What `wandb leet` starts: the command itself takes 0.7 s per file to import W&B.
        program = get_core_path()
    except Exception as error:
        raise StoreError(
            f"load_results: cannot read offline runs: W&B's program `wandb-core`={str(error)!r} is missing. "
            "Expected a whole installation of wandb. Install it again: pip install --force-reinstall wandb"
        ) from error
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from zip(files, pool.map(lambda file: _read_file(program, file), files), strict=True)


def _read_file(program: str, file: Path) -> RunContent | None:
    options = ["--no-observability", "--json", "--run-file", str(file), str(file.parent.parent)]
    done = subprocess.run([program, "leet", "inspect", *options], capture_output=True, text=True)
    if done.returncode:
        return None
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        content = content_of(json.loads(line) for line in done.stdout.splitlines())
        return content if content.run_id else None


def content_of(records: Iterable[Mapping[str, Any]]) -> RunContent:
    """A run from the records of its file, as `wandb leet inspect --json` prints them."""
    content = RunContent()
    for record in records:
        kind, body = record["type"], record.get(record["type"]) or {}
        if kind == "run":
            content.run_id, content.job_type = body["run_id"], body.get("job_type", "")
            content.started_at = body.get("start_time", "")
            content.config |= (body.get("config") or {}).get("update") or {}
        elif kind == "config":
            content.config |= body.get("update") or {}
        elif kind == "summary":
            content.summary |= body.get("update") or {}
        elif kind == "history":
            content.history.append(body["item"])
    return content


def _curve(history: Iterable[Mapping[str, Any]], keys: Mapping[str, str]) -> Curve:
    """The evaluations among the items of a history; of a step that comes twice, the first counts."""
    evaluations: dict[int, Mapping[str, Any]] = {}
    for item in history:
        if item.get("step") is not None:
            evaluations.setdefault(int(item["step"]), item)
    steps = sorted(evaluations)
    values = {name: np.array([_number(evaluations[step].get(key)) for step in steps]) for key, name in keys.items()}
    return Curve(step=np.array(steps, dtype=np.int64), **values)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
