"""Facts about layers that several laws need: the weight as a matrix, the weight of a bias, what precedes the head."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from initsuite.errors import ConfigError
from initsuite.spec import Activation, Axis, Block, ParamSpec, Role


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
    """The matrices in one tensor, each as a tensor [output, input, ...] of its own; the tensor itself where it is one.

    What a law draws for them is put in its place by `assembled`.
    """
    if spec.layout:
        return [_matrix_spec(spec, index) for index in range(len(spec.layout))]
    if not spec.blocks:
        return [spec]
    is_even = len(set(spec.blocks)) == 1
    return [
        replace(
            spec, shape=(rows, *spec.shape[1:]), blocks=(), nonlinearities=(), parts=spec.parts[index : index + 1],
            nonlinearity=spec.nonlinearities[index] if spec.nonlinearities else spec.nonlinearity,
            fan_out=spec.fan_out if is_even else spec.fan_out // spec.blocks[0] * rows,
        )
        for index, rows in enumerate(spec.blocks)
    ]  # fmt: skip


def _matrix_spec(spec: ParamSpec, index: int) -> ParamSpec:
    block = spec.layout[index]
    outputs, inputs, *kernel = (length_of(axis) for axis in (block.outputs, block.inputs, *block.kernel))
    taps = math.prod(kernel)
    return replace(
        spec, shape=(outputs, inputs, *kernel), fan_in=inputs * taps, fan_out=outputs * taps, blocks=(), layout=(),
        is_transposed=False, parts=spec.parts[index : index + 1], nonlinearities=(),
        nonlinearity=spec.nonlinearities[index] if spec.nonlinearities else spec.nonlinearity,
    )  # fmt: skip


def length_of(axis: Axis) -> int:
    """How many units lie along an axis."""
    return math.prod(length for length, _ in axis)


def matrix_in(tensor: Tensor, block: Block) -> Tensor:
    """A matrix in a contiguous tensor: a view [output..., input..., tap...] that shares its memory."""
    pairs = [pair for axis in (block.outputs, block.inputs, *block.kernel) for pair in axis]
    return tensor.as_strided([length for length, _ in pairs], [stride for _, stride in pairs], block.offset)


def assembled(spec: ParamSpec, drawn: Sequence[Tensor]) -> Tensor:
    """The tensor as the model stores it, from its matrices in the order of `each_block`."""
    if spec.layout:
        tensor = torch.empty(spec.shape)
        for block, matrix in zip(spec.layout, drawn, strict=True):
            place = matrix_in(tensor, block)
            place.copy_(matrix.reshape(place.shape))
    else:
        tensor = torch.cat(list(drawn)) if spec.blocks else drawn[0]
    if (spec.factor, spec.offset) == (1.0, 0.0):
        return tensor
    return (tensor - spec.offset) / spec.factor


def taken_apart(spec: ParamSpec, tensor: Tensor) -> list[Tensor]:
    """The matrices in a tensor, in the order of `each_block`, as the model uses them: `assembled` reversed."""
    used = tensor if (spec.factor, spec.offset) == (1.0, 0.0) else spec.factor * tensor + spec.offset
    if not spec.layout:
        return list(used.split(spec.blocks)) if spec.blocks else [used]
    shapes = [block.shape for block in each_block(spec)]
    used = used.contiguous()
    return [matrix_in(used, block).reshape(shape) for block, shape in zip(spec.layout, shapes, strict=True)]


def output_axis(spec: ParamSpec) -> int | None:
    """The axis of a stored weight along which its output units lie, those of all matrices; None if it is not one."""
    if not spec.layout:
        return int(spec.is_transposed)
    axes: set[int] = set()
    for block in spec.layout:
        axes |= {axis for axis, found in enumerate(_places(spec, block)) if len(found.unique()) > 1}
    return axes.pop() if len(axes) == 1 else None


def output_units(spec: ParamSpec) -> list[Tensor]:
    """Which outputs the matrices of a layout make, each [unit], counted along the `output_axis`."""
    axis = output_axis(spec)
    return [] if axis is None else [_places(spec, block)[axis] for block in spec.layout]


def _places(spec: ParamSpec, block: Block) -> tuple[Tensor, ...]:
    """Where the first input of each output unit of a matrix lies: for each axis of the tensor, [unit]."""
    units = torch.tensor([0])
    for length, stride in block.outputs:
        units = (units[:, None] + stride * torch.arange(length)).flatten()
    return torch.unravel_index(units + block.offset, spec.shape)


def as_one_matrix(spec: ParamSpec) -> ParamSpec:
    """A linear weight whose fused blocks count as one matrix, as libraries that draw the packed tensor see it."""
    outputs = spec.shape[output_axis(spec) or 0]
    return replace(spec, blocks=(), parts=(), layout=(), nonlinearities=(), fan_out=outputs)


def last_hidden_nonlinearity(specs: Iterable[ParamSpec]) -> Activation | None:
    """What follows the last layer with weights before the head; None where nothing does."""
    hidden = {spec.layer: spec.nonlinearity for spec in specs if spec.role is Role.WEIGHT and not spec.is_head}
    return hidden[max(hidden)] if hidden else None
