"""What a W&B run shows of its trial: name, group, config, summary. Pure, without wandb."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from initsuite.spec import Stage, Status, TrialInfo

MEASURES = ("steps_to_target", "epochs_to_target", "loss_auc")
SCORES = ("final_val_score", "best_val_score", "test_score")
"""Columns of a stored row that become `result/...` in the summary where they have a value; the key of a score says its
metric, as in `result/test_accuracy`."""

GROUP_AXES = ("dataset", "model", "activation", "optimizer", "init")


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
    return {
        **info.axes,
        "lr": trial.lr,
        "seed": trial.seed,
        "stage": str(trial.stage),
        "cell_id": trial.cell_id,
        "protocol": info.protocol,
        "config": dict(info.config),
    }


def curve_keys(info: TrialInfo) -> dict[str, str]:
    """By key in W&B, the field of an `Evaluation`: `val/accuracy`, `val/loss`, `train/loss`."""
    metric = info.config["dataset"]["metric"]
    return {f"val/{metric}": "val_score", "val/loss": "val_loss", "train/loss": "train_loss"}


def run_summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """The measures of a stored row that have a value; for a failed trial its error instead of a verdict."""
    values = {f"result/{name}": row.get(name) for name in MEASURES}
    values |= {f"result/{name.removesuffix('score')}{row['metric']}": row.get(name) for name in SCORES}
    summary: dict[str, Any] = {
        key: value for key, value in values.items() if value is not None and math.isfinite(value)
    }
    if row["status"] == Status.FAILED:
        return {**summary, "result/error": (str(row.get("error") or "").strip().splitlines() or [""])[-1]}
    return {**summary, "result/diverged": row["status"] == Status.DIVERGED}
