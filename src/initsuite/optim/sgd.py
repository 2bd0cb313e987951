"""Gradient descent with momentum.

References:
    Polyak 1964 (momentum); Sutskever et al. 2013, section 2 (both momenta; there lr is inside b, here outside).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from initsuite.errors import bad_value
from initsuite.optim.base import Scalars, Slotted


@dataclass(frozen=True)
class Sgd(Slotted):
    """Gradient descent with momentum, as `torch.optim.SGD` without dampening.

    g' = g + weight_decay w;  b <- momentum b + g' from b = 0;  w <- w - lr b, with Nesterov w - lr (g' + momentum b).
    From b = 0 the first update sets b = g', which is torch's special case for its first step.

    Args:
        momentum: 0 <= momentum < 1.
        nesterov: look one step ahead; needs momentum above 0.
        weight_decay: factor in the L2 penalty weight_decay |w|^2 / 2, from 0.

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> import torch
        >>> sgd = Sgd(momentum=0.5)
        >>> params, grads = {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> scalars = {"lr": torch.tensor(0.1), "momentum": torch.tensor(0.5), "weight_decay": torch.tensor(0.0)}
        >>> params, state = sgd.update(grads, sgd.init(params), params, scalars)
        >>> params["w"], state["momentum"]["w"]
        (tensor([0.8000]), tensor([2.]))
    """

    names: ClassVar[tuple[str, ...]] = ("momentum", "weight_decay")
    slots: ClassVar[tuple[str, ...]] = ("momentum",)

    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.nesterov, bool):
            raise bad_value("Sgd", "nesterov", self.nesterov, "true or false")
        if self.nesterov and self.momentum == 0:
            raise bad_value("Sgd", "nesterov", True, "momentum above 0 with it", "Set momentum=0.9 or nesterov=false.")

    @property
    def kind(self) -> str:
        return "sgd-nesterov" if self.nesterov else "sgd"

    def begin_step_(self, state: dict[str, Any], scalars: Scalars) -> dict[str, Tensor]:
        """The numbers of this step, in the shape of the scalars."""
        own = {name: scalars[name] for name in self.names}
        return {**own, "minus_lr": -scalars["lr"]}

    def move_(
        self, param: Tensor, grad: Tensor, buffer: Tensor, *, momentum: Tensor, weight_decay: Tensor, minus_lr: Tensor
    ) -> None:
        """Move a parameter tensor or a part of it; its gradient is overwritten."""
        grad.addcmul_(param, weight_decay)
        buffer.mul_(momentum).add_(grad)
        if self.nesterov:
            param.addcmul_(grad.addcmul_(buffer, momentum), minus_lr)
        else:
            param.addcmul_(buffer, minus_lr)
