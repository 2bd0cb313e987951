"""A results store of three arms in one context, as the training program would have written it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from initsuite.results.columns import TRIALS
from initsuite.results.store import Store
from initsuite.spec import Curve, Stage, Status, Trial

STEPS = (0, 20, 40)
REACHED_AT = {"he": 20.0, "torch_default": 40.0, "zero": None}
"""By initializer, the step at which its validation accuracy reaches the target."""

DATASET = {
    "metric": "accuracy",
    "direction": "max",
    "loss": "cross_entropy",
    "chance": 0.1,
    "levels": {"easy": 0.5, "primary": 0.7, "hard": 0.9},
}
CONFIG = {"max_steps": 40, "eval_every": 20, "dataset": DATASET, "optimizer": {"lr_grid": [0.1, 1.0]}}


def stored_row(trial: Trial, init: str, **changes: Any) -> dict[str, Any]:
    score = 0.1 if REACHED_AT[init] is None else 0.8
    known = {
        "trial_id": trial.trial_id,
        "cell_id": trial.cell_id,
        "context_id": "c0",
        "dataset": "digits",
        "model": "mlp-2x64",
        "activation": "relu",
        "init": init,
        "optimizer": "sgd",
        "lr": trial.lr,
        **{
            "seed": trial.seed,
            "stage": str(trial.stage),
            "status": str(Status.DONE),
            "error": "",
            "metric": "accuracy",
        },
        "steps_to_target": REACHED_AT[init],
        "loss_auc": 1 / 3,
        "final_val_score": score,
        "test_score": score,
        "wall_s": 0.25,
        "stack_size": 6,
        "device": "cpu",
        "protocol": "smoke",
        "protocol_version": 1,
        "experiment": "",
        "torch_version": "2.13.0",
        "commit": "c0ffee",
        "dirty": False,
        "config": json.dumps({**CONFIG, "init": {"name": init, "gain": 1.0}}, sort_keys=True),
    }
    return {**dict.fromkeys(TRIALS.names), **known, **changes}


def stored_curve(init: str) -> Curve:
    score = np.where(np.array(STEPS) >= (REACHED_AT[init] or np.inf), 0.8, 0.1)
    losses = np.array([2.3, 1 / 3, 0.1])
    return Curve(np.array(STEPS), np.where(np.array(STEPS) == 0, np.nan, losses), losses, score)


def make_store(folder: Path, seeds: int = 6, **changes: Any) -> Path:
    """One tuning trial and `seeds` scoring trials an arm; the last one of zero diverges. All rows have `changes`."""
    for init in REACHED_AT:
        trials = [Trial(f"cell-{init}", 0.1, 10_000, Stage.TUNE)]
        trials += [Trial(f"cell-{init}", 0.1, seed, Stage.SCORE) for seed in range(seeds)]
        rows = [stored_row(trial, init, **changes) for trial in trials]
        if init == "zero":
            rows[-1] |= {"status": str(Status.DIVERGED), "diverged_at": 20.0, "test_score": None}
        Store(folder).append(rows, {trial.trial_id: stored_curve(init) for trial in trials})
    return folder
