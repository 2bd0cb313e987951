"""Giving the outputs of all layers chosen moments on a probe, layer by layer in the order of use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.errors import ConfigError
from initsuite.init.base.probing import Layer, ProbedModel
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
Rule = Callable[[Layer, Moments], Correction | None]
"""The correction that a layer with these moments needs; None = it is as it should be, or cannot be corrected."""


def normalize(
    probed: ProbedModel, params: Params, layers: Sequence[Layer], inputs: Tensor, rule: Rule, max_tries: int
) -> None:
    """Correct the layers one after the other, each on what the corrected ones before it hand on; changes `params`.

    The output of a layer that is called once is linear in its weight and bias: one correction is exact, and is passed
    on within the same forward pass. A layer called several times (the recurrence of an unrolled network, a tied
    weight) feeds on itself: it is measured over all its calls and corrected until the rule returns None, at most
    `max_tries` times, before those after it.

    Raises:
        ConfigError: a layer has no output to measure, or one that is not finite.
    """
    calls = probed.calls(params, inputs, layers)
    by_name = {layer.weight.name: layer for layer in layers}
    settled: set[str] = set()
    tries = 0
    while len(settled) < len(calls):
        repeated = next((by_name[name] for name in calls if name not in settled and calls[name] > 1), None)
        moments = Moments(repeated) if repeated else None
        _sweep(probed, params, layers, inputs, rule, settled, moments)
        if moments is None:
            return
        correction = rule(moments.layer, _checked(probed.law, moments)) if tries < max_tries else None
        tries += 1
        if correction is None:
            settled.add(moments.layer.weight.name)
            tries = 0
        else:
            _correct(params, moments.layer, correction)


def _sweep(
    probed: ProbedModel,
    params: Params,
    layers: Sequence[Layer],
    inputs: Tensor,
    rule: Rule,
    settled: set[str],
    repeated: Moments | None,
) -> None:
    """One forward pass: settle the layers before the first use of a repeated one, and sum the moments of its uses."""

    def watch(layer: Layer, output: Tensor) -> Tensor | None:
        if repeated and layer is repeated.layer:
            repeated.add(output)
        if layer.weight.name in settled or (repeated and repeated.count):
            return None
        own = Moments(layer)
        own.add(output)
        settled.add(layer.weight.name)
        correction = rule(layer, _checked(probed.law, own))
        return None if correction is None else _correct(params, layer, correction, output)

    # `params` changes during the pass, which sees the corrections through `watch`
    probed.watched(dict(params), inputs, layers, watch)


def _correct(params: Params, layer: Layer, correction: Correction, output: Tensor | None = None) -> Tensor | None:
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
    """A value for each output channel, [channel], in a shape that multiplies the layer's weight."""
    shape = layer.weight.shape
    if not layer.weight.is_transposed:
        return values.view(-1, *[1] * (len(shape) - 1))
    # [input, output / groups, ...]: each group of inputs makes its own share of the outputs
    groups = values.numel() // shape[1]
    rows = values.view(groups, 1, shape[1]).expand(groups, shape[0] // groups, shape[1])
    return rows.reshape(*shape[:2], *[1] * (len(shape) - 2))


def _checked(law: str, moments: Moments) -> Moments:
    if not torch.as_tensor(moments.total_of_squares).isfinite().all():
        raise ConfigError(
            f"{law}: the output of `{moments.layer.weight.name}` on the probe is not finite. Expected finite numbers. "
            "Check `probe.inputs` for NaN and inf, and scale them to order 1."
        )
    return moments
