"""Optimizers as pure functions of one trial; the engine maps them over a stack.

Every number of an optimizer is a scalar that may differ between the trials of a stack, so each program computes every
term (a weight decay of 0 is multiplied, not skipped): what a trial gets never depends on its stack-mates.

References:
    Polyak 1964 (momentum); Sutskever et al. 2013, section 2 (both momenta; there lr stands inside b, here outside).
    Kingma and Ba 2015, algorithm 1 (Adam); Loshchilov and Hutter 2019, algorithm 2 (AdamW).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from initsuite.errors import bad_value, check_number
from initsuite.spec import Params

Scalars = Mapping[str, Tensor]
"""`lr` and the optimizer's own scalars, each a zero-dimensional tensor."""


@dataclass(frozen=True)
class Sgd:
    """Gradient descent with momentum, as `torch.optim.SGD` without dampening.

    g' = g + weight_decay w;  b <- momentum b + g' from b = 0;  w <- w - lr b, with Nesterov w - lr (g' + momentum b).
    From b = 0 the first update sets b = g', which is torch's special case for its first step.

    Args:
        momentum: 0 <= momentum < 1.
        nesterov: look one step ahead; needs momentum above 0.
        weight_decay: of the L2 penalty weight_decay |w|^2 / 2, from 0.

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> sgd = Sgd(momentum=0.5)
        >>> params, grads = {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> scalars = {"lr": torch.tensor(0.1), "momentum": torch.tensor(0.5), "weight_decay": torch.tensor(0.0)}
        >>> params, state = sgd.update(grads, sgd.init(params), params, scalars)
        >>> params["w"], state["momentum"]["w"]
        (tensor([0.8000]), tensor([2.]))
    """

    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_below_one("Sgd", "momentum", self.momentum)
        check_number("Sgd", "weight_decay", self.weight_decay, minimum=0)
        if not isinstance(self.nesterov, bool):
            raise bad_value("Sgd", "nesterov", self.nesterov, "true or false")
        if self.nesterov and self.momentum == 0:
            raise bad_value("Sgd", "nesterov", True, "momentum above 0 with it", "Set momentum=0.9 or nesterov=false.")

    @property
    def kind(self) -> str:
        return "sgd-nesterov" if self.nesterov else "sgd"

    @property
    def scalars(self) -> dict[str, float]:
        return {"momentum": float(self.momentum), "weight_decay": float(self.weight_decay)}

    def init(self, params: Params, /) -> dict[str, Any]:
        """The state before the first step: b = 0 for every parameter."""
        return {"momentum": _zeros(params)}

    def update(
        self, grads: Params, state: dict[str, Any], params: Params, scalars: Scalars, /
    ) -> tuple[Params, dict[str, Any]]:
        """New parameters and state of one trial; nothing is written in place."""
        momentum, minus_lr = scalars["momentum"], -scalars["lr"]
        grads = _add_decay(grads, params, scalars["weight_decay"])
        buffers = {name: torch.addcmul(grads[name], state["momentum"][name], momentum) for name in params}
        moves = buffers
        if self.nesterov:
            moves = {name: torch.addcmul(grads[name], buffers[name], momentum) for name in params}
        return {name: torch.addcmul(params[name], moves[name], minus_lr) for name in params}, {"momentum": buffers}


@dataclass(frozen=True)
class Adam:
    """Adam, as `torch.optim.Adam`; weight decay is an L2 penalty, added to the gradient.

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2, both from 0;  with c_i = 1 - beta_i^t at step t,
    w <- w - lr (m / c_1) / (sqrt(v / c_2) + eps).

    Args:
        beta1: decay of the mean of the gradient, 0 <= beta1 < 1.
        beta2: decay of the mean of its square, 0 <= beta2 < 1.
        eps: above 0; bounds the step where gradients are small.
        weight_decay: from 0.

    Raises:
        ConfigError: a number out of its range.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        where = type(self).__name__
        _check_below_one(where, "beta1", self.beta1)
        _check_below_one(where, "beta2", self.beta2)
        check_number(where, "weight_decay", self.weight_decay, minimum=0)
        check_number(where, "eps", self.eps, above=0, fix="The usual value is 1e-8.")

    @property
    def kind(self) -> str:
        return "adam"

    @property
    def scalars(self) -> dict[str, float]:
        names = ("beta1", "beta2", "eps", "weight_decay")
        return {name: float(getattr(self, name)) for name in names}

    def init(self, params: Params, /) -> dict[str, Any]:
        """The state before the first step: no step counted, m = v = 0 for every parameter."""
        count = next(iter(params.values())).new_zeros(())
        return {"count": count, "mean": _zeros(params), "square": _zeros(params)}

    def update(
        self, grads: Params, state: dict[str, Any], params: Params, scalars: Scalars, /
    ) -> tuple[Params, dict[str, Any]]:
        """New parameters and state of one trial; nothing is written in place."""
        params, grads = self._decay(params, grads, scalars)
        fresh1, fresh2 = 1 - scalars["beta1"], 1 - scalars["beta2"]
        mean = {name: torch.lerp(state["mean"][name], grads[name], fresh1) for name in params}
        square = {name: torch.lerp(state["square"][name], grads[name] * grads[name], fresh2) for name in params}
        count = state["count"] + 1
        root2 = _bias_correction(scalars["beta2"], count).sqrt()
        # sqrt(c_2) multiplies numerator and denominator: two operations a tensor less than the formula as written
        minus_lr = -scalars["lr"] * root2 / _bias_correction(scalars["beta1"], count)
        eps = scalars["eps"] * root2
        moved = {name: torch.addcdiv(params[name], mean[name] * minus_lr, square[name].sqrt() + eps) for name in params}
        return moved, {"count": count, "mean": mean, "square": square}

    def _decay(self, params: Params, grads: Params, scalars: Scalars) -> tuple[Params, Params]:
        """The penalty goes into the gradient, and so into both means."""
        return params, _add_decay(grads, params, scalars["weight_decay"])


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, as `torch.optim.AdamW`: w <- (1 - lr weight_decay) w before Adam's step.

    Args:
        beta1: as in Adam.
        beta2: as in Adam.
        eps: as in Adam.
        weight_decay: shrinkage per unit of lr, from 0.
    """

    weight_decay: float = 0.01

    @property
    def kind(self) -> str:
        return "adamw"

    def _decay(self, params: Params, grads: Params, scalars: Scalars) -> tuple[Params, Params]:
        """The parameters shrink; the gradient stays."""
        kept = 1 - scalars["lr"] * scalars["weight_decay"]
        return {name: value * kept for name, value in params.items()}, grads


def _bias_correction(beta: Tensor, count: Tensor) -> Tensor:
    """1 - beta^count as -expm1(count log beta): in float32 the plain form loses four digits at beta = 0.999."""
    return -torch.expm1(count * beta.log())


def _add_decay(grads: Params, params: Params, weight_decay: Tensor) -> Params:
    return {name: torch.addcmul(grads[name], params[name], weight_decay) for name in params}


def _zeros(params: Params) -> Params:
    return {name: torch.zeros_like(value) for name, value in params.items()}


def _check_below_one(where: str, name: str, value: float) -> None:
    check_number(where, name, value, minimum=0, fix="It is below 1.")
    if value >= 1:
        raise bad_value(where, name, value, "a number from 0 and below 1")
