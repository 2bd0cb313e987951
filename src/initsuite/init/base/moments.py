"""What the outputs of a layer are like, and how its weight and bias change them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.errors import ConfigError
from initsuite.init.base.layout import output_axis
from initsuite.init.base.probing import Layer
from initsuite.spec import Params

DEAD = 1e-12
"""A variance below this share of the mean square is rounding: float32 has a relative precision of 6e-8."""


@dataclass
class Moments:
    """Sums over everything but the channels, for all outputs of `layer` so far, in float64."""

    layer: Layer
    count: int = 0
    total: Tensor | float = 0.0
    total_of_squares: Tensor | float = 0.0

    def add(self, output: Tensor) -> None:
        values = output.detach().double().movedim(channel_axis(self.layer, output), 0).flatten(1)
        self.count += values.shape[1]
        self.total = self.total + values.sum(1)
        self.total_of_squares = self.total_of_squares + values.square().sum(1)

    @property
    def is_finite(self) -> bool:
        return bool(torch.as_tensor(self.total_of_squares).isfinite().all())

    @property
    def mean(self) -> Tensor:
        """The mean of each channel, [channel]."""
        return torch.as_tensor(self.total) / self.count

    @property
    def variance(self) -> Tensor:
        """The variance of each channel, [channel]; exactly 0 where it is rounding."""
        mean_square = torch.as_tensor(self.total_of_squares) / self.count
        variance = mean_square - self.mean.square()
        return torch.where(variance > DEAD * mean_square, variance, 0.0)

    @property
    def pooled_variance(self) -> float:
        """The variance of all outputs together; exactly 0 where it is rounding."""
        mean_square = float(torch.as_tensor(self.total_of_squares).mean()) / self.count
        variance = mean_square - float(self.mean.mean()) ** 2
        return variance if variance > DEAD * mean_square else 0.0


Correction = tuple[Tensor, Tensor]
"""(factor, shift), each [channel]: the output y of a layer becomes factor y + shift."""


def correct(params: Params, layer: Layer, correction: Correction, output: Tensor | None = None) -> Tensor | None:
    """Apply a correction to the weight and bias and, where given, to an output. Without a bias there is no shift."""
    factor, shift = (values.float() for values in correction)
    params[layer.weight.name] = params[layer.weight.name] * per_channel(factor, layer)
    if layer.bias is None:
        shift = torch.zeros_like(shift)
    else:
        params[layer.bias.name] = params[layer.bias.name] * factor + shift
    if output is None:
        return None
    view = [-1] + [1] * (output.ndim - 1 - channel_axis(layer, output))
    return output * factor.view(view) + shift.view(view)


def channel_axis(layer: Layer, output: Tensor) -> int:
    """The axis of the channels in a layer's output: a linear layer's last, a convolution's one before space."""
    return output.ndim - 1 - (len(layer.weight.shape) - 2)


def per_channel(values: Tensor, layer: Layer) -> Tensor:
    """A value for each output channel, [channel], in a shape that multiplies the layer's weight.

    Raises:
        ConfigError: the values differ, and the weight does not hold its channels along one axis.
    """
    shape = layer.weight.shape
    if bool((values == values[0]).all()):
        return values[0]
    if layer.weight.layout:
        axis = output_axis(layer.weight)
        if axis is not None and shape[axis] == values.numel():
            return values.view([-1 if each == axis else 1 for each in range(len(shape))])
        raise ConfigError(
            f"per_channel: no axis of output channels in `{layer.weight.name}` of shape {shape}. Expected a weight "
            "[output, input, ...], as linear layers have it. Use a law that scales a whole layer, such as init=lsuv."
        )
    if not layer.weight.is_transposed:
        return values.view(-1, *[1] * (len(shape) - 1))
    # [input, output / groups, ...]: each group of inputs makes its own share of the outputs
    groups = values.numel() // shape[1]
    rows = values.view(groups, 1, shape[1]).expand(groups, shape[0] // groups, shape[1])
    return rows.reshape(*shape[:2], *[1] * (len(shape) - 2))
