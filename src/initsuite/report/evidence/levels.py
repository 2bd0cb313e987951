"""Steps to a level, read off the stored curves: all trials of a context are held to the same levels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from initsuite.protocol.yardstick import LEVELS, Yardstick

COLUMN_OF_LEVEL = {"primary": "steps_to_target", "easy": "steps_to_easy"}
"""The levels that rank arms, the harder one first, with their column in the store."""


def newest(trials: pd.DataFrame) -> pd.Series:
    """The trial that was stored last: its configuration is that of the last command."""
    return trials.sort_values("written_at", kind="stable").iloc[-1]


def with_steps(trials: pd.DataFrame, curves: pd.DataFrame, yardsticks: Mapping[str, Yardstick]) -> pd.DataFrame:
    """Trials with the steps of the first evaluation at the target, and at the easier level, of their context.

    The stored steps belong to the levels at the time of training, which may have moved since.

    Args:
        trials: columns of the store.
        curves: columns of the store.
        yardsticks: by context_id.
    """
    context_of = curves.trial_id.map(trials.set_index("trial_id").context_id)
    groups = [(yardsticks[str(name)], found) for name, found in curves.groupby(context_of, sort=False)]
    columns = {}
    for level, column in COLUMN_OF_LEVEL.items():
        reached = [found.loc[scale.is_at(found.val_score, scale.levels[level])] for scale, found in groups]
        first = pd.concat([curves.iloc[:0], *reached]).groupby("trial_id").step.min()
        columns[column] = trials.trial_id.map(first).astype(float)
    return trials.assign(**columns)


def level_notes(title: str, trials: pd.DataFrame, yardstick: Yardstick) -> list[str]:
    """Says where the trials of a context were made under different levels or chance."""
    yardsticks = {_yardstick(json.loads(text or "{}")) for text in trials.config.unique()}
    if len(yardsticks) < 2:
        return []
    goals = [(name, yardstick.levels[name]) for name in LEVELS]
    named = ", ".join(f"{name} {'none' if goal is None else f'{goal:g}'}" for name, goal in goals)
    return [
        f"{title}: trials come from {len(yardsticks)} different sets of levels and chance. All are held to the newest "
        f"one ({named}, chance {yardstick.chance:g}), their steps read off the stored curves."
    ]


def _yardstick(config: Mapping[str, Any]) -> tuple[Any, ...]:
    dataset = config.get("dataset") or {}
    levels = dataset.get("levels") or {}
    return (dataset.get("metric"), dataset.get("chance"), *(levels.get(name) for name in LEVELS))
