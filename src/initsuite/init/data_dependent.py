"""Data-dependent initialization: unit channels within each layer, equal rates of change between layers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.errors import ConfigError, bad_value, check_number, check_whole_number
from initsuite.init.base.compose import PerTensor
from initsuite.init.base.moments import Correction, Moments, channel_axis
from initsuite.init.base.normalizing import Normalization
from initsuite.init.base.probing import Layer, ProbedModel, layers_of, needed
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.models.describe.graph.recording import tensors_in
from initsuite.spec import Initialization, Params, Probe, Specs

MAX_TRIES = 10
"""Corrections of a layer that feeds on itself, as in LSUV."""
TOLERANCE = 0.01
"""The paper's code stops when no layer is further than this from the common ratio; here from its logarithm."""
FAR = 0.25
"""Of log s, from where on the paper's code warns that the network is not homogeneous."""


@dataclass(frozen=True)
class DataDependent:
    """Every channel of every layer has mean `beta` and variance 1 on the probe; all layers then change equally fast.

    Within the layers, in the order of use: rows of N(0, 1/fan_in) divided by the std sigma_c of their channel, and
    biases beta - mu_c / sigma_c; this preserves mean and variance of each channel exactly, on the probe. Between them:
    C = sqrt(mean grad^2 / mean w^2) of each of the L weights, for the loss sum(eta * outputs) with fixed
    eta ~ N(0, 1), is brought to one value by the factors r = sqrt(C / target). The target is the geometric mean of all
    C, times s^(1/L), where s is the std of the outputs: the product of all r is s^(-1/2), which leads the outputs back
    to std 1. A bias follows its weight and the size of its inputs, mean |x|, as measured. A chain of linear layers,
    convolutions, pooling and (leaky) ReLU is homogeneous: s = 1, one step is exact and keeps the function, and the
    channels of a layer keep their ratios, while their mean and variance become those of the layer. In other networks
    the factors are found by repetition, the function changes, and what is balanced best is kept; a warning says where
    the outputs end further than a factor e^(1/4) from std 1. Var[w] = r^2 / (fan_in sigma_c^2).

    The head is treated like any other layer. Norms and embeddings are as in torch. A channel without variance keeps its
    weights, and layers without bias keep their mean. A layer that is called several times is measured over all its
    calls and corrected up to ten times; what comes nearest is kept, with a warning. Departures: the paper also offers
    weights from PCA and k-means; it damps r to the power 1/4, which its code does not and `damping` can; that code
    draws a new eta for each step.

    Args:
        beta: mean of each channel; 0.1 is the default of the paper's code, against dead ReLUs.
        steps: repetitions of the balance between layers, from 0; one is exact for a homogeneous chain.
        damping: power of r, above 0 and at most 1.

    Raises:
        ConfigError: no probe, or a layer whose output cannot be seen (nn.LSTM, a weight that is changed before use).

    References:
        Krahenbuhl, Doersch, Donahue & Darrell 2015, Data-dependent initializations of convolutional neural networks,
        algorithms 1 and 2; github.com/philkr/magic_init.
    """

    law_version: ClassVar[int] = 2
    beta: float = 0.1
    steps: int = 10
    damping: float = 1.0

    def __post_init__(self) -> None:
        check_number("DataDependent", "beta", self.beta)
        check_whole_number("DataDependent", "steps", self.steps, minimum=0)
        check_number("DataDependent", "damping", self.damping, above=0)
        if self.damping > 1:
            raise bad_value("DataDependent", "damping", self.damping, "a number above 0 and at most 1")

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        inputs = needed("DataDependent", probe).inputs
        params = PerTensor(weight=VarianceScaling(gain=1.0))(model, specs, seed=seed).params
        layers = layers_of(model, specs)
        probed = ProbedModel("DataDependent", model)
        with torch.no_grad():
            Normalization(probed, layers, inputs, self, MAX_TRIES)(params)
        if layers and self.steps:
            params = self._balanced(probed, params, layers, inputs, seed)
        return Initialization({spec.name: params[spec.name] for spec in specs})

    def _balanced(
        self, probed: ProbedModel, params: Params, layers: Sequence[Layer], inputs: Tensor, seed: int
    ) -> Params:
        """The parameters whose layers change at the most equal rates, of those that the steps lead to."""
        with torch.no_grad():
            outputs = _one_tensor(probed(params, inputs))
            sizes = _input_sizes(probed, params, layers, inputs)
        eta = torch.empty(outputs.shape).normal_(generator=rng.generator(seed, "init", "data_dependent.eta"))
        best = _Balance(math.inf, 0.0, params)
        for step in range(self.steps + 1):
            ratios, spread = _log_ratios(probed, params, layers, inputs, eta)
            excess = (ratios - ratios.nanmean() - spread / len(layers)).nan_to_num()
            best = min(best, _Balance(float(excess.abs().max()), spread, params), key=lambda found: found.worst)
            if best.worst < TOLERANCE or step == self.steps:
                break
            factors = dict(zip(sizes, (excess * (self.damping / 2)).exp().tolist(), strict=True))
            with torch.no_grad():
                params, sizes = _rescaled(probed, params, layers, inputs, factors, sizes)
        if abs(best.spread) > FAR:
            warnings.warn(
                f"DataDependent: the outputs on the probe have std {math.exp(best.spread):.3g}. Expected about 1: the "
                "model is not homogeneous, and the balance of its layers moves its outputs. Set init.steps higher, or "
                "init.damping lower.",
                stacklevel=2,
            )
        return best.params

    def correction(self, layer: Layer, moments: Moments) -> Correction | None:
        mean, variance = moments.mean, moments.variance
        is_off = bool(((variance - 1).abs() > TOLERANCE)[variance > 0].any())
        if layer.bias is not None:
            is_off |= bool(((mean - self.beta).abs() > TOLERANCE).any())
        factor = torch.where(variance > 0, variance, 1.0).rsqrt()
        return (factor, self.beta - factor * mean) if is_off else None

    def error(self, layer: Layer, moments: Moments) -> Tensor:
        """log variance of each channel and, where there is a bias, the distance of its mean from beta."""
        logs = torch.where(moments.variance > 0, moments.variance, 1.0).log()
        return logs if layer.bias is None else torch.cat([logs, moments.mean - self.beta])


