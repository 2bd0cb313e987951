"""What criteria look at: one row for each trial, or each measured start, with the facts about its cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from initsuite.errors import unknown_choice

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
            ConfigError: no such measure in these rows.
        """
        if self.rows.empty:
            return pd.DataFrame({"cell": [], "seed": [], "value": []})
        cells = [cell for cell, facts in self.facts.items() if fits(facts, where)]
        if measure not in self.rows.columns:
            raise unknown_choice("claims", "measure", measure, [name for name in self.rows.columns if name != "cell"])
        chosen = self.rows[self.rows["cell"].isin(cells) & self.rows[measure].notna()]
        return chosen.assign(value=chosen[measure].astype(float))

    def by_seed(self, measure: str, where: Where, *, log: bool = False) -> pd.Series:
        """The mean over the cells that are meant, for each seed that all of them have; by seed.

        Args:
            log: of the logarithm, a count that was not reached being censored at the budget.
        """
        rows = self.of(measure, where)
        if rows.empty:
            return pd.Series(dtype=float)
        values = rows["value"]
        if log:
            limits = rows["cell"].map(self.budget).astype(float)
            values = values.where(np.isfinite(values), limits).map(np.log)
        grouped = values.groupby(rows["seed"])
        complete = grouped.size() == rows["cell"].nunique()
        return grouped.mean()[complete]


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
