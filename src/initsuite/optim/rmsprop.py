"""RMSprop.

References:
    Tieleman and Hinton 2012, Neural networks for machine learning, lecture 6e.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from initsuite.optim.base import Scalars, Slotted


@dataclass(frozen=True)
class RmsProp(Slotted):
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

    kind: ClassVar[str] = "rmsprop"
    names: ClassVar[tuple[str, ...]] = ("alpha", "eps", "momentum", "weight_decay")
    slots: ClassVar[tuple[str, ...]] = ("square", "momentum")

    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    def begin_step_(self, state: dict[str, Any], scalars: Scalars) -> dict[str, Tensor]:
        """The numbers of this step, in the shape of the scalars."""
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
        """Move a parameter tensor or a part of it; its gradient is overwritten."""
        grad.addcmul_(param, weight_decay)
        square.lerp_(grad * grad, fresh)
        buffer.mul_(momentum).add_(grad.div_(square.sqrt().add_(eps)))
        param.addcmul_(buffer, minus_lr)
