"""The optimizer update of a stack, in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from initsuite.engine.fused_adam import FusedAdam
from initsuite.optim.base import Elementwise
from initsuite.spec import Optimizer, Params

BLOCK = 1 << 16
"""Elements that are moved at once: parameter, gradient and two moments (1 MiB) stay in the cache between the
operations of an update, so that each is read from memory only once."""

Update = Callable[[Params], None]
"""Moves the parameters of a stack by their gradients, which are overwritten."""


def make_update(params: Params, state: Any, scalars: Params, optimizer: Optimizer) -> Update:
    """An update that writes into these tensors.

    Args:
        params: trained parameters, [trial, ...].
        state: state of the optimizer, each tensor with a leading [trial] axis.
        scalars: [trial] each.
    """
    if fused := FusedAdam.of(optimizer, scalars):
        return _fused_update(params, state, scalars, fused)
    if isinstance(optimizer, Elementwise):
        return _BlockUpdate(params, state, scalars, optimizer)
    return _mapped_update(params, state, scalars, optimizer)


def _mapped_update(params: Params, state: Any, scalars: Params, optimizer: Optimizer) -> Update:
    mapped = vmap(optimizer.update)

    def update(grads: Params) -> None:
        moved, new_state = mapped(grads, state, params, scalars)
        tree_map(lambda old, new: old.copy_(new), (params, state), (moved, new_state))

    return update


def _fused_update(params: Params, state: Any, scalars: Params, fused: FusedAdam) -> Update:
    flat = [_flat(param) for param in params.values()]
    slots = [[_flat(state[slot][name]) for name in params] for slot in fused.rule.slots]
    steps = [torch.empty_like(param) for param in flat]

    def update(grads: Params) -> None:
        own = _unshared(grads)
        moved = [_flat(_like(own[name], param)) for name, param in params.items()]
        fused.move_(flat, moved, state, slots, scalars, steps)

    return update


@dataclass(frozen=True)
class _Block:
    """Some trials of a parameter tensor, or a part of one trial: [trial, element] views of it and its slots."""

    tensors: Sequence[Tensor]
    numbers: dict[str, Tensor]


class _BlockUpdate:
    """An elementwise optimizer over a stack, block by block."""

    def __init__(self, params: Params, state: Any, scalars: Params, optimizer: Elementwise) -> None:
        self.optimizer, self.params, self.state, self.scalars = optimizer, params, state, scalars
        self.numbers: dict[str, Tensor] = {}
        self.blocks: dict[str, list[_Block]] = {}

    def __call__(self, grads: Params) -> None:
        numbers = self.optimizer.begin_step_(self.state, self.scalars)
        if not self.blocks:
            self._make_blocks(numbers)
        for name, number in numbers.items():
            self.numbers[name].copy_(number[:, None])
        for name, grad in _unshared(grads).items():
            for block, part in zip(self.blocks[name], _parts(_like(grad, self.params[name])), strict=True):
                param, *slots = block.tensors
                self.optimizer.move_(param, part, *slots, **block.numbers)

    def _make_blocks(self, numbers: dict[str, Tensor]) -> None:
        self.numbers = {name: torch.empty_like(number)[:, None] for name, number in numbers.items()}
        for name, param in self.params.items():
            tensors = [param, *(self.state[slot][name] for slot in self.optimizer.slots)]
            parts = zip(*(_parts(_like(tensor, param)) for tensor in tensors), strict=True)
            rows, elements = _shape_of_parts(param)
            owners = [first for first in range(0, len(param), rows) for _ in range(0, param[0].numel(), elements)]
            self.blocks[name] = [
                _Block(part, {key: value[first : first + rows] for key, value in self.numbers.items()})
                for part, first in zip(parts, owners, strict=True)
            ]


def _unshared(grads: Params) -> Params:
    """The gradients, each with its own memory: two biases that are added to each other get the same tensor."""
    owners: dict[int, str] = {}
    return {
        name: grad if owners.setdefault(grad.untyped_storage().data_ptr(), name) == name else grad.clone()
        for name, grad in grads.items()
    }


def _like(tensor: Tensor, param: Tensor) -> Tensor:
    """The tensor in the memory order of the parameter; a copy only if it is in another."""
    # the stride of a [trial] axis of length 1 means nothing
    same = tensor.stride() == param.stride() or (len(param) == 1 and tensor.stride()[1:] == param.stride()[1:])
    return tensor if same else torch.empty_like(param).copy_(tensor)


def _shape_of_parts(tensor: Tensor) -> tuple[int, int]:
    """Trials and elements of a part: many whole trials, or the elements of one trial cut evenly."""
    size = tensor[0].numel()
    block = BLOCK if tensor.device.type == "cpu" else tensor.numel()
    return max(1, block // size), -(-size // -(-size // block))


def _parts(tensor: Tensor) -> list[Tensor]:
    """[trial, element] views that fit into the cache."""
    rows, elements = _shape_of_parts(tensor)
    return [part for trials in _flat(tensor).split(rows) for part in trials.split(elements, 1)]


def _flat(tensor: Tensor) -> Tensor:
    """A [trial, element] view, the elements in memory order."""
    size = tensor[0].numel()
    return tensor.as_strided((len(tensor), size), (size, 1))
