"""What the report compares: the arms of a context, with the evidence on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from initsuite.protocol.guideline import Network, stored_network
from initsuite.protocol.yardstick import Yardstick
from initsuite.spec import Status

TUNED = "tuned"
NO_NORM = "none"


@dataclass(frozen=True)
class Arm:
    """One initializer of a context, with its evidence.

    Attributes:
        name: the initializer, with the options that distinguish it where two cells share a name.
        lr: the learning rate that it is scored at.
        lr_scores: mean final validation score over the tuning seeds, by lr; empty under one lr for all.
        trials: scoring trials at `lr` that are done or diverged, indexed by seed; columns of the store, the steps to
            the target and the easier level read off the curves at the levels of the context.
        num_failed: trials of the cell without a result.
        tuning_seeds: how many seeds are behind each of `lr_scores`.
        options: the configuration of the initializer.
    """

    name: str
    cell_id: str
    lr: float
    lr_scores: Mapping[float, float]
    trials: pd.DataFrame
    num_failed: int
    tuning_seeds: Mapping[float, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def test_scores(trials: pd.DataFrame, yardstick: Yardstick) -> pd.Series:
    """Test scores of trials: a diverged one counts as chance, as does one worse than it on an unbounded scale."""
    scores = trials.test_score.where(trials.status != Status.DIVERGED, yardstick.chance)
    return scores.map(yardstick.counted, na_action="ignore")


def counted_scores(arm: Arm, yardstick: Yardstick) -> pd.Series:
    """The test scores of an arm by seed, where there are any."""
    return test_scores(arm.trials, yardstick).dropna()


@dataclass(frozen=True)
class Context:
    """A row of the recommendations table: what the arms have in common.

    Attributes:
        axes: the values of `CONTEXT_AXES`, as a person reads them.
        title: the axes and, where two contexts share them, the options in which they differ.
        lr_rule: `tuned`, or `one lr for all: 0.1`.
        lr_grid: the grid that its newest tuned trial was configured with; empty under one lr for all.
        yardstick: metric, chance and levels of its newest trial.
        loss_unit: the unit of the loss and its area.
        max_steps: the budget, in steps.
        eval_every: steps between evaluations.
        config: the resolved configuration of its newest trial.
        arms: sorted by name.
    """

    context_id: str
    axes: Mapping[str, str]
    title: str
    lr_rule: str
    lr_grid: tuple[float, ...]
    yardstick: Yardstick
    loss_unit: str
    max_steps: int
    eval_every: int
    config: Mapping[str, Any]
    arms: tuple[Arm, ...]

    @property
    def is_tuned(self) -> bool:
        return self.lr_rule == TUNED

    @property
    def norm(self) -> str:
        """The option `norm` of the model; one without that option has none."""
        return str((self.config.get("model") or {}).get("norm") or NO_NORM)

    @property
    def network(self) -> Network:
        return stored_network(self.config)
