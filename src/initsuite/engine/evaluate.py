"""One evaluation of a stack on a whole split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from initsuite.data.base import Split, Tree, tensors_of
from initsuite.engine.draws import drawing
from initsuite.engine.manner import STACKED, Manner
from initsuite.engine.passes import outputs_of
from initsuite.engine.workload import Workload
from initsuite.spec import Params

MAX_EVALUATED = 32768
"""Targets x trials in one evaluation call: bounds its memory, and is large enough to hide overhead."""
EVALUATION = "evaluation"
"""What the random numbers of an evaluation are drawn for."""


def make_evaluate(
    workload: Workload, manner: Manner = STACKED
) -> Callable[[Params, Params, Split], tuple[Tensor, Tensor]]:
    """A function that measures a stack on a whole split, in evaluation mode.

    A model that draws random numbers there, too, draws the same ones for all trials, each time.

    Returns:
        (params, buffers, split) -> (mean loss [trial], mean score [trial]), both float64; NaN outputs give a NaN loss.
    """

    def trial_sums(params: Params, buffers: Params, inputs: Tree, targets: Tree) -> tuple[Tensor, Tensor]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return functional_call(workload.model, (params, buffers), args, kwargs)

        outputs, count = outputs_of(workload, call, inputs), len(Split(inputs, targets))
        return sum_of(workload.loss(outputs, targets), count), sum_of(workload.score(outputs, targets), count)

    mapped = vmap(trial_sums, in_dims=(0, 0, None, None), randomness="same" if manner.is_by_seed else "error")

    @torch.no_grad()
    def evaluate(params: Params, buffers: Params, split: Split) -> tuple[Tensor, Tensor]:
        workload.model.eval()
        some = next(iter(params.values()))
        parts = []
        with _AffineBatchNorm():
            for number, part in enumerate(split.parts(chunk_of(workload, len(some), split))):
                with drawing(manner, 0, f"{EVALUATION}/{number}", some.device):
                    parts.append(torch.stack(mapped(params, buffers, part.inputs, part.targets)))
        loss, score = torch.stack(parts).sum(0) / len(split)
        return loss, score

    return evaluate


def chunk_of(workload: Workload, num_trials: int, split: Split) -> int:
    """How many examples an evaluation call takes."""
    most = max(tensor[0].numel() for tensor in tensors_of(split.targets))
    return workload.eval_batch_size or max(1, MAX_EVALUATED // (num_trials * most))


def sum_of(values: Tensor, count: int) -> Tensor:
    """The sum over a batch of so many examples, float64, of a value for each, or of their mean."""
    return values.double().sum() if values.ndim else values.double() * count


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
