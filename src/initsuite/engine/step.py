"""One step of a stack: a pure function of one trial, mapped over the [trial] axis.

References:
    torch.func: https://docs.pytorch.org/docs/stable/func.html (model ensembling)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_leaves, tree_map, tree_structure, tree_unflatten

from initsuite.engine.update import make_update
from initsuite.engine.workload import Workload
from initsuite.spec import Optimizer, Params


@dataclass
class StackState:
    """Everything that changes from step to step; each tensor has a leading [trial] axis."""

    params: Params
    buffers: Params
    optimizer: Any
    scalars: dict[str, Tensor]
    lr_factors: Params = field(default_factory=dict)
    has_order: bool = False

    def of_trials(self, indices: Sequence[int]) -> tuple[Params, Params]:
        """Copies of the parameters and buffers of some trials."""
        chosen = list(indices)
        return tree_map(lambda value: value[chosen], (self.params, self.buffers))

    def tensors(self) -> list[Tensor]:
        """Everything that training changes, in a fixed order."""
        return [*self.params.values(), *self.buffers.values(), *tree_leaves(self.optimizer)]

    def layout(self) -> list[str]:
        """Type and shape of each of `tensors`."""
        return [f"{tensor.dtype} {list(tensor.shape)}" for tensor in self.tensors()]

    def snapshot(self) -> dict[str, Any]:
        """Copies on the CPU of everything that training changes."""
        parts = {"params": self.params, "buffers": self.buffers, "optimizer": tree_leaves(self.optimizer)}
        return tree_map(lambda tensor: tensor.detach().to("cpu", copy=True), parts)

    def follow(self, grads: Params) -> None:
        """Bring parameters and optimizer state into the memory order of the first gradients (a linear layer's come
        transposed), so that an update walks through all of them in the same order."""
        if self.has_order or not isinstance(self.optimizer, dict):
            return
        slots = [tree for tree in self.optimizer.values() if isinstance(tree, dict)]
        shells = {name: torch.empty_like(grad, memory_format=torch.preserve_format) for name, grad in grads.items()}
        for name, shell in shells.items():
            is_apart = len(shell) == 1 or shell.stride(0) == shell[0].numel()  # each trial in one piece of memory
            for tree in (self.params, *slots):
                if is_apart and name in tree and tree[name].shape == shell.shape:
                    tree[name] = torch.empty_like(shell).copy_(tree[name])
        self.has_order = True

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take the values of a snapshot of the same layout, in its memory order, on which rounding depends."""
        device = self.scalars["lr"].device
        parts = tree_map(lambda tensor: tensor.to(device, copy=True), snapshot)
        self.params, self.buffers = parts["params"], parts["buffers"]
        self.optimizer = tree_unflatten(parts["optimizer"], tree_structure(self.optimizer))
        self.has_order = True


def make_step(
    workload: Workload, optimizer: Optimizer, stack: StackState, *, is_shared: bool = False
) -> Callable[[Tensor, Tensor], Tensor]:
    """A function that advances a stack in place by one optimizer update.

    The forward pass is mapped over the trials and differentiated as a whole: the gradient of the sum of all losses
    is that of each trial's loss. Nothing here waits for the device.

    Args:
        workload: what is trained.
        optimizer: without its schedule.
        stack: advanced in place.
        is_shared: whether all trials see the same batch. Then the first layer is one product for all of them.

    Returns:
        (inputs [trial, example, ...], targets [trial, example]) -> training loss before the update, [trial]; with a
        shared batch inputs and targets have no [trial] axis.
    """
    trained = [name for name, parameter in workload.model.named_parameters() if parameter.requires_grad]
    update = None

    def mean_loss(params: Params, buffers: Params, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Params]:
        # functional_call lets BatchNorm write its running statistics into the buffers it is given
        buffers = {name: value.clone() for name, value in buffers.items()}
        outputs = functional_call(workload.model, (params, buffers), (inputs,))
        return workload.loss(outputs, targets).mean(), buffers

    batch_axis = None if is_shared else 0
    mapped = vmap(mean_loss, in_dims=(0, 0, batch_axis, batch_axis))

    def gradients(inputs: Tensor, targets: Tensor) -> tuple[Params, Tensor, Params]:
        leaves = {name: stack.params[name].detach().requires_grad_() for name in trained}
        loss, buffers = mapped({**stack.params, **leaves}, stack.buffers, inputs, targets)
        grads = torch.autograd.grad(loss.sum(), list(leaves.values()), materialize_grads=True)
        return dict(zip(trained, grads, strict=True)), loss.detach(), buffers

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        nonlocal update
        workload.model.train()
        grads, loss, buffers = gradients(inputs, targets)
        with torch.no_grad():
            if update is None:
                stack.follow(grads)
                moved = {name: stack.params[name] for name in trained}
                update = make_update(moved, stack.optimizer, stack.scalars, optimizer)
            before = {name: stack.params[name].clone() for name in stack.lr_factors}
            update(grads)
            for name, old in before.items():
                factor = stack.lr_factors[name].view(-1, *[1] * (old.ndim - 1))
                stack.params[name].copy_(torch.lerp(old, stack.params[name], factor))
            stack.buffers = tree_map(Tensor.detach, buffers)
        return loss

    return step
