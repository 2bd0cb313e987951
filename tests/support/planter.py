"""Stores planted as training would write them, for tests of what reads a store."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from initsuite.results.store import Store
from initsuite.spec import PROTOCOL_VERSION, Curve, short_hash

GRID = [0.01, 0.0316, 0.1, 0.316, 1.0]
LEVELS = {"easy": 0.7, "primary": 0.84, "hard": 0.88}
CHANCE = 0.1
TRAINS = {0.01: 0.5, 0.0316: 0.8, 0.1: 0.85, 0.316: 0.84, 1.0: 0.1}
"""Final validation accuracy by lr of an arm that trains: best at 0.1, window 0.01 to 0.316."""
STUCK = dict.fromkeys(GRID, 0.11)
MISS, DIVERGED, FAILED = math.inf, -1.0, -2.0
"""Fates of a seed beside a number of steps to the target."""


class Planter:
    """Writes the trials of one context into a store, as training would."""

    def __init__(self, store: Store, **changes: Any) -> None:
        self.store = store
        self.axes = {"dataset": "digits", "model": "mlp-2x64", "activation": "relu", "optimizer": "sgd"}
        self.axes |= {name: value for name, value in changes.items() if name in self.axes}
        self.config: dict[str, Any] = {
            "dataset": {
                "name": "digits",
                "metric": "accuracy",
                "loss": "cross_entropy",
                "chance": CHANCE,
                "levels": LEVELS,
            },
            "model": {"name": "mlp", "depth": 2, "width": 64},
            "activation": {"name": self.axes["activation"]},
            "optimizer": {"name": self.axes["optimizer"], "lr_grid": GRID},
            "batch_size": 64,
            "max_steps": 600,
            "eval_every": 20,
        }
        self.config |= {name: value for name, value in changes.items() if name in self.config and name not in self.axes}
        if "levels" in changes:
            self.config["dataset"] = {**self.config["dataset"], "levels": changes["levels"]}
        if "depth" in changes:
            self.config["model"] = {**self.config["model"], "depth": changes["depth"]}
        if "norm" in changes:
            self.config["model"] = {**self.config["model"], "norm": changes["norm"]}
        dataset = self.config["dataset"]["name"]  # no id depends on a level or a grid
        self.context_id = short_hash([self.axes, {**self.config, "dataset": dataset, "optimizer": None}])
        self.origin = {"protocol": "standard", "protocol_version": PROTOCOL_VERSION, "commit": "a" * 40, "dirty": False}

    def arm(
        self,
        init: str,
        fates: Sequence[float],
        tune: Mapping[float, float] | None = TRAINS,
        lr: float = 0.1,
        easy: bool = True,
        options: Mapping[str, Any] | None = None,
        tuning_seed: int = 10_000,
        scores: Sequence[float] | None = None,
        **changes: Any,
    ) -> None:
        """Tuning trials with these final accuracies by lr, and a scoring trial a seed with these fates.

        A scoring trial that is not lost ends at its entry of `scores`, on validation and on test data alike.
        """
        origin = {**self.origin, **changes}
        cell = short_hash([self.context_id, init, options])
        shared = {**self.axes, **origin, "init": init, "cell_id": cell, "context_id": self.context_id}
        shared |= {"experiment": "", "torch_version": "2.13", "device": "cpu", "stack_size": 5, "setup_s": 0.01}
        shared["config"] = json.dumps({**self.config, "init": {"name": init, **(options or {})}})
        rows, curves = [], {}
        for tuned_lr, accuracy in (tune or {}).items():
            row = {
                **shared,
                "lr": tuned_lr,
                "seed": tuning_seed,
                "stage": "tune",
                **self._result(600 * (accuracy < 0.84), True),
            }
            rows.append({**row, "final_val_score": accuracy})
        for seed, fate in enumerate(fates):
            rows.append({**shared, "lr": lr, "seed": seed, "stage": "score", **self._result(fate, easy)})
        for row in rows:
            if scores is not None and row["stage"] == "score" and row["status"] == "done":
                row |= dict.fromkeys(("final_val_score", "test_score"), scores[row["seed"]])
            row["trial_id"] = short_hash([cell, row["lr"], row["seed"], row["stage"], row["protocol_version"]])
            curves[row["trial_id"]] = self._curve(row)
        self.store.append(rows, curves)

    def _result(self, fate: float, easy: bool) -> dict[str, Any]:
        nothing = {"steps_to_target": None, "steps_to_easy": None, "diverged_at": None, "wall_s": 0.5, "error": ""}
        if fate == FAILED:
            return {**nothing, "status": "failed", "error": "Traceback\nValueError: planted"}
        if fate == DIVERGED:
            return {**nothing, "status": "diverged", "diverged_at": 30.0, "loss_auc": 2.302}
        if fate == MISS:
            score = 0.75 if easy else 0.12
            found = {"steps_to_easy": 400.0 if easy else None, "loss_auc": 1.0 if easy else 2.3}
        else:
            score = 0.86 - fate / 1e5
            found = {"steps_to_easy": fate / 2, "steps_to_target": fate, "loss_auc": 0.3 + fate / 1e3}
        return {**nothing, **found, "status": "done", "final_val_score": score, "test_score": score - 0.01}

    def _curve(self, row: Mapping[str, Any]) -> Curve:
        step = np.arange(20, 601, 20)
        if row["status"] == "failed":
            return Curve(step[:0], *(np.empty(0),) * 3)
        goal = row.get("final_val_score") or 0.5
        corners = [(0.0, CHANCE), (601.0, goal)]  # beyond the last evaluation, so that a step of 600 may be planted
        if row["stage"] == "score":
            planted = ((row.get("steps_to_easy"), LEVELS["easy"]), (row.get("steps_to_target"), LEVELS["primary"]))
            corners[1:1] = [(hit, level) for hit, level in planted if hit]
        at, height = zip(*corners, strict=True)
        accuracy = np.interp(step, at, height)
        if row["status"] == "diverged":
            accuracy = np.where(step < 30, accuracy, np.nan)
        return Curve(step, 2.3 - 2 * accuracy, 2.3 - 2 * accuracy, accuracy)