def _one_tensor(outputs: object) -> Tensor:
    """The outputs of a model, or what a language model calls its logits, or else the first real tensor in them."""
    named = getattr(outputs, "logits", None)
    tensors = [named] if isinstance(named, Tensor) else list(tensors_in(outputs))
    found = next((each for each in tensors if each.is_floating_point()), None)
    if found is None:
        raise ConfigError(
            f"DataDependent: the model returns a {type(outputs).__name__} without a real tensor. Expected one, whose "
            "random combinations are the loss that balances the layers. Wrap the model so that it returns its logits."
        )
    return found


@dataclass(frozen=True)
class _Balance:
    """Parameters, the largest distance of a layer's log C from the target, and log s of the outputs."""

    worst: float
    spread: float
    params: Params


def _log_ratios(
    probed: ProbedModel, params: Params, layers: Sequence[Layer], inputs: Tensor, eta: Tensor
) -> tuple[Tensor, float]:
    """log C of each layer, [layer], NaN where all gradients or all weights are 0; log s, 0 for constant outputs."""
    names = [layer.weight.name for layer in layers]
    with torch.enable_grad():
        leaves = {name: params[name].clone().requires_grad_() for name in names}
        outputs = _one_tensor(probed({**params, **leaves}, inputs))
        gradients = probed.gradients((outputs * eta).sum(), list(leaves.values()))
    squares = [
        gradient.double().square().mean() / params[name].double().square().mean()
        for name, gradient in zip(names, gradients, strict=True)
    ]
    ratios = torch.stack(squares).log() / 2
    std = float(outputs.detach().double().std(0, correction=0).mean())
    is_usable = std > 0 and math.isfinite(std)
    return torch.where(ratios.isfinite(), ratios, math.nan), math.log(std) if is_usable else 0.0


def _input_sizes(probed: ProbedModel, params: Params, layers: Sequence[Layer], inputs: Tensor) -> dict[str, float]:
    """mean |x| of each layer's inputs at its first use, by its weight, in the order of `layers`."""
    found: dict[str, float] = {}

    def watch(layer: Layer, _: Tensor, given: Tensor) -> None:
        found.setdefault(layer.weight.name, _size(given))

    probed.watched(params, inputs, layers, watch)
    return {layer.weight.name: found[layer.weight.name] for layer in layers}


def _size(inputs: Tensor) -> float:
    return float(inputs.abs().double().mean()) or 1.0


def _rescaled(
    probed: ProbedModel,
    params: Params,
    layers: Sequence[Layer],
    inputs: Tensor,
    factors: Mapping[str, float],
    sizes: Mapping[str, float],
) -> tuple[Params, dict[str, float]]:
    """Weights times their factors, biases also times the growth of the inputs; and the new sizes of the inputs."""
    changed, now = dict(params), dict(sizes)
    seen: set[str] = set()

    def watch(layer: Layer, output: Tensor, given: Tensor) -> Tensor:
        name = layer.weight.name
        if name not in seen:
            seen.add(name)
            now[name] = _size(given)
            changed[name] = params[name] * factors[name]
            if layer.bias:
                changed[layer.bias.name] = params[layer.bias.name] * (factors[name] * now[name] / sizes[name])
        if not layer.bias:
            return output * factors[name]
        before, after = (
            values[layer.bias.name].view(-1, *[1] * (output.ndim - 1 - channel_axis(layer, output)))
            for values in (params, changed)
        )
        return (output - before) * factors[name] + after

    probed.watched(dict(params), inputs, layers, watch)
    return changed, now
