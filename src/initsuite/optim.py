"""Optimizers as functions of one trial; the engine maps them over a stack.

Each is written once, in place and element by element (`begin_step_`, `move_`), so that the engine can move a whole
stack block by block, while a block is in the processor's cache. `update` is the same on copies, for one trial.

Every number of an optimizer is a scalar that may differ between the trials of a stack, so each program computes every
term (a weight decay of 0 is multiplied, not skipped): what a trial gets never depends on its stack-mates, but for the
rounding of Adam, which torch's own kernel moves where all trials share its betas and eps.

References:
    Polyak 1964 (momentum); Sutskever et al. 2013, section 2 (both momenta; there lr stands inside b, here outside).
    Kingma and Ba 2015, algorithm 1 (Adam); Loshchilov and Hutter 2019, algorithm 2 (AdamW).
    Tieleman and Hinton 2012, Neural networks for machine learning, lecture 6e (RMSprop).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from initsuite.errors import bad_value, check_number
from initsuite.spec import Optimizer, Params

Scalars = Mapping[str, Tensor]
"""`lr` and the optimizer's own scalars, each a zero-dimensional tensor."""


@runtime_checkable
class Elementwise(Optimizer, Protocol):
    """An optimizer whose every operation is elementwise: it may move many trials at once and any part of a tensor.

    Attributes:
        slots: the parts of the state that hold a tensor for each parameter, in the order that `move_` takes them.
    """

    slots: ClassVar[tuple[str, ...]]

    def begin_step_(self, state: Any, scalars: Scalars, /) -> dict[str, Tensor]: ...

    @property
    def move_(self) -> Callable[..., None]:
        """(param, grad, *slots, **numbers), all of one shape but the numbers, which are broadcast."""
        ...


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

    slots: ClassVar[tuple[str, ...]] = ("momentum",)

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
        return _on_copies(self, grads, state, params, scalars)

    def begin_step_(self, state: dict[str, Any], scalars: Scalars) -> dict[str, Tensor]:
        """The numbers of this step, of the shape of the scalars."""
        decay = {name: scalars[name] for name in ("momentum", "weight_decay")}
        return {**decay, "minus_lr": -scalars["lr"]}

    def move_(
        self, param: Tensor, grad: Tensor, buffer: Tensor, *, momentum: Tensor, weight_decay: Tensor, minus_lr: Tensor
    ) -> None:
        """Move a parameter tensor or a part of it; its gradient is used up."""
        grad.addcmul_(param, weight_decay)
        buffer.mul_(momentum).add_(grad)
        if self.nesterov:
            param.addcmul_(grad.addcmul_(buffer, momentum), minus_lr)
        else:
            param.addcmul_(buffer, minus_lr)


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

    slots: ClassVar[tuple[str, ...]] = ("mean", "square")

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
        return _on_copies(self, grads, state, params, scalars)

    def begin_step_(self, state: dict[str, Any], scalars: Scalars) -> dict[str, Tensor]:
        """Count the step; the numbers of it, of the shape of the scalars."""
        count = state["count"].add_(1)
        # sqrt(c_2) multiplies numerator and denominator: two operations a tensor less than the formula as written
        root2 = _bias_correction(scalars["beta2"], count).sqrt()
        step_size = scalars["lr"] * root2 / _bias_correction(scalars["beta1"], count)
        return {
            "fresh1": 1 - scalars["beta1"],
            "fresh2": 1 - scalars["beta2"],
            "eps": scalars["eps"] * root2,
            "minus_step_size": -step_size,
            "decay": self.decay(scalars),
        }

    def move_(
        self,
        param: Tensor,
        grad: Tensor,
        mean: Tensor,
        square: Tensor,
        *,
        fresh1: Tensor,
        fresh2: Tensor,
        eps: Tensor,
        minus_step_size: Tensor,
        decay: Tensor,
    ) -> None:
        """Move a parameter tensor or a part of it; its gradient is used up."""
        self.decay_(param, grad, decay)
        mean.lerp_(grad, fresh1)
        square.lerp_(grad.mul_(grad), fresh2)
        # where the step size is 0 the divisor is infinite and the parameter stays
        param.addcdiv_(mean, grad.copy_(square).sqrt_().add_(eps).div_(minus_step_size))

    def decay(self, scalars: Scalars) -> Tensor:
        """What `decay_` takes, of the shape of the scalars."""
        return scalars["weight_decay"]

    def decay_(self, param: Tensor, grad: Tensor, decay: Tensor) -> None:
        """The penalty goes into the gradient, and so into both means."""
        grad.addcmul_(param, decay)


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

    def decay(self, scalars: Scalars) -> Tensor:
        return 1 - scalars["lr"] * scalars["weight_decay"]

    def decay_(self, param: Tensor, grad: Tensor, decay: Tensor) -> None:
        """The parameters shrink; the gradient stays."""
        param.mul_(decay)


