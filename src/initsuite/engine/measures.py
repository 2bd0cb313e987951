"""What is read off a curve: speed, area, accuracy. Pure functions, so that no id depends on a target."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from initsuite.engine.workload import Yardstick
from initsuite.spec import LEVEL_TOLERANCE, Curve, TrialResult


def steps_to(curve: Curve, level: float | None) -> float:
    """First evaluated step at which the validation accuracy is at the level; NaN if it never is (censored)."""
    if level is None:
        return math.nan
    reached = np.flatnonzero(curve.val_accuracy >= level - LEVEL_TOLERANCE)
    return float(curve.step[reached[0]]) if len(reached) else math.nan


def loss_auc(curve: Curve, chance_loss: float) -> float:
    """Mean validation loss over log step, from the first evaluation to the last, nats. Lower is better.

    The trapezoid rule on log step, divided by the width; a diverged trial counts `chance_loss` from there on. With one
    evaluation it is that loss.
    """
    loss = np.where(np.isfinite(curve.val_loss), curve.val_loss, chance_loss)
    if len(loss) == 1:
        return float(loss[0])
    log_step = np.log(curve.step)
    return float(np.trapezoid(loss, log_step) / (log_step[-1] - log_step[0]))


def measure(result: TrialResult, yardstick: Yardstick, steps_per_epoch: float) -> Mapping[str, float]:
    """All measures of a trial, by their column in the store; NaN = missing.

    A diverged trial has no final accuracy; its best one is from before the divergence.
    """
    curve = result.curve
    if len(curve.step) == 0:
        return {}
    steps = {
        "easy": steps_to(curve, yardstick.levels.get("easy")),
        "target": steps_to(curve, yardstick.levels.get("primary")),
        "hard": steps_to(curve, yardstick.levels.get("hard")),
    }
    accuracy = curve.val_accuracy
    return {
        **{f"steps_to_{name}": step for name, step in steps.items()},
        **{f"epochs_to_{name}": step / steps_per_epoch for name, step in steps.items()},
        "loss_auc": loss_auc(curve, yardstick.chance_loss),
        "final_val_accuracy": float(accuracy[-1]),
        "best_val_accuracy": float(np.nanmax(accuracy)) if np.isfinite(accuracy).any() else math.nan,
    }
