"""One step and one evaluation of a stack: pure functions of one trial, mapped over the [trial] axis.

References:
    torch.func: https://docs.pytorch.org/docs/stable/func.html (model ensembling)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from initsuite.data.base import Split
from initsuite.engine.workload import Workload
from initsuite.spec import Optimizer, Params

MAX_EVALUATED = 8192
"""Examples x trials in one evaluation call: bounds its memory, wide enough that overhead does not show."""


@dataclass
class StackState:
    """Everything that changes from step to step; each tensor has a leading [trial] axis."""

    params: Params
    buffers: Params
    optimizer: Any
    scalars: dict[str, Tensor]
    lr_factors: Params = field(default_factory=dict)


def make_step(workload: Workload, optimizer: Optimizer) -> Callable[[StackState, Tensor, Tensor], Tensor]:
    """A function that advances a stack in place by one optimizer update.

    Returns:
        (state, inputs [trial, example, ...], targets [trial, example]) -> training loss before the update, [trial].
    """

    frozen = [name for name, parameter in workload.model.named_parameters() if not parameter.requires_grad]

    def mean_loss(params: Params, buffers: Params, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Params]:
        # functional_call lets BatchNorm write its running statistics into the buffers it is given
        buffers = {name: value.clone() for name, value in buffers.items()}
        outputs = functional_call(workload.model, (params, buffers), (inputs,))
        return workload.loss(outputs, targets).mean(), buffers

    def trial_step(params, buffers, state, scalars, lr_factors, inputs, targets):  # of one trial
        grads, (loss, buffers) = grad_and_value(mean_loss, has_aux=True)(params, buffers, inputs, targets)
        updated, state = optimizer.update(grads, state, params, scalars)
        updated |= {name: params[name] for name in frozen}
        updated |= {name: torch.lerp(params[name], updated[name], factor) for name, factor in lr_factors.items()}
        return updated, buffers, state, loss

    mapped = vmap(trial_step)

    def step(stack: StackState, inputs: Tensor, targets: Tensor) -> Tensor:
        workload.model.train()
        stack.params, stack.buffers, stack.optimizer, loss = mapped(
            stack.params, stack.buffers, stack.optimizer, stack.scalars, stack.lr_factors, inputs, targets
        )
        return loss

    return step


def make_evaluate(workload: Workload) -> Callable[[Params, Params, Split], tuple[Tensor, Tensor]]:
    """A function that measures a stack on a whole split.

    Returns:
        (params, buffers, split) -> (mean loss [trial], accuracy [trial]), both float64; NaN outputs give a NaN loss.
    """

    def trial_sums(params: Params, buffers: Params, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        outputs = functional_call(workload.model, (params, buffers), (inputs,))
        hits = outputs.argmax(-1) == targets
        return workload.loss(outputs, targets).double().sum(), hits.double().sum()

    mapped = vmap(trial_sums, in_dims=(0, 0, None, None))

    @torch.no_grad()
    def evaluate(params: Params, buffers: Params, split: Split) -> tuple[Tensor, Tensor]:
        workload.model.eval()
        num_trials = next(iter(params.values())).shape[0]
        chunk = max(1, MAX_EVALUATED // num_trials)
        parts = [
            torch.stack(mapped(params, buffers, inputs, targets))
            for inputs, targets in zip(split.inputs.split(chunk), split.targets.split(chunk), strict=True)
        ]
        loss, accuracy = torch.stack(parts).sum(0) / len(split)
        return loss, accuracy

    return evaluate
