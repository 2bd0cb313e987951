"""GradInit: factors that make the first step of the optimizer count most."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.errors import check_number, check_whole_number, unknown_choice
from initsuite.init.base.compose import PerTensor
from initsuite.init.base.probing import ProbedModel, needed
from initsuite.init.theory.gains import check_gain
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import Initialization, Params, Probe, Specs

OPTIMIZERS = ("sgd", "adam")
BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Those of the Adam that moves the factors, as in the paper's code."""

PATIENCE, SLOWEST = 20, 0.999
"""The gradient norm falls no more if so many steps in a row do not lower it by a thousandth."""


@dataclass(frozen=True)
class GradInit:
    """Random weights times a factor per tensor, such that one optimizer step from there lowers the loss most.

    minimise over the factors m:  L(S'; m w - lr A[g])  subject to  |g| <= gamma,  g = the gradient of L(S; m w),

    where A[g] = g and |g| is the Euclidean norm for `sgd`, A[g] = sign(g) (the first step of Adam) and |g| the sum of
    magnitudes for `adam`. Each step draws S and S' from the probe, half of it each, with half of their examples in
    common; where |g| > gamma the factors move down the slope of |g|, else down that of L. They are moved by Adam, with
    separate moments for either case, and stay at or above `min_factor`. They then move down the slope of |g| on the
    whole probe until |g| <= gamma, or it falls no more. A result that is worse there than the start (further
    above gamma, or of a higher loss after the step) is not used; what ends above gamma is told.

    It starts from N(0, gain^2 / fan_in), so that Var[w] = m^2 gain^2 / fan_in. It preserves nothing by design; gamma
    bounds the gradient. Biases start at 0 and stay there: a factor cannot move them. Norm scales and embeddings get
    factors like any weight, and so does the head. Departures: the slope of L is taken through the step of sgd, as in
    the paper's algorithm (its code holds g fixed); the paper runs an epoch of 390 steps with clipped slopes.

    Args:
        gain: gain of the start: a number above 0, `auto` or `torch` (see `VarianceScaling`).
        optimizer: sgd or adam.
        lr: lr of the step whose loss is minimised, above 0.
        gamma: bound of the gradient norm, above 0; the paper's 1 is for sgd. The sum of magnitudes of `adam` grows with
            the number of parameters and needs its own.
        steps: updates of the factors, from 1.
        factor_lr: step size of the factors, above 0.
        min_factor: from 0; the paper's 0.01.

    Raises:
        ConfigError: no probe, or a model or loss that cannot be differentiated twice.

    References:
        Zhu et al. 2021, GradInit: learning to initialize neural networks for stable and efficient training,
        algorithm 1; github.com/zhuchen03/gradinit.
    """

    law_version: ClassVar[int] = 2
    gain: float | str = "auto"
    optimizer: str = "sgd"
    lr: float = 0.1
    gamma: float = 1.0
    steps: int = 100
    factor_lr: float = 0.01
    min_factor: float = 0.01

    def __post_init__(self) -> None:
        check_gain("GradInit", self.gain)
        if self.optimizer not in OPTIMIZERS:
            raise unknown_choice("GradInit", "optimizer", self.optimizer, OPTIMIZERS)
        for name in ("lr", "gamma", "factor_lr"):
            check_number("GradInit", name, getattr(self, name), above=0)
        check_number("GradInit", "min_factor", self.min_factor, minimum=0)
        check_whole_number("GradInit", "steps", self.steps)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        probe = needed("GradInit", probe, "inputs, targets and loss")
        start = PerTensor(weight=VarianceScaling(gain=self.gain))(model, specs, seed=seed).params
        probed = ProbedModel("GradInit", model)
        factors = {name: torch.ones(()) for name in sorted(start)}
        descents = {True: _Adam(self.factor_lr), False: _Adam(self.factor_lr)}
        for first, second in _halves(probe, self.steps, seed):
            slopes, norm = self._slopes(probed, start, factors, first, second)
            factors = self._moved(factors, descents[norm > self.gamma].moves(slopes))
        factors = self._bounded(probed, start, factors, probe, descents[True])
        unchanged = dict.fromkeys(factors, torch.ones(()))
        judged = [self._judged(probed, start, each, probe) for each in (factors, unchanged)]
        if judged[1] < judged[0]:
            factors = unchanged
            self._warn("the start is better than what was found, and is kept", "Set init.steps or init.lr otherwise.")
        elif judged[0][0] > 0:
            reached = self.gamma + judged[0][0]
            fix = "Set init.gamma higher: biases, which no factor moves, have gradients too."
            self._warn(f"the gradient norm on the probe stays at {reached:.3g}, above `gamma`={self.gamma:g}", fix)
        return Initialization({spec.name: start[spec.name] * factors[spec.name] for spec in specs})

    def _moved(self, factors: Params, moves: Mapping[str, Tensor]) -> Params:
        return {name: (factor + moves[name]).clamp(min=self.min_factor) for name, factor in factors.items()}

    def _bounded(self, probed: ProbedModel, start: Params, factors: Params, probe: Probe, descent: _Adam) -> Params:
        """Factors moved down the slope of |g| on the whole probe until it is at most gamma, or falls no more."""
        best, lowest, since = factors, math.inf, 0
        while since < PATIENCE:
            slopes, norm = self._slopes(probed, start, factors, probe, None)
            since = 0 if norm < SLOWEST * lowest else since + 1
            if norm < lowest:
                best, lowest = factors, norm
            if norm <= self.gamma:
                break
            factors = self._moved(factors, descent.moves(slopes))
        return best

    def _judged(self, probed: ProbedModel, start: Params, factors: Params, probe: Probe) -> tuple[float, float]:
        """How far |g| is above gamma, and the loss after the step, on the whole probe; both the lower the better."""
        with torch.enable_grad():
            params = {name: (factor * start[name]).requires_grad_() for name, factor in factors.items()}
            gradients = probed.gradients(probed.loss(params, probe), list(params.values()))
        moved = {
            name: value.detach() - self.lr * self._direction(gradient)
            for (name, value), gradient in zip(params.items(), gradients, strict=True)
        }
        with torch.no_grad():
            return max(float(self._norm(gradients)) - self.gamma, 0.0), float(probed.loss(moved, probe))

    def _warn(self, what: str, fix: str) -> None:
        warnings.warn(f"GradInit: {what}. {fix}", stacklevel=3)

    def _slopes(
        self, probed: ProbedModel, start: Params, factors: Params, first: Probe, second: Probe | None
    ) -> tuple[Params, float]:
        """The derivatives by each factor, and |g|; those of |g| where it is above gamma or there is no second batch."""
        with torch.enable_grad():
            leaves = {name: factor.clone().requires_grad_() for name, factor in factors.items()}
            params = {name: leaf * start[name] for name, leaf in leaves.items()}
            gradients = probed.gradients(probed.loss(params, first), list(params.values()), again=True)
            norm = self._norm(gradients)
            if second is None or bool(norm > self.gamma):
                objective = norm
            else:
                moved = zip(params.items(), map(self._direction, gradients), strict=True)
                objective = probed.loss({name: value - self.lr * by for (name, value), by in moved}, second)
            slopes = probed.gradients(objective, list(leaves.values()))
        return dict(zip(leaves, slopes, strict=True)), float(norm.detach())

    def _direction(self, gradient: Tensor) -> Tensor:
        return gradient if self.optimizer == "sgd" else gradient.sign()

    def _norm(self, gradients: Sequence[Tensor]) -> Tensor:
        if self.optimizer == "sgd":
            return torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        return torch.stack([gradient.abs().sum() for gradient in gradients]).sum()


