"""What is trained: a workload, or a cell, which is a workload with an initializer and an optimizer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from initsuite.data.base import Dataset, Tree
from initsuite.models.copying import copied
from initsuite.protocol.yardstick import Yardstick
from initsuite.spec import Initializer, Optimizer, Params, ParamSpec, Trial


@dataclass(frozen=True, eq=False)
class Workload:
    """Data set x model x activation x loss x batch size x budget: the frame that all arms share.

    A person's own model and data come in here as they are. The model is called on the inputs of a batch:
    `model(inputs)` for a tensor, `model(*inputs)` for a tuple or list, `model(**inputs)` for a dictionary. Of what it
    returns, `output` picks what the loss and the score get as outputs, the whole of it if that is None. As targets they
    get the targets of the batch, and its inputs where the data set has no targets:

        loss=lambda outputs, batch: outputs.loss, output=None       a model that computes its loss from its batch
        loss=cross_entropy, output="logits"                         a named loss of a model that returns a dictionary
        loss=lambda outputs, targets: ..., output=0                 the first of a tuple, such as an nn.LSTM returns

    Attributes:
        workload_id: hash of all of it; trials of one id and one optimizer kind may share a stack.
        model: parameters on the meta device, buffers with their values; those without specs with their values, too.
        specs: facts about every parameter of the model that an initializer draws.
        loss: (outputs, targets) of a batch -> [example]; or one number, the mean over the batch. Called for one trial
            at a time, under `torch.vmap` where the model can be mapped.
        score: the metric of the data set, likewise.
        chance_loss: loss of a model that knows nothing; what a diverged trial counts as.
        batch_size: examples per step.
        max_steps: budget in optimizer updates.
        eval_every: steps between two evaluations; the last step is always evaluated.
        own_values: from a seed to the values of the parameters without specs; None = those in `model` for every seed.
        output: the name or index of what to pick from the tuple, dictionary or object that the model returns.
        eval_batch_size: examples of one evaluation call. None = as many as memory allows, which differs with the width
            of a stack: for a loss and a score that are sums over examples. Set it to `batch_size` for those of one's
            own, whose mean over a batch may weigh examples differently (by the tokens that are no padding).
        dtype: float32 or float64, of parameters, inputs and optimizer state that are float32 elsewhere. bfloat16, of
            the forward pass alone, by `torch.autocast`: parameters, gradients and the state stay float32.
    """

    workload_id: str
    dataset: Dataset
    model: nn.Module
    specs: tuple[ParamSpec, ...]
    loss: Callable[[Any, Tree], Tensor]
    score: Callable[[Any, Tree], Tensor]
    chance_loss: float
    batch_size: int
    max_steps: int
    eval_every: int
    own_values: Callable[[int], Params] | None = None
    output: str | int | None = None
    eval_batch_size: int | None = None
    dtype: torch.dtype = torch.float32

    @property
    def state_dtype(self) -> torch.dtype:
        """The type of parameters, inputs and optimizer state."""
        return torch.float32 if self.dtype == torch.bfloat16 else self.dtype

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
