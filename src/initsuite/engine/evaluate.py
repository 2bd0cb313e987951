"""One evaluation of a stack on a whole split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from initsuite.data.base import Split
from initsuite.engine.workload import Workload
from initsuite.spec import Params

MAX_EVALUATED = 32768
"""Targets x trials in one evaluation call: bounds its memory, and is large enough to hide overhead."""


def make_evaluate(workload: Workload) -> Callable[[Params, Params, Split], tuple[Tensor, Tensor]]:
    """A function that measures a stack on a whole split.

    Returns:
        (params, buffers, split) -> (mean loss [trial], mean score [trial]), both float64; NaN outputs give a NaN loss.
    """

    def trial_sums(params: Params, buffers: Params, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        outputs = functional_call(workload.model, (params, buffers), (inputs,))
        loss, score = workload.loss(outputs, targets), workload.score(outputs, targets)
        return loss.double().sum(), score.double().sum()

    mapped = vmap(trial_sums, in_dims=(0, 0, None, None))

    @torch.no_grad()
    def evaluate(params: Params, buffers: Params, split: Split) -> tuple[Tensor, Tensor]:
        workload.model.eval()
        num_trials = next(iter(params.values())).shape[0]
        chunk = max(1, MAX_EVALUATED // (num_trials * split.targets[0].numel()))
        with _AffineBatchNorm():
            parts = [
                torch.stack(mapped(params, buffers, inputs, targets))
                for inputs, targets in zip(split.inputs.split(chunk), split.targets.split(chunk), strict=True)
            ]
        loss, score = torch.stack(parts).sum(0) / len(split)
        return loss, score

    return evaluate


class _AffineBatchNorm(TorchFunctionMode):
    """BatchNorm with running statistics as x scale + shift, in one pass; vmap would move all trials into one axis of
    channels and back."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is functional.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    inputs: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`; inputs: [example, channel, ...]."""
    if training or running_mean is None or running_var is None:
        return functional.batch_norm(inputs, running_mean, running_var, weight, bias, training, momentum, eps)
    scale = (running_var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -running_mean * scale if bias is None else torch.addcmul(bias, running_mean, scale, value=-1)
    shape = (1, -1, *[1] * (inputs.ndim - 2))
    return torch.addcmul(shift.view(shape), inputs, scale.view(shape))
