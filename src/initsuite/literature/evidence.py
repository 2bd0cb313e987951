"""What criteria look at: one row for each trial, or each measured start, with the facts about its cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from initsuite.errors import unknown_choice

STEPS = {"steps_easy": "steps_to_easy", "steps": "steps_to_target", "steps_hard": "steps_to_hard"}
"""The measures that count steps, with their columns in the store."""
Where = Mapping[str, Any]
"""Values by key of the configuration, such as `{"init": "he", "model.depth": 30}`: which cells are meant."""


@dataclass(frozen=True)
class Evidence:
    """Rows of numbers.

    Attributes:
        rows: columns `cell`, `seed` and the measures. A step count that was not reached is infinite.
        facts: by cell, the values of its configuration by dotted key, and the predictors of theory.
        budget: by cell, the steps that a trial may take; where a count is censored.
    """

    rows: pd.DataFrame
    facts: Mapping[str, Where]
    budget: Mapping[str, float] = field(default_factory=dict)

    def of(self, measure: str, where: Where) -> pd.DataFrame:
        """The rows of the cells that are meant, with the column `value`; none where nothing was run.

        Raises:
            ConfigError: no such measure in these rows, or a key of `where` that no cell has.
        """
        if self.rows.empty:
            return pd.DataFrame({"cell": [], "seed": [], "value": []})
        for key in where:
            self.fact(key)
        cells = [cell for cell, facts in self.facts.items() if fits(facts, where)]
        if measure not in self.rows.columns:
            raise unknown_choice("claims", "measure", measure, [name for name in self.rows.columns if name != "cell"])
        chosen = self.rows[self.rows["cell"].isin(cells) & self.rows[measure].notna()]
        return chosen.assign(value=chosen[measure].astype(float))

    def fact(self, key: str) -> dict[str, Any]:
        """By cell, a value of its configuration or a predictor of theory; of those that have it.

        Raises:
            ConfigError: no cell has it.
        """
        found = {cell: facts[key] for cell, facts in self.facts.items() if key in facts}
        if not found:
            known = sorted({name for facts in self.facts.values() for name in facts})
            raise unknown_choice("claims", "key", key, known)
        return found

    def by_seed(self, measure: str, where: Where, *, log: bool = False) -> pd.Series:
        """The mean over the cells that are meant, for each seed that all of them have; by seed.

        Args:
            log: of the logarithm, a count that was not reached being censored at the budget; NaN where a value has
                none.
        """
        rows = self.of(measure, where)
        if rows.empty:
            return pd.Series(dtype=float)
        values = rows["value"]
        if log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = pd.Series(np.log(self.censored(measure, rows)))
        grouped = values.groupby(rows["seed"])
        complete = grouped.size() == rows["cell"].nunique()
        return grouped.mean().where(grouped.count() == grouped.size())[complete]

    def censored(self, measure: str, rows: pd.DataFrame) -> pd.Series:
        """The values of rows that `of` returned; a count of steps that was not reached is the budget."""
        if measure not in STEPS:
            return rows["value"]
        return rows["value"].where(rows["value"] < math.inf, rows["cell"].map(self.budget).astype(float))


def fits(facts: Where, where: Where) -> bool:
    """Whether a cell is among those that are meant.

    Example:
        >>> fits({"init": "he", "model.depth": 30}, {"model.depth": 30.0}), fits({"init": "he"}, {"init": "xavier"})
        (True, False)
    """
    return all(key in facts and is_same(facts[key], value) for key, value in where.items())


def is_same(first: object, second: object) -> bool:
    """Whether two values of a configuration are equal; numbers up to a relative 1e-6."""
    numbers = [each for each in (first, second) if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) == 2:
        return math.isclose(*numbers, rel_tol=1e-6)
    return first == second


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a configuration by dotted key; a group also by its own, with the name of its choice.

    Example:
        >>> flat({"init": {"name": "he", "gain": 1.0}, "max_steps": 9})
        {'init': 'he', 'init.name': 'he', 'init.gain': 1.0, 'max_steps': 9}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            if not prefix and "name" in value:
                found[key] = value["name"]
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
