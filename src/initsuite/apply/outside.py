"""Weights that a model holds outside of its parameters, where no initializer reaches them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

DEPTH = 3
"""How deep lists in lists are looked through."""


def weights_outside(model: nn.Module) -> list[str]:
    """What holds weights that are no parameters of the model, in words.

    These are packed weights of quantized layers; layers, or tensors that require a gradient, in a list, a tuple, a set
    or a dict, which torch does not register; and such tensors kept as they are.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> model.more = [nn.Linear(2, 2)]
        >>> weights_outside(model)
        ['`more`, a Linear in a list']
    """
    registered = {id(each) for each in (*model.modules(), *model.parameters(), *model.buffers())}
    found = []
    for name, module in model.named_modules():
        for local, value in vars(module).items():
            if local.startswith(("_parameters", "_buffers", "_modules")) or local.endswith("_hooks"):
                continue
            place = f"{name}.{local}".lstrip(".")
            found += [f"`{place}`, {what}" for what in dict.fromkeys(_weights(value, registered))]
    return found


def _weights(value: object, registered: set[int], around: str = "", depth: int = 0) -> Iterator[str]:
    if id(value) in registered:
        return
    if isinstance(value, nn.Module):
        if any(id(parameter) not in registered for parameter in value.parameters()):
            yield f"a {type(value).__name__}{around}"
    elif isinstance(value, torch.ScriptObject) or (isinstance(value, Tensor) and value.is_quantized):
        yield "packed weights"
    elif isinstance(value, Tensor):
        if value.is_leaf and value.requires_grad:
            yield f"a tensor of shape {tuple(value.shape)}{around}"
    elif isinstance(value, (Mapping, list, tuple, set)) and depth < DEPTH:
        inside: Any = value.values() if isinstance(value, Mapping) else value
        kind = around or f" in a {'dict' if isinstance(value, Mapping) else type(value).__name__}"
        for each in inside:
            yield from _weights(each, registered, kind, depth + 1)
