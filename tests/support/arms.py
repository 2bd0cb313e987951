"""Arms and contexts made by hand, for tests of what compares them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from initsuite.protocol.yardstick import Yardstick
from initsuite.report.evidence.context import TUNED, Arm, Context

LEVELS = {"easy": 0.7, "primary": 0.84, "hard": 0.9}
MISS = math.nan


def arm(
    name: str,
    steps: Sequence[float],
    accuracy: float | Sequence[float] = 0.85,
    loss_auc: float = 0.5,
    scores: Mapping[float, float] | None = None,
) -> Arm:
    """An arm whose seed j reached the target at steps[j], with this final accuracy, or these."""
    trials = pd.DataFrame(
        {
            "trial_id": [f"{name}{seed}" for seed in range(len(steps))],
            "status": "done",
            "steps_to_target": list(steps),
            "steps_to_easy": list(steps),
            "loss_auc": loss_auc,
            "final_val_score": accuracy,
            "test_score": accuracy,
        }
    )
    return Arm(name, cell_id=name, lr=0.1, lr_scores=scores or {}, trials=trials, num_failed=0)


def context(*arms: Arm, **changes: Any) -> Context:
    facts: dict[str, Any] = {
        "context_id": "c",
        "axes": {"dataset": "digits", "model": "mlp-2x64", "activation": "relu", "optimizer": "sgd"},
        "title": "digits / mlp-2x64 / relu / sgd",
        "lr_rule": TUNED,
        "lr_grid": (0.01, 0.1, 1.0),
        "yardstick": Yardstick("accuracy", 0.1, LEVELS),
        "loss_unit": "nats",
        "max_steps": 600,
        "eval_every": 20,
        "config": {"model": {"name": "mlp", "depth": 2}},
    }
    return Context(arms=arms, **{**facts, **changes})
