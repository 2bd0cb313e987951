"""What is read off a stored curve: speed, area, score. Nothing here decides what is trained, so no id depends on it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from initsuite.protocol.yardstick import Yardstick
from initsuite.spec import Curve, TrialResult


def steps_to(curve: Curve, yardstick: Yardstick, level: str) -> float:
    """First evaluated step with a validation score at the level; NaN if there is none (censored) or no such level."""
    reached = np.flatnonzero(yardstick.is_at(curve.val_score, yardstick.levels.get(level)))
    return float(curve.step[reached[0]]) if len(reached) else math.nan


def loss_auc(curve: Curve, chance_loss: float) -> float:
    """Mean validation loss over log step, from the first evaluation to the last, in its unit. Lower is better.

    The trapezoid rule on log step, divided by the width; from divergence on, the loss counts as `chance_loss`. With a
    single evaluation, its loss.
    """
    loss = np.where(np.isfinite(curve.val_loss), curve.val_loss, chance_loss)
    if len(loss) == 1:
        return float(loss[0])
    log_step = np.log(curve.step)
    return float(np.trapezoid(loss, log_step) / (log_step[-1] - log_step[0]))


def measure(
    result: TrialResult, yardstick: Yardstick, *, chance_loss: float, steps_per_epoch: float
) -> Mapping[str, float]:
    """All measures of a trial, by their column in the store; NaN = missing.

    A diverged trial has no final score; its best score is from before the divergence.
    """
    curve = result.curve
    if len(curve.step) == 0:
        return {}
    levels = {"easy": "easy", "target": "primary", "hard": "hard"}
    steps = {name: steps_to(curve, yardstick, level) for name, level in levels.items()}
    score = yardstick.oriented(curve.val_score)
    return {
        **{f"steps_to_{name}": step for name, step in steps.items()},
        **{f"epochs_to_{name}": step / steps_per_epoch for name, step in steps.items()},
        "loss_auc": loss_auc(curve, chance_loss),
        "final_val_score": float(curve.val_score[-1]),
        "best_val_score": yardstick.oriented(float(np.nanmax(score))) if np.isfinite(score).any() else math.nan,
    }
