"""Steps to a level, read off the stored curves, so that all trials of a context are held to the same levels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from initsuite.spec import LEVEL_TOLERANCE

COLUMN_OF_LEVEL = {"primary": "steps_to_target", "easy": "steps_to_easy"}
"""The levels that rank arms, the harder one first, with their column in the store."""
LEVELS = ("easy", "primary", "hard")


def newest(trials: pd.DataFrame) -> pd.Series:
    """The trial that was stored last: its configuration is that of the last command."""
    return trials.sort_values("written_at", kind="stable").iloc[-1]


def with_steps(
    trials: pd.DataFrame, curves: pd.DataFrame, levels: Mapping[str, Mapping[str, float | None]]
) -> pd.DataFrame:
    """Trials whose steps to the target and the easier level are the first evaluation at the level of their context.

    The stored steps belong to the levels at the time of training, which may have moved since.

    Args:
        trials: columns of the store.
        curves: columns of the store.
        levels: by context_id.
    """
    columns = {}
    for level, column in COLUMN_OF_LEVEL.items():
        of_context = {name: math.nan if (goal := found[level]) is None else goal for name, found in levels.items()}
        of_trial = pd.Series(trials.context_id.map(of_context).to_numpy(dtype=float), index=trials.trial_id)
        reached = curves.val_accuracy >= curves.trial_id.map(of_trial) - LEVEL_TOLERANCE
        first = curves.loc[reached].groupby("trial_id").step.min()
        columns[column] = trials.trial_id.map(first).astype(float)
    return trials.assign(**columns)


def level_notes(title: str, trials: pd.DataFrame, levels: Mapping[str, float | None], chance: float) -> list[str]:
    """Where the trials of a context were made under different levels or chance."""
    yardsticks = {_yardstick(json.loads(text or "{}")) for text in trials.config.unique()}
    if len(yardsticks) < 2:
        return []
    named = ", ".join(f"{name} {'none' if (goal := levels[name]) is None else f'{goal:g}'}" for name in LEVELS)
    return [
        f"{title}: trials come from {len(yardsticks)} different sets of levels and chance. All are held to the newest "
        f"one ({named}, chance {chance:g}), their steps read off the stored curves."
    ]


def _yardstick(config: Mapping[str, Any]) -> tuple[Any, ...]:
    dataset = config.get("dataset") or {}
    levels = dataset.get("levels") or {}
    return (dataset.get("chance"), *(levels.get(name) for name in LEVELS))
