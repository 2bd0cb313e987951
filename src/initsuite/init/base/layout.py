"""Facts about layers that several laws need: the weight as a matrix, the weight of a bias, what precedes the head."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from initsuite.errors import ConfigError
from initsuite.spec import Activation, ParamSpec, Role


def matrix_shape(where: str, spec: ParamSpec) -> tuple[int, int]:
    """(output units, inputs x taps of the kernel) of a weight without blocks.

    Raises:
        ConfigError: the tensor has fewer than two axes.
    """
    if len(spec.shape) < 2:
        raise ConfigError(
            f"{where}: no matrix in `{spec.name}` of shape {spec.shape}. Expected two axes or more. "
            "Use another law for this role."
        )
    first, second, *kernel = spec.shape
    units, inputs = (second, first) if spec.is_transposed else (first, second)
    return units, inputs * math.prod(kernel)


def as_weight(matrix: Tensor, spec: ParamSpec) -> Tensor:
    """The tensor [*spec.shape] of a weight without blocks from its matrix [output unit, input x tap]."""
    if not spec.is_transposed:
        return matrix.reshape(spec.shape)
    inputs, units, *kernel = spec.shape
    return matrix.reshape(units, inputs, *kernel).transpose(0, 1).contiguous()


def channels(where: str, spec: ParamSpec) -> tuple[int, int]:
    """(output, input) units of a weight without blocks, whatever the order of its axes; refuses as `matrix_shape`."""
    outputs, inputs = matrix_shape(where, spec)
    return outputs, inputs // math.prod(spec.shape[2:])


def on_centre(matrix: Tensor, spec: ParamSpec) -> Tensor:
    """The weight of a matrix [output, input]; in a kernel it lies on the centre tap, and all else is 0.

    Of the two middle taps of an even size the centre is the first, (size - 1) // 2, as in JAX: the one that
    `padding="same"` puts on the pixel itself. `torch.nn.init.dirac_` takes the second.
    """
    weight = torch.zeros(spec.shape)
    centre = tuple((size - 1) // 2 for size in spec.shape[2:])
    weight[(..., *centre)] = matrix.T if spec.is_transposed else matrix
    return weight


def weight_name(bias_name: str) -> str:
    """Name of the weight that a bias goes with: `fc.bias` -> `fc.weight`, `bias_ih_l0` -> `weight_ih_l0`."""
    owner, dot, local = bias_name.rpartition(".")
    return owner + dot + local.replace("bias", "weight")


def each_block(spec: ParamSpec) -> list[ParamSpec]:
    """The matrices fused into one tensor, each as a tensor of its own; the tensor itself where there is one."""
    blocks = [
        replace(spec, shape=(rows, *spec.shape[1:]), blocks=(), parts=spec.parts[index : index + 1])
        for index, rows in enumerate(spec.blocks)
    ]
    return blocks or [spec]


def as_one_matrix(spec: ParamSpec) -> ParamSpec:
    """A linear weight whose fused blocks count as one matrix, as libraries that draw the packed tensor see it."""
    return replace(spec, blocks=(), parts=(), fan_out=spec.shape[0])


def last_hidden_nonlinearity(specs: Iterable[ParamSpec]) -> Activation | None:
    """What follows the last layer with weights before the head; None where nothing does."""
    hidden = {spec.layer: spec.nonlinearity for spec in specs if spec.role is Role.WEIGHT and not spec.is_head}
    return hidden[max(hidden)] if hidden else None
