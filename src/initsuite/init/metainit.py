"""MetaInit: norms that make the loss locally linear."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.errors import ConfigError, bad_value, check_number, check_whole_number, unknown_choice
from initsuite.init.base.compose import PerTensor
from initsuite.init.base.probing import ProbedModel, needed
from initsuite.init.theory.gains import check_gain
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import Initialization, Params, Probe, Specs

KEEPS = ("best", "last")
EPSILON = 1e-5
"""From the paper's appendix: keeps the quotient finite where the gradient is 0."""
JUDGES = 5
"""Fresh batches on which the norms that were found are compared."""
SMALLEST_SHARE = 1e-3
"""A norm never falls below this share of its start: a step past 0 would flip the signs of the tensor."""


@dataclass(frozen=True)
class MetaInit:
    """Random weights whose norms minimise the gradient quotient of the model on Gaussian inputs.

    GQ = the mean over all parameters of |(g - H g) / (g + epsilon sign(g)) - 1|, with the gradient g and the Hessian H
    of the loss: the share by which a step of gradient descent changes the gradient. Its minimum is 0, a loss that is
    linear around the start. Each step draws fresh inputs and moves the Frobenius norm of every tensor of two axes or
    more: memory <- momentum memory - lr sign(dGQ / dnorm), norm <- norm + memory.

    It starts from N(0, gain^2 / fan_in); only the norms change, so that Var[w] = norm^2 / entries in the end. It
    preserves the direction of the gradient to first order; nothing is promised for the variance of the signal. Biases
    are 0 and norms as in torch; the head is tuned like any other layer.

    It uses the shape of the probe's inputs, its targets in random order (Gaussian inputs say nothing about them; the
    paper draws uniform classes), and its loss; never the inputs themselves. Steps and batches are those of the paper,
    which repair a start with norms three times too large; they cost seconds for a small MLP. The quotient has heavy
    tails, which a small network does not average out. Departures: of the norms with the lowest quotient on the way, the
    last ones and the start, those with the lowest median on the same fresh batches are returned, so that the result is
    not worse than the start; the paper returns the last. Batch norm uses the statistics of the batch; the paper's code
    runs it in evaluation mode.

    Args:
        gain: gain of the start: a number above 0, `auto` or `torch` (see `VarianceScaling`).
        steps: updates of the norms, from 1.
        lr: step size of the norms, above 0.
        momentum: from 0, below 1.
        batch_size: examples per step, from 1, at most those of the probe.
        keep: best, as above; or last, as in the paper.

    Raises:
        ConfigError: no probe, integer inputs, or a model that cannot be differentiated three times.

    References:
        Dauphin & Schoenholz 2019, MetaInit: initializing learning by learning to initialize, (1) and figure 2.
    """

    law_version: ClassVar[int] = 2
    gain: float | str = "auto"
    steps: int = 500
    lr: float = 0.1
    momentum: float = 0.9
    batch_size: int = 256
    keep: str = "best"

    def __post_init__(self) -> None:
        check_gain("MetaInit", self.gain)
        check_whole_number("MetaInit", "steps", self.steps)
        check_number("MetaInit", "lr", self.lr, above=0)
        check_number("MetaInit", "momentum", self.momentum, minimum=0)
        check_whole_number("MetaInit", "batch_size", self.batch_size)
        if self.keep not in KEEPS:
            raise unknown_choice("MetaInit", "keep", self.keep, KEEPS)
        if self.momentum >= 1:
            raise bad_value("MetaInit", "momentum", self.momentum, "a number from 0, below 1")

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        probe = needed("MetaInit", probe, "shape of the inputs, the targets and the loss")
        if not probe.inputs.is_floating_point():
            raise ConfigError(
                f"MetaInit: bad `probe.inputs` of type {probe.inputs.dtype}. Expected real numbers, which Gaussian "
                "ones can replace. Use another initializer for models of tokens."
            )
        params = PerTensor(weight=VarianceScaling(gain=self.gain))(model, specs, seed=seed).params
        chosen = self._tuned(ProbedModel("MetaInit", model), params, _gaussian_batches(probe, self.batch_size, seed))
        return Initialization({spec.name: chosen[spec.name] for spec in specs})

    def _tuned(self, probed: ProbedModel, params: Params, batches: Iterator[Probe]) -> Params:
        """The parameters with the norms that the descent arrives at."""
        names = sorted(name for name, tensor in params.items() if tensor.ndim >= 2 and bool(tensor.any()))
        smallest = {name: SMALLEST_SHARE * float(params[name].norm()) for name in names}
        memory = dict.fromkeys(names, 0.0)
        start, best, lowest = params, params, math.inf
        for _ in range(self.steps):
            quotient, slopes = _slopes(probed, params, names, next(batches))
            if quotient < lowest:
                best, lowest = params, quotient
            params = dict(params)
            for name, slope in slopes.items():
                norm = float(params[name].norm())
                memory[name] = self.momentum * memory[name] - self.lr * slope
                params[name] = params[name] * (max(norm + memory[name], smallest[name]) / norm)
        if self.keep == "last":
            return params
        return _lowest(probed, {"start": start, "best": best, "last": params}, names, batches)


