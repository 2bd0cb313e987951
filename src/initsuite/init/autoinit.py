"""AutoInit: weights that give every layer's output mean 0 and variance 1, by analysis instead of data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from initsuite.errors import check_number
from initsuite.init.base.compose import draw, weights_by_place
from initsuite.init.base.probing import layers_of
from initsuite.init.distributions import Normal
from initsuite.init.theory.propagation import UNIT, Signal, seen_by_layers
from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import Initialization, ParamSpec, Probe, Role, Specs


@dataclass(frozen=True)
class AutoInit:
    """Normal weights scaled by the mean and variance that the layer's input has by analysis.

    Var[w] = 1 / (fan_in (mu^2 + nu)), with mean mu and variance nu of the layer's input. With zero biases the output
    then has mean 0 and variance 1 over the draw of the weights, for wide layers: the mean square of the signal is 1
    from the first layer on, for any activation and any mean of the inputs. The gradient is left to itself.

    mu and nu are carried through the traced model (torch.fx): (0, 1) behind layers, norms and embeddings; Gaussian
    quadrature behind activations and pooling windows, as if their inputs were Gaussian and independent; sums at the end
    of residual branches add means and variances. Where tracing fails (unrolled recurrent networks), the layers are
    taken in their order, each behind the nonlinearity of the one before it: sums and pooling are then not seen. Unknown
    functions hand the signal on; unknown modules, like attention and nn.LSTM, put out (0, 1), and so do their hidden
    states. An input and a recurrent matrix that are added are each scaled as if alone.

    Biases are 0, norms and embeddings as in torch; the head is treated like any other layer. No data are needed; where
    there is a probe, the mean and variance of all its inputs together are used. Departures: the paper's code draws from
    a truncated normal of the same variance, and finds the moments behind pooling by simulation.

    Args:
        input_mean: mean of the model's inputs; None = that of the probe's, 0 without a probe.
        input_variance: variance of the model's inputs, from 0; None = that of the probe's, 1 without a probe.

    References:
        Bingham & Miikkulainen 2021, AutoInit: analytic signal-preserving weight initialization for neural networks,
        theorem 1 and section 4.
    """

    input_mean: float | None = None
    input_variance: float | None = None

    def __post_init__(self) -> None:
        if self.input_mean is not None:
            check_number("AutoInit", "input_mean", self.input_mean)
        if self.input_variance is not None:
            check_number("AutoInit", "input_variance", self.input_variance, minimum=0)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        inputs = self._inputs(probe)
        seen = seen_by_layers(model, layers_of(model, specs), inputs)

        def weight(spec: ParamSpec) -> Normal:
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
