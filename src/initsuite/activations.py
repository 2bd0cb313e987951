"""The activations a model can use, by name. Pure elementwise functions: safe under `vmap`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.errors import check_number, unknown_choice
from initsuite.spec import Activation


def identity(x: Tensor) -> Tensor:
    """The input itself; a function with a name, so that it pickles."""
    return x


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "identity": identity,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": functional.gelu,
}
OPTIONS: dict[str, dict[str, float]] = {"leaky_relu": {"negative_slope": 0.01}}
"""Options of each activation with torch's default; those not named have none."""


def activation(name: str, **options: float) -> Activation:
    """The activation of this name.

    Raises:
        ConfigError: an unknown name or option, or a value that is no finite number.
    """
    if name not in FUNCTIONS:
        raise unknown_choice("activation", "name", name, FUNCTIONS)
    known = OPTIONS.get(name, {})
    for key, value in options.items():
        if key not in known:
            raise unknown_choice(f"activation {name}", "option", key, known or ["(it has none)"])
        check_number(f"activation {name}", key, value)
    chosen: dict[str, Any] = {**known, **options}
    return Activation(name, partial(FUNCTIONS[name], **chosen), tuple(sorted(chosen.items())))


class ActivationLayer(nn.Module):
    """An activation as a layer, so that `describe` can see what follows a weight."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation.function(x)

    def extra_repr(self) -> str:
        return self.activation.name
