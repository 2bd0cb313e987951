"""Copies of models that behave as the models do, for whoever trains, records or draws beside others."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn


def copied(model: nn.Module, replaced: Mapping[Tensor, Tensor] | None = None) -> nn.Module:
    """A copy of a model that computes the same; the model itself where it cannot be copied.

    That is so of one that holds a lock or an open file, for example: copying runs the user's code, which may raise
    anything.

    Args:
        model: any module; it stays as it is.
        replaced: what the copy has in place of some parameters and buffers; tied ones stay tied.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> copied(layer, {layer.bias: layer.bias}).bias is layer.bias
        True
    """
    memo: dict[int, object] = {id(tensor): other for tensor, other in (replaced or {}).items()}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:  # the weight that torch.nn.utils.weight_norm computes
                memo[id(value)] = value.detach()
    try:
        found = copy.deepcopy(model, memo)
        for original, module in zip(model.modules(), found.modules(), strict=True):
            # a copy of torch's decoder layer gets a relu that hides its activation, if that is a module (torch 2.13)
            for name in vars(module).keys() - vars(original).keys():
                del vars(module)[name]
    except Exception:
        return model
    return found
