"""One step of a stack: a pure function of one trial, mapped over the [trial] axis.

References:
    torch.func: https://docs.pytorch.org/docs/stable/func.html (model ensembling)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_leaves, tree_map, tree_structure, tree_unflatten

from initsuite.data.base import Tree
from initsuite.engine.passes import outputs_of
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


Gradients = Callable[[Tree, Tree], tuple[Params, Tensor, Params]]
"""(inputs, targets) -> the gradients of a stack, its losses [trial], and its buffers after the pass."""


def make_step(
    workload: Workload,
    optimizer: Optimizer,
    stack: StackState,
    *,
    is_shared: bool = False,
    gradients: Gradients | None = None,
) -> Callable[[Tree, Tree], Tensor]:
    """A function that advances a stack in place by one optimizer update. Nothing in it waits for the device.

    Args:
        workload: what is trained.
        optimizer: without its schedule.
        stack: advanced in place.
        is_shared: whether all trials see the same batch. Then the first layer is one product for all of them.
        gradients: where they come from; None = one pass for all trials.

    Returns:
        (inputs [trial, example, ...], targets [trial, example]) -> training loss before the update, [trial]; with a
        shared batch inputs and targets have no [trial] axis, and `gradients` may take them otherwise.
    """
    trained = [name for name, parameter in workload.model.named_parameters() if parameter.requires_grad]
    update = None
    if gradients is None:
        mapped = map_gradients(workload, is_shared=is_shared)
        gradients = functools.partial(_of_stack, mapped, stack)

    def step(inputs: Tree, targets: Tree) -> Tensor:
        nonlocal update
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


def _of_stack(mapped: MappedGradients, stack: StackState, inputs: Tree, targets: Tree) -> tuple[Params, Tensor, Params]:
    return mapped(stack.params, stack.buffers, inputs, targets)


MappedGradients = Callable[[Params, Params, Tree, Tree], tuple[Params, Tensor, Params]]
"""(params, buffers, inputs, targets) -> gradients, losses [trial], and the buffers after the pass."""


def map_gradients(workload: Workload, *, is_shared: bool, randomness: str = "error") -> MappedGradients:
    """The gradients of some trials by one pass.

    The forward pass is mapped over the trials and differentiated as a whole: the gradient of the sum of all losses
    is that of each trial's loss.

    Args:
        is_shared: whether all trials see the same batch.
        randomness: "same" gives all trials the same random numbers; "error" refuses a model that draws.
    """
    trained = [name for name, parameter in workload.model.named_parameters() if parameter.requires_grad]

    def mean_loss(params: Params, buffers: Params, inputs: Tree, targets: Tree) -> tuple[Tensor, Params]:
        # functional_call lets BatchNorm write its running statistics into the buffers it is given; where a module
        # replaces a buffer, the new one stands in `state` afterwards
        state = {**params, **{name: value.clone() for name, value in buffers.items()}}
        call = functools.partial(_call, workload.model, state)
        outputs = outputs_of(workload, call, inputs)
        return workload.loss(outputs, targets).mean(), {name: state[name] for name in buffers}

    batch_axis = None if is_shared else 0
    mapped = vmap(mean_loss, in_dims=(0, 0, batch_axis, batch_axis), randomness=randomness)

    def gradients(params: Params, buffers: Params, inputs: Tree, targets: Tree) -> tuple[Params, Tensor, Params]:
        workload.model.train()
        leaves = {name: params[name].detach().requires_grad_() for name in trained}
        loss, buffers = mapped({**params, **leaves}, buffers, inputs, targets)
        grads = torch.autograd.grad(loss.sum(), list(leaves.values()), materialize_grads=True)
        return dict(zip(trained, grads, strict=True)), loss.detach(), buffers

    return gradients


def _call(model: nn.Module, state: Params, *args: Any, **kwargs: Any) -> Any:
    return functional_call(model, state, args, kwargs)
