"""What is trained: a workload, or a cell, which is a workload with an initializer and an optimizer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from initsuite.data.base import Dataset
from initsuite.models.copying import copied
from initsuite.protocol.yardstick import Yardstick
from initsuite.spec import Initializer, Optimizer, Params, ParamSpec, Trial


@dataclass(frozen=True, eq=False)
class Workload:
    """Data set x model x activation x loss x batch size x budget: the frame that all arms share.

    Attributes:
        workload_id: hash of all of it; trials of one id and one optimizer kind may share a stack.
        model: parameters on the meta device, buffers with their values; those without specs with their values, too.
        specs: facts about every parameter of the model that an initializer draws.
        loss: (outputs, targets) of a batch -> [example].
        score: the metric of the data set, likewise.
        chance_loss: loss of a model that knows nothing; what a diverged trial counts as.
        batch_size: examples per step.
        max_steps: budget in optimizer updates.
        eval_every: steps between two evaluations; the last step is always evaluated.
        own_values: from a seed to the values of the parameters without specs; None = those in `model` for every seed.
    """

    workload_id: str
    dataset: Dataset
    model: nn.Module
    specs: tuple[ParamSpec, ...]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    chance_loss: float
    batch_size: int
    max_steps: int
    eval_every: int
    own_values: Callable[[int], Params] | None = None

    @property
    def kept(self) -> list[str]:
        """The parameters that no initializer draws: the model gives them their values."""
        described = {spec.name for spec in self.specs}
        return [name for name, _ in self.model.named_parameters() if name not in described]

    @functools.cached_property
    def can_be_shared(self) -> bool:
        """Whether several threads may train it at the same time, each on a copy of the model."""
        return copied(self.model) is not self.model

    def copied(self) -> Workload:
        """With a copy of the model, if it can be copied: `functional_call` swaps the parameters of what it is given."""
        return replace(self, model=copied(self.model))

    @property
    def steps_per_epoch(self) -> float:
        """Not rounded: batches are cut from one stream of permutations and may span two epochs."""
        return len(self.dataset.train) / self.batch_size


@dataclass(frozen=True, eq=False)
class Cell:
    """Context x initializer.

    Attributes:
        cell_id: hash of what decides the numbers of its trials, except lr, seed and stage.
        context_id: the same without the initializer and what it requires of the model.
        axes: dataset, model, activation, init, optimizer: labels for people.
        lr_grid: learning rates of a tuning protocol, the same for all arms.
        config: the resolved configuration, plain values.
        overrides: a JSON object of the overrides that make the cell: by key, the value as a command writes it.
    """

    cell_id: str
    context_id: str
    axes: Mapping[str, str]
    workload: Workload
    yardstick: Yardstick
    initializer: Initializer
    optimizer: Optimizer
    lr_grid: tuple[float, ...]
    config: Mapping[str, Any]
    overrides: str

    def trial(self, lr: float, seed: int, stage: Any) -> Trial:
        return Trial(self.cell_id, float(lr), seed, stage)
