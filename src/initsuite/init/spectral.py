"""Weights and learning rates by the spectral norm that feature learning needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initsuite.errors import check_whole_number, unknown_choice
from initsuite.init.base.compose import ByLaws, Laws, PerTensor
from initsuite.init.distributions import sample
from initsuite.init.mup import units_of
from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import Initialization, ParamSpec, Probe, Specs

OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class Spectral(ByLaws):
    """N(0, min(1, fan_out/fan_in) / fan_in) and learning rates by fans: one rule for every layer of any shape.

    Var[w] = min(1, fan_out/fan_in) / fan_in, so that the largest singular value of a matrix is between 1 and 2 times
    sqrt(fan_out/fan_in): inputs whose entries have size 1 give outputs whose entries have at most about that size, and
    the lr factors see to it that an update does the same. Unlike `mup` there are no first, hidden and last layers: a
    narrow head follows from the fans. Biases are 0, embeddings N(0, 1).

        |                          | adam                | sgd                  |
        | weight                   | base_width / inputs | outputs / inputs     |
        | bias, norm, embedding    | 1                   | outputs / base_width |
        | bias of the head, scalar | 1                   | 1                    |

    inputs and outputs are those of the layer, its receptive field left out. The adam column is also that of adamw and
    rmsprop, whose steps have the size of the lr in each entry and thus the norm lr sqrt(inputs outputs); the sgd column
    is that of nesterov. A layer whose units see one input each (depthwise) counts as a vector. Departure: the paper
    gives orders of size; base_width sets their unit. Pitfall: outputs / inputs is the rule for SGD; public code has it
    with Adam, too, where the lr of a square layer then no longer follows its width.

    Args:
        optimizer: adam or sgd: the column of the table.
        base_width: inputs of a weight whose lr factor is 1 with adam, from 1.

    References:
        Yang, Simon & Bernstein 2023, A Spectral Condition for Feature Learning, parametrization 1.
    """

    optimizer: str = "adam"
    base_width: int = 64

    def __post_init__(self) -> None:
        check_whole_number("Spectral", "base_width", self.base_width)
        if self.optimizer not in OPTIMIZERS:
            raise unknown_choice("Spectral", "optimizer", self.optimizer, OPTIMIZERS)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        factors = {spec.name: self.lr_factor(spec) for spec in specs}
        changed = {name: factor for name, factor in factors.items() if factor != 1}
        return Initialization(super().__call__(model, specs, seed=seed, probe=probe).params, changed)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        return PerTensor(weight=SpectralNormal()).laws(model, specs)

    def lr_factor(self, spec: ParamSpec) -> float:
        """What the learning rate of a tensor is multiplied by: a row of the table above."""
        inputs, outputs = units_of(spec)
        if spec.role in WEIGHTS and inputs > 1:
            return (self.base_width if self.optimizer == "adam" else outputs) / inputs
        is_fixed = self.optimizer == "adam" or spec.is_head or math.prod(spec.shape) == 1
        return 1.0 if is_fixed else outputs / self.base_width


@dataclass(frozen=True)
class SpectralNormal:
    """The weights of `Spectral`: N(0, min(1, fan_out/fan_in) / fan_in)."""

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return sample("normal", spec.shape, self.declared_std(spec), generator)

    def declared_std(self, spec: ParamSpec) -> float:
        return min(1.0, math.sqrt(spec.fan_out / spec.fan_in)) / math.sqrt(spec.fan_in)
