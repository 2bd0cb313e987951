"""Stores in which norm, optimizer and initializer are crossed, with a planted worth of the choice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from initsuite.results.store import Store
from support.planter import GRID, MISS, Planter

SEEDS = 10
NOISE = 0.001 * np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
"""Of the scores of a seed, the same for all arms: the comparison is paired, so that none of it is left."""
TRUTH = {
    ("none", "sgd"): {"he": 0.86, "torch_default": 0.80, "normal": 0.30},
    ("batch", "sgd"): {"he": 0.86, "torch_default": 0.85, "normal": 0.83},
    ("none", "adamw"): {"he": 0.86, "torch_default": 0.84, "normal": 0.46},
    ("batch", "adamw"): {"he": 0.86, "torch_default": 0.86, "normal": 0.86},
}
STEPS = {"he": 100.0, "torch_default": 160.0, "normal": 300.0}


def tuned_like(score: float, window: float = 1.0) -> dict[float, float]:
    """Best at 0.1, and training up to a learning rate of `window`."""
    return {lr: 0.1 if lr > window else (score if lr == 0.1 else score - 0.1) for lr in GRID}


def plant(store: Store, truth: Mapping[tuple[str, str], Mapping[str, float]], **changes: object) -> None:
    for (norm, optimizer), arms in truth.items():
        model = changes.get("model", "mlp-2x64")
        planter = Planter(store, norm=norm, optimizer=optimizer, **{**changes, "model": f"{model}-{norm}"})
        for init, score in arms.items():
            fates = [STEPS[init]] * SEEDS if score > 0.5 else [MISS] * SEEDS
            window = {"he": 1.0, "torch_default": 0.316, "normal": 0.1}[init]
            planter.arm(init, fates, tune=tuned_like(score, window), scores=list(score + NOISE))
