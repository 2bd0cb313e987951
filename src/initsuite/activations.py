"""The activations a model can use, by name. Pure elementwise functions: safe under `vmap`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.errors import bad_value, check_number, unknown_choice
from initsuite.spec import Activation


def identity(x: Tensor) -> Tensor:
    """The input itself; a function with a name, so that it pickles."""
    return x


def sine(x: Tensor, omega: float) -> Tensor:
    """sin(omega x)."""
    return torch.sin(omega * x)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "identity": identity,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "prelu": functional.leaky_relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "mish": functional.mish,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "hardtanh": functional.hardtanh,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "sine": sine,
}
"""`prelu` is here the leaky ReLU that it starts as; gains and mean-field theory are those of the start."""
OPTIONS: dict[str, dict[str, float]] = {
    "leaky_relu": {"negative_slope": 0.01},
    "prelu": {"negative_slope": 0.25},
    "elu": {"alpha": 1.0},
    "softplus": {"beta": 1.0, "threshold": 20.0},
    "hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "sine": {"omega": 30.0},
}
"""Options with torch's defaults (for sine: Sitzmann et al. 2020); activations that are not listed have none."""
RANGES: dict[tuple[str, str], dict[str, Any]] = {
    ("elu", "alpha"): {"above": 0},
    ("softplus", "beta"): {"above": 0},
    ("softplus", "threshold"): {"minimum": 0},
    ("sine", "omega"): {"above": 0},
}
"""Limits of options, as `check_number` takes them; other options may be any finite number."""


def activation(name: str, **options: float) -> Activation:
    """The activation of this name.

    Raises:
        ConfigError: an unknown name or option, or a value out of its range.
    """
    if name not in FUNCTIONS:
        raise unknown_choice("activation", "name", name, FUNCTIONS)
    known, where = OPTIONS.get(name, {}), f"activation {name}"
    for key, value in options.items():
        if key not in known:
            raise unknown_choice(where, "option", key, known or ["(it has none)"])
        check_number(where, key, value, **RANGES.get((name, key), {}))
    chosen: dict[str, Any] = {**known, **options}
    if name == "hardtanh" and chosen["min_val"] >= chosen["max_val"]:
        raise bad_value(where, "min_val", chosen["min_val"], f"a number below max_val={chosen['max_val']}")
    return Activation(name, partial(FUNCTIONS[name], **chosen), tuple(sorted(chosen.items())))


class ActivationLayer(nn.Module):
    """An activation as a layer, so that `describe` can see what follows a weight.

    For prelu it owns the slope below 0: the parameter `weight` [1], shared by all channels, which starts at the
    activation's `negative_slope`, as in torch.nn.PReLU.

    References:
        He et al. 2015, Delving Deep into Rectifiers, section 2.1 (the channel-shared variant).
    """

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.weight: nn.Parameter | None = None
        if activation.name == "prelu":
            self.weight = nn.Parameter(torch.tensor([dict(activation.options)["negative_slope"]], dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return self.activation.function(x) if self.weight is None else functional.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return self.activation.name
