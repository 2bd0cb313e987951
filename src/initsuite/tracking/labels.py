"""What a W&B run shows of its trial: name, group, config, summary. Pure, without wandb."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from initsuite.spec import SIGNAL, Stage, Status, TrialInfo
from initsuite.wording import last_line

MEASURES = ("steps_to_target", "epochs_to_target", "loss_auc", "diverged_at")
SCORES = ("final_val_score", "best_val_score", "test_score")
"""Columns of a stored row that become `result/...` in the summary where they have a value; the key of a score names its
metric, as in `result/test_accuracy`."""

SIGNALS = {f"signal/{name}": f"signal_{name}" for name in SIGNAL}
"""By key in the summary of a run, the columns of its stored row that `diagnostics=true` fills."""

GROUP_AXES = ("dataset", "model", "activation", "optimizer", "init")
CONFIG_COLUMNS = (*GROUP_AXES, "lr", "seed", "stage", "cell_id", "protocol")
"""Columns of a stored row that are in the config of its run."""

JOB_TYPES = {Stage.TUNE: "tune", Stage.SCORE: "train"}
REPORT_JOB_TYPE = "report"
"""The job type of the run that holds the tables of a report; it is no trial."""

REST = "initsuite"
"""Key in the summary of the remaining columns of a stored row, so that the row can be read back from the run."""


def run_name(info: TrialInfo) -> str:
    """`he-s2` for a scoring trial, `he-lr0.1-s10000` for a tuning trial."""
    trial = info.trial
    lr = f"-lr{trial.lr:g}" if trial.stage == Stage.TUNE else ""
    return f"{info.axes['init']}{lr}-s{trial.seed}"


def run_group(info: TrialInfo) -> str:
    """`digits/mlp-2x64/relu/sgd/he`: the cell, in words."""
    return "/".join(info.axes[axis] for axis in GROUP_AXES)


def run_label(info: TrialInfo) -> str:
    """`digits/mlp-2x64/relu/sgd/he/he-s2`: a run among all runs, in words."""
    return f"{run_group(info)}/{run_name(info)}"


def run_config(info: TrialInfo) -> dict[str, Any]:
    """The flat axes that W&B filters and groups by, beside the full tree under `config`."""
    trial = info.trial
    flat = {"lr": trial.lr, "seed": trial.seed, "stage": str(trial.stage), "cell_id": trial.cell_id}
    return {**info.axes, **flat, "protocol": info.protocol, "config": dict(info.config)}


def curve_keys(metric: str) -> dict[str, str]:
    """By key in W&B (`val/accuracy`, `val/loss`, `train/loss`), the field of an `Evaluation`."""
    return {f"val/{metric}": "val_score", "val/loss": "val_loss", "train/loss": "train_loss"}


def summary_keys(metric: str) -> dict[str, str]:
    """By key in the summary of a run, the column of its stored row."""
    scores = {f"result/{name.removesuffix('score')}{metric}": name for name in SCORES}
    return {**{f"result/{name}": name for name in MEASURES}, **scores, **SIGNALS}


def run_summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """The measures of a stored row that have a value; for a failed trial its error instead of a verdict."""
    keys = summary_keys(row["metric"]).items()
    summary: dict[str, Any] = {key: row[name] for key, name in keys if _has_value(row.get(name))}
    if row["status"] == Status.FAILED:
        return {**summary, "result/error": last_line(row.get("error"))}
    if _has_target(row):  # a number, whose mean over the seeds of a cell is the success rate
        summary["result/reached_target"] = int("result/steps_to_target" in summary)
    return {**summary, "result/diverged": row["status"] == Status.DIVERGED}


def run_rest(row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The columns of a stored row with a value that are neither in the config of its run nor among its measures.

    One of them is the configuration as text: the tree under `config` comes back from W&B with 1 instead of 1.0.
    """
    shown = {"trial_id", *CONFIG_COLUMNS, *MEASURES, *SCORES, *SIGNALS.values()}
    return {REST: {name: value for name, value in row.items() if name not in shown and _has_value(value)}}


def _has_value(value: Any) -> bool:
    return value is not None and value != "" and not (isinstance(value, float) and not math.isfinite(value))


def _has_target(row: Mapping[str, Any]) -> bool:
    dataset = json.loads(row.get("config") or "{}").get("dataset") or {}
    return (dataset.get("levels") or {}).get("primary") is not None
