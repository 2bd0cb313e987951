"""Data-dependent initialization: unit channels within each layer, equal rates of change between layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.errors import ConfigError, bad_value, check_number, check_whole_number
from initsuite.init.base.compose import PerTensor
from initsuite.init.base.moments import Correction, Moments
from initsuite.init.base.normalizing import Normalization
from initsuite.init.base.probing import Layer, ProbedModel, layers_of, needed
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import Initialization, Params, Probe, Role, Specs

HOMOGENEOUS = ("identity", "relu", "leaky_relu")
"""phi(a z) = a phi(z) for a > 0."""
MAX_TRIES = 10
"""Corrections of a layer that feeds on itself, as in LSUV."""
TOLERANCE = 0.01
"""The paper's code stops when no layer is further than this from the common ratio; here from its logarithm."""


@dataclass(frozen=True)
class DataDependent:
    """Every channel of every layer has mean `beta` and variance 1 on the probe; all layers then change equally fast.

    Within the layers, in the order of use: rows of N(0, 1/fan_in) divided by the std sigma_c of their channel, and
    biases beta - mu_c / sigma_c; this preserves mean and variance of each channel exactly, on the probe. Between them:
    C = sqrt(mean grad^2 / mean w^2) of each weight, for the loss sum(eta * outputs) with fixed eta ~ N(0, 1), is
    brought to the geometric mean of all layers by the factors r = sqrt(C / geometric mean), whose product is 1. The
    biases follow, so that a chain of linear layers, convolutions, pooling and (leaky) ReLU keeps its function, and the
    channels of a layer keep their ratios, while their mean and variance become those of the layer: prod of r before it.
    Other networks are not homogeneous; there the factors are found by repetition, and the function changes. A network
    that feeds on itself may be left with ratios that differ by about ten per cent. Var[w] = r^2 / (fan_in sigma_c^2).

    The head is treated like any other layer. Norms and embeddings are as in torch. A channel without variance keeps its
    weights, and layers without bias keep their mean. A layer that is called several times is measured over all its
    calls and corrected up to ten times. Departures: the paper also offers weights from PCA and k-means; it damps r to
    the power 1/4, which its code does not and `damping` can.

    Args:
        beta: mean of each channel; 0.1 is the default of the paper's code, against dead ReLUs.
        steps: repetitions of the balance between layers, from 0; one is exact for a homogeneous chain.
        damping: power of r, above 0 and at most 1.

    Raises:
        ConfigError: no probe, or a layer whose output no hook can see (packed attention, nn.LSTM).

    References:
        Krahenbuhl, Doersch, Donahue & Darrell 2015, Data-dependent initializations of convolutional neural networks,
        algorithms 1 and 2; github.com/philkr/magic_init.
    """

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
        normed = {spec.layer for spec in specs if spec.role is Role.NORM_SCALE}
        probed = ProbedModel("DataDependent", model)
        with torch.no_grad():
            Normalization(probed, layers, inputs, self, MAX_TRIES)(params)
        if layers:
            self._equal_rates(probed, params, layers, inputs, normed, seed)
        return Initialization({spec.name: params[spec.name] for spec in specs})

    def _equal_rates(
        self, probed: ProbedModel, params: Params, layers: list[Layer], inputs: Tensor, normed: set[int], seed: int
    ) -> None:
        """Balance the layers; changes `params`."""
        with torch.no_grad():
            outputs = _one_tensor(probed(params, inputs))
            order = list(probed.calls(params, inputs, layers))
        eta = torch.empty(outputs.shape).normal_(generator=rng.generator(seed, "init", "data_dependent.eta"))
        layers = sorted(layers, key=lambda layer: order.index(layer.weight.name))
        for _ in range(self.steps):
            ratios = _log_ratios(probed, params, layers, inputs, eta)
            if float((ratios - ratios.nanmean()).abs().nan_to_num().max()) < TOLERANCE:
                break
            _balance(params, layers, ratios, self.damping, normed)

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
    if not isinstance(outputs, Tensor):
        raise ConfigError(
            f"DataDependent: the model returns a {type(outputs).__name__}. Expected one tensor, whose random "
            "combinations are the loss that balances the layers. Wrap the model so that it returns its logits alone."
        )
    return outputs


def _log_ratios(probed: ProbedModel, params: Params, layers: Sequence[Layer], inputs: Tensor, eta: Tensor) -> Tensor:
    """log C of each layer, [layer]; NaN where all gradients or all weights are 0."""
    names = [layer.weight.name for layer in layers]
    with torch.enable_grad():
        leaves = {name: params[name].clone().requires_grad_() for name in names}
        loss = (probed({**params, **leaves}, inputs) * eta).sum()
        gradients = probed.gradients(loss, list(leaves.values()))
    squares = [
        gradient.double().square().mean() / params[name].double().square().mean()
        for name, gradient in zip(names, gradients, strict=True)
    ]
    ratios = torch.stack(squares).log() / 2
    return torch.where(ratios.isfinite(), ratios, math.nan)


def _balance(params: Params, layers: Sequence[Layer], ratios: Tensor, damping: float, normed: set[int]) -> None:
    """Scale each layer by r, and its bias by the product of all r since the signal last lost its scale."""
    factors = ((ratios - ratios.nanmean()) * (damping / 2)).exp().nan_to_num(1.0).tolist()
    carried = 1.0
    for layer, factor in zip(layers, factors, strict=True):
        spec = layer.weight
        params[spec.name] = params[spec.name] * factor
        carried *= factor
        if layer.bias is not None:
            params[layer.bias.name] = params[layer.bias.name] * carried
        if spec.layer in normed or (spec.nonlinearity and spec.nonlinearity.name not in HOMOGENEOUS):
            carried = 1.0
