import math

import numpy as np
import pytest

from initsuite.protocol.measures import loss_auc, measure, steps_to
from initsuite.protocol.yardstick import Yardstick
from initsuite.spec import Curve, Stage, Status, Trial, TrialResult

NAN = math.nan


def curve(accuracy: list[float], loss: list[float]) -> Curve:
    step = 10 * np.arange(1, len(accuracy) + 1)
    return Curve(step, np.array(loss), np.array(loss), np.array(accuracy))


def test_steps_to_is_the_first_evaluated_step_at_the_level() -> None:
    rising = curve([0.1, 0.8, 0.7, 0.9], [1, 1, 1, 1])
    yardstick = Yardstick("accuracy", 0.1, {"easy": 0.8, "primary": 0.85, "hard": 0.95})
    assert steps_to(rising, yardstick, "easy") == 20
    assert steps_to(rising, yardstick, "primary") == 40
    assert math.isnan(steps_to(rising, yardstick, "hard"))
    assert math.isnan(steps_to(rising, Yardstick("accuracy", 0.1), "easy"))
    assert math.isnan(steps_to(curve([NAN, NAN], [NAN, NAN]), yardstick, "easy"))


def test_where_lower_is_better_the_curve_falls_to_the_level() -> None:
    falling = curve([0.9, 0.5, 0.6, 0.2], [1, 1, 1, 1])
    yardstick = Yardstick("mse", 1.0, {"easy": 0.5, "primary": 0.3, "hard": 0.1})
    assert steps_to(falling, yardstick, "easy") == 20
    assert steps_to(falling, yardstick, "primary") == 40
    assert math.isnan(steps_to(falling, yardstick, "hard"))
    result = TrialResult(Trial("cell", 0.1, 0, Stage.SCORE), Status.DONE, falling, NAN, None, 0.0, 0.0, 1, "cpu")
    measured = measure(result, yardstick, chance_loss=1.0, steps_per_epoch=5)
    assert (measured["final_val_score"], measured["best_val_score"]) == (0.2, 0.2)


def test_loss_auc_of_a_loss_linear_in_log_step_is_its_mean() -> None:
    """loss = log(step): the integral over log step is exact for the trapezoid rule."""
    steps = 10 * np.arange(1, 6)
    linear = curve([0.0] * 5, list(np.log(steps)))
    assert loss_auc(linear, chance_loss=9.0) == pytest.approx((math.log(10) + math.log(50)) / 2)


def test_loss_auc_counts_chance_after_divergence() -> None:
    """By hand, steps 10, 20, 30: losses 1, then chance 2: (1.5 log 2 + 2 log 1.5) / log 3."""
    expected = (1.5 * math.log(2) + 2 * math.log(1.5)) / math.log(3)
    assert loss_auc(curve([0.5, NAN, NAN], [1.0, NAN, NAN]), chance_loss=2.0) == pytest.approx(expected)
    assert loss_auc(curve([0.5], [1.25]), chance_loss=2.0) == 1.25


def test_measure_of_a_diverged_trial() -> None:
    trial = Trial("cell", 0.1, 0, Stage.SCORE)
    diverged = curve([0.6, NAN], [1.0, NAN])
    result = TrialResult(trial, Status.DIVERGED, diverged, NAN, 15, 0.0, 0.0, 1, "cpu")
    yardstick = Yardstick("accuracy", 0.1, {"easy": 0.5, "primary": 0.7, "hard": None})
    measured = measure(result, yardstick, chance_loss=2.3, steps_per_epoch=5)
    assert (measured["steps_to_easy"], measured["epochs_to_easy"]) == (10, 2)
    assert math.isnan(measured["steps_to_target"])
    assert math.isnan(measured["steps_to_hard"])
    assert math.isnan(measured["final_val_score"])
    assert measured["best_val_score"] == 0.6