@dataclass(frozen=True)
class RmsProp:
    """RMSprop, as `torch.optim.RMSprop` without centring; weight decay is an L2 penalty, added to the gradient.

    v <- alpha v + (1 - alpha) g^2 from v = 0;  b <- momentum b + g / (sqrt(v) + eps) from b = 0;  w <- w - lr b.
    v is not corrected for its start at 0: the first step is lr sign(g) / sqrt(1 - alpha), ten times lr at alpha = 0.99.

    Args:
        alpha: decay of the mean of the squared gradient, 0 <= alpha < 1.
        eps: above 0; bounds the step where gradients are small.
        momentum: 0 <= momentum < 1.
        weight_decay: from 0.

    Raises:
        ConfigError: a number out of its range.
    """

    slots: ClassVar[tuple[str, ...]] = ("square", "momentum")

    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_below_one("RmsProp", "alpha", self.alpha)
        _check_below_one("RmsProp", "momentum", self.momentum)
        check_number("RmsProp", "weight_decay", self.weight_decay, minimum=0)
        check_number("RmsProp", "eps", self.eps, above=0, fix="The usual value is 1e-8.")

    @property
    def kind(self) -> str:
        return "rmsprop"

    @property
    def scalars(self) -> dict[str, float]:
        names = ("alpha", "eps", "momentum", "weight_decay")
        return {name: float(getattr(self, name)) for name in names}

    def init(self, params: Params, /) -> dict[str, Any]:
        """The state before the first step: v = b = 0 for every parameter."""
        return {"square": _zeros(params), "momentum": _zeros(params)}

    def update(
        self, grads: Params, state: dict[str, Any], params: Params, scalars: Scalars, /
    ) -> tuple[Params, dict[str, Any]]:
        """New parameters and state of one trial; nothing is written in place."""
        return _on_copies(self, grads, state, params, scalars)

    def begin_step_(self, state: dict[str, Any], scalars: Scalars) -> dict[str, Tensor]:
        """The numbers of this step, of the shape of the scalars."""
        own = {name: scalars[name] for name in ("eps", "momentum", "weight_decay")}
        return {**own, "fresh": 1 - scalars["alpha"], "minus_lr": -scalars["lr"]}

    def move_(
        self,
        param: Tensor,
        grad: Tensor,
        square: Tensor,
        buffer: Tensor,
        *,
        fresh: Tensor,
        eps: Tensor,
        momentum: Tensor,
        weight_decay: Tensor,
        minus_lr: Tensor,
    ) -> None:
        """Move a parameter tensor or a part of it; its gradient is used up."""
        grad.addcmul_(param, weight_decay)
        square.lerp_(grad * grad, fresh)
        buffer.mul_(momentum).add_(grad.div_(square.sqrt().add_(eps)))
        param.addcmul_(buffer, minus_lr)


def _bias_correction(beta: Tensor, count: Tensor) -> Tensor:
    """1 - beta^count as -expm1(count log beta): in float32 the plain form loses four digits at beta = 0.999."""
    return -torch.expm1(count * beta.log())


def _on_copies(
    optimizer: Elementwise, grads: Params, state: dict[str, Any], params: Params, scalars: Scalars
) -> tuple[Params, dict[str, Any]]:
    grads, state, params = tree_map(torch.clone, (grads, state, params))
    numbers = optimizer.begin_step_(state, scalars)
    for name, param in params.items():
        optimizer.move_(param, grads[name], *(state[slot][name] for slot in optimizer.slots), **numbers)
    return params, state


def _zeros(params: Params) -> Params:
    return {name: torch.zeros_like(value) for name, value in params.items()}


def _check_below_one(where: str, name: str, value: float) -> None:
    check_number(where, name, value, minimum=0, fix="It is below 1.")
    if value >= 1:
        raise bad_value(where, name, value, "a number from 0 and below 1")