def _lowest(probed: ProbedModel, found: Mapping[str, Params], names: Sequence[str], batches: Iterator[Probe]) -> Params:
    """Those with the lowest median quotient on the same fresh batches; a warning where that is the start.

    The lowest of many quotients, each on its own batch, is low by luck: on other batches it may be above the start.
    """
    common = [next(batches) for _ in range(JUDGES)]
    medians = {
        name: statistics.median(_slopes(probed, params, names, batch)[0] for batch in common)
        for name, params in found.items()
    }
    chosen = min(medians, key=lambda name: medians[name])
    if chosen == "start" and len(names):
        warnings.warn(
            f"MetaInit: the gradient quotient was not lowered: {medians['start']:.3g} at the start, "
            f"{medians['best']:.3g} after. The start is kept. Set init.batch_size or init.steps higher.",
            stacklevel=2,
        )
    return found[chosen]


def gradient_quotient(probed: ProbedModel, params: Params, batch: Probe) -> Tensor:
    """GQ of all parameters, a scalar that can be differentiated; `params` must require gradients.

    Raises:
        ConfigError: the model or the loss has no second derivative.
    """
    names = sorted(params)
    leaves = [params[name] for name in names]
    gradients = probed.gradients(probed.loss(params, batch), leaves, again=True)
    half_square = sum((gradient.square().sum() / 2 for gradient in gradients), start=torch.zeros(()))
    products = probed.gradients(half_square, leaves, again=True)  # H g
    total = torch.zeros(())
    for gradient, product in zip(gradients, products, strict=True):
        safe = gradient + EPSILON * torch.where(gradient.detach() >= 0, 1.0, -1.0)
        total = total + ((gradient - product) / safe - 1).abs().sum()
    return total / sum(leaf.numel() for leaf in leaves)


def _slopes(probed: ProbedModel, params: Params, names: Sequence[str], batch: Probe) -> tuple[float, dict[str, float]]:
    """GQ, and the sign of dGQ / dnorm of each named tensor: -1, 0 or 1."""
    with torch.enable_grad():
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
        quotient = gradient_quotient(probed, leaves, batch)
        gradients = probed.gradients(quotient, [leaves[name] for name in names])
    # the norm scales the tensor: its derivative is the inner product with tensor / norm
    products = {name: (gradient * params[name]).sum() for name, gradient in zip(names, gradients, strict=True)}
    return float(quotient.detach()), {name: float(torch.sign(product)) for name, product in products.items()}


def _gaussian_batches(probe: Probe, batch_size: int, seed: int) -> Iterator[Probe]:
    generator = rng.generator(seed, "init", "metainit.batches")
    size = min(batch_size, len(probe.inputs))
    while True:
        inputs = torch.empty(size, *probe.inputs.shape[1:]).normal_(generator=generator)
        chosen = torch.randperm(len(probe.targets), generator=generator)[:size]
        yield Probe(inputs, probe.targets[chosen], probe.loss)