@dataclass
class _Adam:
    """Adam on scalars by name."""

    lr: float
    count: int = 0
    mean: dict[str, Tensor] = field(default_factory=dict)
    square: dict[str, Tensor] = field(default_factory=dict)

    def moves(self, slopes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.count += 1
        corrections = [1 - beta**self.count for beta in BETAS]
        result = {}
        for name, slope in slopes.items():
            self.mean[name] = torch.lerp(slope, self.mean.get(name, torch.zeros(())), BETAS[0])
            self.square[name] = torch.lerp(slope.square(), self.square.get(name, torch.zeros(())), BETAS[1])
            size = (self.square[name] / corrections[1]).sqrt() + EPSILON
            result[name] = -self.lr * (self.mean[name] / corrections[0]) / size
        return result


def _halves(probe: Probe, steps: int, seed: int) -> Iterator[tuple[Probe, Probe]]:
    """Two halves of the probe per step, which share half of their examples; all of it where it is too small."""
    generator = rng.generator(seed, "init", "gradinit.batches")
    count = len(probe.inputs)
    for _ in range(steps):
        order = torch.randperm(count, generator=generator)
        parts = [order[: count // 2], order[count // 4 : count // 4 + count // 2]] if count >= 4 else [order, order]
        first, second = (Probe(probe.inputs[part], probe.targets[part], probe.loss) for part in parts)
        yield first, second
