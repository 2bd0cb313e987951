"""Adam and AdamW.

References:
    Kingma and Ba 2015, algorithm 1 (Adam); Loshchilov and Hutter 2019, algorithm 2 (AdamW).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from initsuite.optim.base import Scalars, Slotted
from initsuite.spec import Params


@dataclass(frozen=True)
class Adam(Slotted):
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

    kind: ClassVar[str] = "adam"
    names: ClassVar[tuple[str, ...]] = ("beta1", "beta2", "eps", "weight_decay")
    slots: ClassVar[tuple[str, ...]] = ("mean", "square")

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def init(self, params: Params, /) -> dict[str, Any]:
        """The state before the first step: no step counted, m = v = 0 for every parameter."""
        return {"count": next(iter(params.values())).new_zeros(()), **super().init(params)}

    def begin_step_(self, state: dict[str, Any], scalars: Scalars) -> dict[str, Tensor]:
        """Count the step; returns its numbers, in the shape of the scalars."""
        count = state["count"].add_(1)
        # sqrt(c_2) multiplies numerator and denominator: two operations per tensor fewer than in the formula
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
        """Move a parameter tensor or a part of it; its gradient is overwritten."""
        self.decay_(param, grad, decay)
        mean.lerp_(grad, fresh1)
        square.lerp_(grad.mul_(grad), fresh2)
        # where the step size is 0 the divisor is infinite and the parameter stays
        param.addcdiv_(mean, grad.copy_(square).sqrt_().add_(eps).div_(minus_step_size))

    def decay(self, scalars: Scalars) -> Tensor:
        """What `decay_` takes, in the shape of the scalars."""
        return scalars["weight_decay"]

    def decay_(self, param: Tensor, grad: Tensor, decay: Tensor) -> None:
        """The penalty goes into the gradient, and so into both means."""
        grad.addcmul_(param, decay)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, as `torch.optim.AdamW`: w <- (1 - lr weight_decay) w before Adam's step.

    Args:
        beta1, beta2, eps: as in Adam.
        weight_decay: shrinkage per unit of lr, from 0.
    """

    kind: ClassVar[str] = "adamw"

    weight_decay: float = 0.01

    def decay(self, scalars: Scalars) -> Tensor:
        return 1 - scalars["lr"] * scalars["weight_decay"]

    def decay_(self, param: Tensor, grad: Tensor, decay: Tensor) -> None:
        """The parameters shrink; the gradient stays as it is."""
        param.mul_(decay)


def _bias_correction(beta: Tensor, count: Tensor) -> Tensor:
    """1 - beta^count as -expm1(count log beta): in float32 the plain form loses four digits at beta = 0.999."""
    return -torch.expm1(count * beta.log())
