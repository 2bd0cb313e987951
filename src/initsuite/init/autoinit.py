"""AutoInit: weights that give every layer's output mean 0 and variance 1, by analysis instead of data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from initsuite.errors import check_number
from initsuite.init.base.compose import draw, weights_by_place
from initsuite.init.distributions import Normal
from initsuite.init.theory.propagation import seen_by_layers
from initsuite.init.theory.signal import UNIT, Signal
from initsuite.models.describe.describe import recorded
from initsuite.models.describe.examples import Example
from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import Initialization, ParamSpec, Probe, Role, Specs


@dataclass(frozen=True)
class AutoInit:
    """Normal weights scaled by the mean and variance that the layer's input has by analysis.

    Var[w] = 1 / (fan_in (mu^2 + nu)), with mean mu and variance nu of the layer's input. With zero biases the output
    then has mean 0 and variance 1 over the draw of the weights, for wide layers: the mean square of the signal is 1
    from the first layer on, for any activation and any mean of the inputs. The gradient is left to itself.

    mu and nu are carried through a forward pass that is recorded in training mode, so that dropout is seen (on the
    probe's inputs, else on inputs that are guessed): (0, 1) behind layers, norms and embeddings; every elementwise
    function, gates and functions written by hand included, by quadrature over Gaussian inputs; sums, products and
    concatenations of independent signals; pooling windows and means over axes of independent entries; zero padding as
    zeros among the rest; dropout as what it multiplies by. Parameters that are no weights count as they are drawn, or
    as they are where they are kept. Attention hands on its values, any other operation its signal. Where no pass can be
    recorded, the layers are taken in their order, each behind the nonlinearity of the one before it: sums and pooling
    are then not seen.

    A layer that is used several times is scaled by the mean square of all that it is given, zeros not counted. A
    recurrent matrix has variance 1 / fan_in whatever its state: gated states are small by design, and scaling them up
    would make the recurrence chaotic. The paper's code leaves recurrent layers as Keras draws them, with an orthogonal
    recurrent matrix, whose entries have this variance.

    Biases are 0, norms and embeddings as in torch; the head is treated like any other layer. No data are needed; where
    there is a probe, the mean and variance of all its inputs together are used. Departures: the paper's code draws from
    a truncated normal of the same variance, multiplies depthwise kernels by the number of channels, and leaves a mean
    out of account behind dropout (variance nu / (1 - p) where it is (nu + p mu^2) / (1 - p)) and zero padding. Behind
    a nonlinearity, pooling takes its inputs for Gaussian, as the paper does: the largest of 9 independent outputs of
    ReLU has in truth a root mean square of 1.60, not 1.31; neighbours in an image are not independent either.

    Args:
        input_mean: mean of the model's inputs; None = that of the probe's, 0 without a probe.
        input_variance: variance of the model's inputs, from 0; None = that of the probe's, 1 without a probe.

    References:
        Bingham & Miikkulainen 2021, AutoInit: analytic signal-preserving weight initialization for neural networks,
        theorem 1 and section 4.
    """

    input_mean: float | None = None
    input_variance: float | None = None
    law_version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.input_mean is not None:
            check_number("AutoInit", "input_mean", self.input_mean)
        if self.input_variance is not None:
            check_number("AutoInit", "input_variance", self.input_variance, minimum=0)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        inputs = self._inputs(probe)
        example = None if probe is None else Example((probe.inputs[:2],), {}, "the inputs of the probe")
        recording = recorded(model, example, is_training=True) or recorded(model, example)
        seen = None if recording is None else seen_by_layers(model, recording, specs, inputs)

        def weight(spec: ParamSpec) -> Normal:
            if spec.role is Role.RECURRENT:
                return Normal(0.0, 1 / math.sqrt(spec.fan_in))
            signal = _in_order(spec, specs, inputs) if seen is None else seen.get(spec.name, UNIT)
            # a signal that is 0 everywhere cannot be preserved
            return Normal(0.0, 1 / math.sqrt(spec.fan_in * (signal.mean_square or 1.0)))

        laws = weights_by_place(weight, specs)
        return Initialization({name: draw(law, spec, seed) for name, (law, spec) in laws.items()})

    def _inputs(self, probe: Probe | None) -> Signal:
        mean, variance = UNIT.mean, UNIT.variance
        if probe is not None and probe.inputs.is_floating_point():
            values = probe.inputs.detach().double()
            mean, variance = float(values.mean()), float(values.var(unbiased=False))
        return Signal(
            mean if self.input_mean is None else float(self.input_mean),
            variance if self.input_variance is None else float(self.input_variance),
        )


def _in_order(spec: ParamSpec, specs: Specs, inputs: Signal) -> Signal:
    """What a layer receives, where only the order of the layers is known."""
    if spec.layer == 0:
        return inputs
    before = [other for other in specs if other.layer == spec.layer - 1 and other.role in (*WEIGHTS, Role.EMBEDDING)]
    nonlinearity = before[0].nonlinearity if before else None
    return UNIT if nonlinearity is None else UNIT.through(nonlinearity.function)
