"""Gains: by how much a nonlinearity shrinks the signal, as the factor on the std of the weights that makes up for it.

References:
    He et al. 2015, Delving Deep into Rectifiers, section 2.2 (ReLU and its slope-aware variants).
    Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos (Gaussian integrals).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from initsuite.errors import ConfigError, bad_value, check_number
from initsuite.spec import Activation

NAMED_GAINS = ("auto", "torch")
"""What a gain can be besides a number."""
TORCH_NAMES = ("identity", "leaky_relu", "relu", "selu", "sigmoid", "tanh")
"""The activations in torch's table, by our name; torch calls `identity` linear."""
REACH = 12
"""z ~ N(0, 1) is integrated over [-12, 12]: outside lies a probability of 4e-33."""
NODES_PER_PANEL = 24
"""Exact for polynomials of degree 47 on each panel of length 1; the Gaussian itself is then exact to rounding."""


@cache
def _gaussian_quadrature() -> tuple[Tensor, Tensor]:
    """Nodes and weights, float64 [node], of the integral of f(z) N(z; 0, 1) dz.

    Gauss-Legendre on panels that end at the whole numbers, not Gauss-Hermite: a kink at 0 (ReLU), 1 (hardtanh),
    3 (hardswish) or 6 (ReLU6) lies on a border, while Gauss-Hermite with 100 nodes is off by 2e-3 for hardtanh.
    """
    points, weights = np.polynomial.legendre.leggauss(NODES_PER_PANEL)
    lefts = np.arange(-REACH, REACH)
    nodes = (lefts[:, None] + (points + 1) / 2).ravel()
    density = np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
    return torch.from_numpy(nodes), torch.from_numpy(np.tile(weights / 2, len(lefts)) * density)


def forward_gain(activation: Activation) -> float:
    """The gain that keeps the mean square of the signal: g = 1 / sqrt(E[phi(z)^2]), z ~ N(0, 1).

    With Var[w] = g^2 / fan_in, zero biases and inputs of mean square 1/g^2, the pre-activations of a wide layer have
    q = 1, and so have those of the next one.

    Args:
        activation: any elementwise function that takes a float64 tensor.

    Returns:
        The gain: 1 for identity, sqrt(2) for ReLU, sqrt(2 / (1 + a^2)) for the leaky ReLU of slope a.

    Raises:
        ConfigError: E[phi(z)^2] is 0 or not finite.

    Example:
        >>> print(f"{forward_gain(Activation('relu', torch.relu)):.6f}")
        1.414214
    """
    nodes, weights = _gaussian_quadrature()
    with torch.no_grad():
        mean_square = float((activation.function(nodes.clone()).double() ** 2 * weights).sum())
    if not (math.isfinite(mean_square) and mean_square > 0):
        raise ConfigError(
            f"forward_gain: no gain for `activation`={activation.name!r}: E[phi(z)^2]={mean_square}. Expected a finite "
            "number above 0. Give the gain as a number."
        )
    return 1 / math.sqrt(mean_square)


def torch_gain(activation: Activation) -> float:
    """The gain of `torch.nn.init.calculate_gain`.

    It differs from `forward_gain` for tanh (5/3 against 1.5925), sigmoid (1 against 1.8463) and SELU (3/4 against 1:
    torch's value breaks self-normalisation, which needs Var[w] = 1 / fan_in; see Klambauer et al. 2017). The two agree
    for identity, ReLU and leaky ReLU.

    Raises:
        ConfigError: torch's table has no such activation.
    """
    if activation.name not in TORCH_NAMES:
        raise bad_value(
            "torch_gain",
            "activation",
            activation.name,
            f"one of torch's table: {', '.join(TORCH_NAMES)}",
            "Use gain=auto or a number.",
        )
    name = "linear" if activation.name == "identity" else activation.name
    return float(nn.init.calculate_gain(name, dict(activation.options).get("negative_slope")))  # type: ignore[arg-type]


def check_gain(where: str, gain: float | str) -> None:
    """Refuse what is neither a number above 0 nor a named gain.

    Raises:
        ConfigError: as said.
    """
    if isinstance(gain, str):
        if gain not in NAMED_GAINS:
            raise bad_value(where, "gain", gain, f"a number above 0, or one of: {', '.join(NAMED_GAINS)}")
        return
    check_number(where, "gain", gain, above=0, fix="Or use one of: auto, torch.")


def resolve_gain(gain: float | str, activation: Activation | None) -> float:
    """The number that a gain stands for before this nonlinearity.

    Args:
        gain: a number, `auto` (`forward_gain`) or `torch` (`torch_gain`).
        activation: what follows the layer; None = nothing, whose named gains are 1.

    Raises:
        ConfigError: a gain that is neither, or that this activation does not have.
    """
    check_gain("resolve_gain", gain)
    if not isinstance(gain, str):
        return float(gain)
    if activation is None:
        return 1.0
    return forward_gain(activation) if gain == "auto" else torch_gain(activation)
