"""Weights and bias of a unit drawn together, one of them positive: against units that are born dead."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from initsuite.errors import check_number
from initsuite.init.base.compose import ZERO, PerTensor, draw
from initsuite.init.base.layout import assembled, each_block, matrix_shape, output_units, weight_name
from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import Initialization, ParamSpec, Probe, Role, Specs

STD = 0.6007
"""sigma_w of the paper, found there for one entry from Beta(2, 1)."""


@dataclass(frozen=True)
class Asymmetric:
    """Each unit's [w, b] is N(0, std^2 / fan_in) except for one random entry from Beta(2, 1): RAI.

    A unit with n = fan_in has n + 1 numbers: n are N(0, std^2 / n) and one, at a random place, is positive with mean
    2/3 and mean square 1/2: E[w^2] = (std^2 + 1/2) / (n + 1). It makes it less likely that a deep, narrow ReLU network
    is born dead (constant), and bounds the growth of the signal in wide ones. The positive entry does not shrink with
    the width.

    Biases are part of the law and drawn with the weights of their unit; one that belongs to no weight is 0, and a layer
    without bias has its positive entry among the weights. The head is drawn like any other layer, as in the paper.
    Made for ReLU; nothing in the law depends on the nonlinearity. Each unit of a fused matrix or of a group is a unit.

    Args:
        std: std of all other entries times sqrt(fan_in), from 0.

    References:
        Lu, Shin, Su & Karniadakis 2019, Dying ReLU and Initialization: Theory and Numerical Examples, section 4 and
        the code of its appendix, from which the scale 1/sqrt(fan_in) is taken.
    """

    std: float = STD

    def __post_init__(self) -> None:
        check_number("Asymmetric", "std", self.std, minimum=0)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        biases = {weight_name(spec.name): spec for spec in specs if spec.role is Role.BIAS}
        params = PerTensor(weight=ZERO)(model, specs, seed=seed).params
        for spec in specs:
            if spec.role in WEIGHTS:
                params |= self._layer(spec, biases.get(spec.name), seed)
        return Initialization(params)

    def _layer(self, weight: ParamSpec, bias: ParamSpec | None, seed: int) -> dict[str, Tensor]:
        """Weight and bias of one layer, from one matrix [unit of all blocks, input (and bias)]."""
        if weight.layout:
            return self._laid_out(weight, bias, seed)
        blocks = max(1, len(weight.blocks))
        block = replace(weight, shape=(weight.shape[0] // blocks, *weight.shape[1:]))
        units, inputs = matrix_shape("Asymmetric", block if weight.is_transposed else weight)
        units = units * blocks if weight.is_transposed else units
        bias = bias if bias is not None and bias.shape == (units,) else None
        rows = self._drawn(weight, units, inputs + (bias is not None), seed)
        matrix = rows[:, :inputs]
        if weight.is_transposed:  # [unit of all groups, input x tap] -> [input of all groups, unit, *tap]
            channels, outputs, *kernel = block.shape
            matrix = matrix.reshape(blocks, outputs, channels, *kernel).transpose(1, 2)
        drawn = {weight.name: (matrix.reshape(weight.shape).contiguous() - weight.offset) / weight.factor}
        return drawn if bias is None else drawn | {bias.name: rows[:, inputs].contiguous()}

    def _laid_out(self, weight: ParamSpec, bias: ParamSpec | None, seed: int) -> dict[str, Tensor]:
        """The same where the matrices lie in the tensor as its layout says."""
        shapes = [(block.shape[0], math.prod(block.shape[1:])) for block in each_block(weight)]
        places = output_units(weight)
        is_joint = bias is not None and sum(len(each) for each in places) == math.prod(bias.shape)
        matrices, biases = [], torch.zeros(bias.shape if bias is not None else ())
        for number, (units, inputs) in enumerate(shapes):
            rows = self._drawn(replace(weight, name=f"{weight.name}[{number}]"), units, inputs + is_joint, seed)
            matrices.append(rows[:, :inputs])
            if is_joint:
                biases[places[number]] = rows[:, inputs]
        drawn = {weight.name: assembled(weight, matrices)}
        return drawn | {bias.name: biases} if is_joint and bias is not None else drawn

    def _drawn(self, weight: ParamSpec, units: int, entries: int, seed: int) -> Tensor:
        plain = replace(weight, shape=(units, entries), blocks=(), layout=(), factor=1.0, offset=0.0)
        return draw(self._rows, plain, seed)

    def _rows(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        units, entries = spec.shape
        rows = torch.empty(units, entries).normal_(0.0, self.std / math.sqrt(spec.fan_in), generator=generator)
        chosen = torch.randint(entries, (units, 1), generator=generator)
        # the distribution function of Beta(2, 1) is x^2
        return rows.scatter_(1, chosen, torch.rand(units, 1, generator=generator).sqrt())
