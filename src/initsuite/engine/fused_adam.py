"""Adam and AdamW over a stack by torch's fused kernel."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from initsuite.optim import Adam
from initsuite.optim.base import Scalars
from initsuite.spec import Optimizer


@dataclass(frozen=True)
class FusedAdam:
    """Adam or AdamW over a stack by torch's fused kernel for the CPU: one pass instead of eight operations.

    The kernel takes one number each for lr, beta1, beta2 and eps. So it moves zeros at lr 1, and the result moves each
    parameter at the lr of its trial.
    """

    rule: Adam
    beta1: float
    beta2: float
    eps: float

    @classmethod
    def of(cls, optimizer: Optimizer, scalars: Scalars) -> FusedAdam | None:
        """None if the kernel does not apply: another optimizer, device or dtype, or scalars ([trial] each) that differ
        in more than lr and weight decay."""
        lr = scalars["lr"]
        if not isinstance(optimizer, Adam) or lr.device.type != "cpu" or lr.dtype not in (torch.float32, torch.float64):
            return None
        shared = {name: scalars[name].unique().tolist() for name in ("beta1", "beta2", "eps")}
        if any(len(values) > 1 for values in shared.values()):
            return None
        return cls(optimizer, **{name: values[0] for name, values in shared.items()})

    def move_(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        state: Mapping[str, Any],
        slots: Sequence[Sequence[Tensor]],
        scalars: Scalars,
        steps: Sequence[Tensor],
    ) -> None:
        """One step of a whole stack.

        Args:
            params: contiguous [trial, element] views, like all the others.
            grads: overwritten.
            state: state of the optimizer; its count goes up.
            slots: views of mean and square.
            scalars: [trial] each.
            steps: room for the steps of the kernel.
        """
        count, lr, decay = state["count"], scalars["lr"][:, None], self.rule.decay(scalars)[:, None]
        for param, grad, step in zip(params, grads, steps, strict=True):
            self.rule.decay_(param, grad, decay)
            step.zero_()
        counts = [count[0].clone() for _ in params]  # the kernel's caller counts each of them up
        mean, square = map(list, slots)
        torch_adam = functools.partial(adam, fused=True, amsgrad=False, maximize=False, lr=1.0, weight_decay=0.0)
        torch_adam(list(steps), list(grads), mean, square, [], counts, beta1=self.beta1, beta2=self.beta2, eps=self.eps)
        for param, step in zip(params, steps, strict=True):
            param.addcmul_(step, lr)
        count.add_(1)
