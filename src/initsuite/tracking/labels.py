"""What a W&B run shows of its trial: name, group, config, summary. Pure, without wandb."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from initsuite.spec import CONTEXT_AXES, SIGNAL, Stage, Status, TrialInfo
from initsuite.wording import last_line

MEASURES = ("steps_to_target", "loss_auc", "diverged_at")
SCORES = ("final_val_score", "best_val_score", "test_score")
"""Columns of a stored row that become `result/...` in the summary where they have a value; the key of a score names its
metric, as in `result/test_accuracy`."""

SIGNALS = {f"signal/{name}": f"signal_{name}" for name in SIGNAL}
"""By key in the summary of a run, the columns of its stored row that `diagnostics=true` fills."""

GROUP_AXES = (*CONTEXT_AXES, "init")
CONFIG_COLUMNS = (*GROUP_AXES, "lr", "seed", "stage", "cell_id", "protocol")
"""Columns of a stored row that are in the config of its run."""

JOB_TYPES = {Stage.TUNE: "tune", Stage.SCORE: "train"}
REPORT_JOB_TYPE = "report"
"""The job type of the run that holds the tables of a report; it is no trial."""

REST = "initsuite"
"""Key in the summary of the remaining columns of a stored row, as JSON, so that the row can be read back from the run.
Versions before this one wrote an object, which W&B spreads over a column for each of its keys."""

REACHED, FORMER_REACHED = "result/reached", "result/reached_target"
"""1 or 0, whether the target was reached; 0 marks `result/steps_to_target` as censored: it is then the budget."""
BUDGET = ("batch_size", "max_steps", "eval_every")
"""Keys of a configuration that each data set has a default for."""


def run_name(info: TrialInfo) -> str:
    """`digits-mlp-2x64-relu-sgd-he-s2`, unique over contexts: with options that are not the default.

    The learning rate stands there for a tuning trial, and where one was chosen for all.
    """
    trial, dataset = info.trial, info.config.get("dataset") or {}
    changed = [f"{key}={info.config[key]}" for key in BUDGET if key in dataset and info.config.get(key) != dataset[key]]
    lr = [f"lr{trial.lr:g}"] if trial.stage == Stage.TUNE or info.protocol == "fixed" else []
    return "-".join([*(info.axes[axis] for axis in GROUP_AXES), *changed, *lr, f"s{trial.seed}"])


def run_group(info: TrialInfo) -> str:
    """`digits/mlp-2x64/relu/sgd/he`: the cell, in words."""
    return "/".join(info.axes[axis] for axis in GROUP_AXES)


def run_config(info: TrialInfo) -> dict[str, Any]:
    """The flat axes that W&B filters and groups by, beside the full tree under `config`.

    Among them are depth (hidden layers), width and norm, where the model has them.
    """
    trial, model = info.trial, info.config.get("model") or {}
    layers = (info.config.get("network") or {}).get("hidden_layers") or model.get("depth")
    shape = {"depth": layers, "width": model.get("widths") or model.get("width"), "norm": model.get("norm")}
    flat = {key: value for key, value in shape.items() if value is not None}
    flat |= {"lr": trial.lr, "seed": trial.seed, "stage": str(trial.stage), "cell_id": trial.cell_id}
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
        summary[REACHED] = int("result/steps_to_target" in summary)
        budget = json.loads(row["config"]).get("max_steps")
        if not summary[REACHED] and budget:  # else the mean would be that of the seeds that reach it
            summary["result/steps_to_target"] = float(budget)
    return {**summary, "result/diverged": row["status"] == Status.DIVERGED}


def run_rest(row: Mapping[str, Any]) -> dict[str, str]:
    """The columns of a stored row with a value that are neither in the config of its run nor among its measures: JSON.

    One of them is the configuration as text: the tree under `config` comes back from W&B with 1 instead of 1.0.
    """
    shown = {"trial_id", *CONFIG_COLUMNS, *MEASURES, *SCORES, *SIGNALS.values()}
    rest = {name: value for name, value in row.items() if name not in shown and _has_value(value)}
    return {REST: json.dumps(rest, default=lambda value: value.item() if hasattr(value, "item") else str(value))}


def rest_of(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `run_rest` wrote, by this version or an earlier one; None if there is nothing of the kind."""
    rest = summary.get(REST)
    if isinstance(rest, str):
        rest = json.loads(rest)
    return dict(rest) if isinstance(rest, Mapping) else None


def is_censored(summary: Mapping[str, Any]) -> bool:
    """Whether `result/steps_to_target` is the budget of a trial that missed the target."""
    return summary.get(REACHED, summary.get(FORMER_REACHED)) == 0


def _has_value(value: Any) -> bool:
    return value is not None and value != "" and not (isinstance(value, float) and not math.isfinite(value))


def _has_target(row: Mapping[str, Any]) -> bool:
    dataset = json.loads(row.get("config") or "{}").get("dataset") or {}
    return (dataset.get("levels") or {}).get("primary") is not None
