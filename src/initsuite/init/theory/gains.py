"""Gains: by how much a nonlinearity shrinks the signal, as the factor on the std of the weights that makes up for it.

`forward` keeps the signal, `backward` the gradient, `torch` is torch's table (a dash: not in it). They agree where the
nonlinearity is all but linear on each side of 0 (identity, ReLU, leaky ReLU), and nowhere else.

    activation             forward  backward   torch
    identity                1.0000    1.0000  1.0000
    relu                    1.4142    1.4142  1.4142
    leaky_relu (0.01)       1.4141    1.4141  1.4141
    elu (1)                 1.2452    1.2234       -
    selu                    1.0000    0.9660  0.7500
    gelu                    1.5335    1.4811       -
    silu                    1.6765    1.6233       -
    mish                    1.4868    1.4448       -
    softplus                1.0419    1.8462       -
    softsign                2.3375    2.0958       -
    hardtanh                1.3920    1.2103       -
    tanh                    1.5925    1.4674  1.6667
    sigmoid                 1.8462    4.7226  1.0000
    erf                     1.4672    1.3252       -
    sine (1)                1.5209    1.3273       -

References:
    He et al. 2015, Delving Deep into Rectifiers, section 2.2 (ReLU and its slope-aware variants).
    Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos (Gaussian integrals).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from initsuite.errors import ConfigError, bad_value, check_number
from initsuite.spec import Activation

NAMED_GAINS = ("auto", "backward", "torch")
"""What a gain can be besides a number."""
TORCH_NAMES = ("identity", "leaky_relu", "relu", "selu", "sigmoid", "tanh")
"""The activations in torch's table; torch calls `identity` linear."""
REACH = 12
"""u ~ N(0, q) is integrated over 12 std on each side: a probability of 4e-33 lies outside."""
NODES_PER_PANEL = 24
"""Exact for polynomials of degree 47 on each panel of length 1; the Gaussian itself is then exact to rounding."""
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(NODES_PER_PANEL)
LARGEST_Q = 1e4
"""Above, there would be more than 2,400 panels of length 1."""


@lru_cache(maxsize=16)
def gaussian_quadrature(q: float = 1.0) -> tuple[Tensor, Tensor]:
    """Nodes and weights, float64 [node], of the integral of f(u) N(u; 0, q) du.

    Gauss-Legendre on panels that end at the whole numbers and at the multiples of the std, not Gauss-Hermite: a kink
    at 0 (ReLU), 1 (hardtanh), 3 (hardswish) or 6 (ReLU6) lies on a border, while Gauss-Hermite with 100 nodes is off
    by 2e-3 for hardtanh. The variance q is above 0 and at most 10,000.
    """
    std = math.sqrt(q)
    whole = np.arange(-math.floor(REACH * std), math.floor(REACH * std) + 1)
    edges = np.unique(np.concatenate([std * np.arange(-REACH, REACH + 1), whole]))
    lefts, lengths = edges[:-1, None], np.diff(edges)[:, None]
    nodes = (lefts + lengths * (_POINTS + 1) / 2).ravel()
    density = np.exp(-(nodes**2) / (2 * q)) / math.sqrt(2 * math.pi * q)
    return torch.from_numpy(nodes), torch.from_numpy((lengths * _WEIGHTS / 2).ravel() * density)


def mean_square(activation: Activation, q: float = 1.0) -> float:
    """E[phi(u)^2], u ~ N(0, q)."""
    nodes, weights = gaussian_quadrature(q)
    with torch.no_grad():
        return float((activation.function(nodes.clone()).double() ** 2 * weights).sum())


def mean_square_slope(activation: Activation, q: float = 1.0) -> float:
    """E[phi'(u)^2], u ~ N(0, q)."""
    nodes, weights = gaussian_quadrature(q)
    return float((slope(activation, nodes) ** 2 * weights).sum())


def slope(activation: Activation, points: Tensor) -> Tensor:
    """phi' at float64 points [point], whether or not gradients are switched off where this is called."""
    with torch.enable_grad():
        # each value depends only on its own point, so that the gradient of the sum holds the derivatives
        # (of a copy: some modules work in place, which autograd refuses on its own inputs)
        return torch.func.grad(lambda x: activation.function(x.clone()).double().sum())(points).detach()


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
    return _gain("forward_gain", activation, "phi(z)", mean_square(activation))


def backward_gain(activation: Activation) -> float:
    """The gain that keeps the mean square of the gradient: g = 1 / sqrt(E[phi'(z)^2]), z ~ N(0, 1).

    With Var[w] = g^2 / fan_out and pre-activations of q = 1, a gradient keeps its mean square on its way back through
    a wide layer. The two gains are equal only for functions that are linear on each side of 0; for all others no gain
    keeps both, and `edge_of_chaos` finds the weights and biases that do.

    Args:
        activation: any elementwise function that takes a float64 tensor and that torch can differentiate.

    Raises:
        ConfigError: E[phi'(z)^2] is 0 or not finite.

    Example:
        >>> print(f"{backward_gain(Activation('sine', torch.sin)):.4f}")  # E[cos(z)^2] = (1 + exp(-2)) / 2
        1.3273
    """
    return _gain("backward_gain", activation, "phi'(z)", mean_square_slope(activation))


def _gain(where: str, activation: Activation, of: str, mean: float) -> float:
    if not (math.isfinite(mean) and mean > 0):
        raise ConfigError(
            f"{where}: no gain for `activation`={activation.name!r}: E[{of}^2]={mean}. Expected a finite number above "
            "0. Give the gain as a number."
        )
    return 1 / math.sqrt(mean)


def torch_gain(activation: Activation) -> float:
    """The gain of `torch.nn.init.calculate_gain`.

    It differs from `forward_gain` for tanh (5/3 against 1.5925), sigmoid (1 against 1.8462) and SELU (3/4 against 1:
    torch's value breaks self-normalisation, which needs Var[w] = 1 / fan_in; see Klambauer et al. 2017). The two agree
    for identity, ReLU and leaky ReLU.

    Raises:
        ConfigError: torch's table has no such activation.
    """
    if activation.name not in TORCH_NAMES:
        expected = f"one of torch's table: {', '.join(TORCH_NAMES)}"
        raise bad_value("torch_gain", "activation", activation.name, expected, "Use gain=auto or a number.")
    name = "linear" if activation.name == "identity" else activation.name
    return float(nn.init.calculate_gain(name, dict(activation.options).get("negative_slope")))  # type: ignore[arg-type]


def check_gain(where: str, gain: float | str) -> None:
    """Refuse what is neither a number above 0 nor a named gain."""
    named = ", ".join(NAMED_GAINS)
    if not isinstance(gain, str):
        check_number(where, "gain", gain, above=0, fix=f"Or use one of: {named}.")
    elif gain not in NAMED_GAINS:
        raise bad_value(where, "gain", gain, f"a number above 0, or one of: {named}")


def resolve_gain(gain: float | str, activation: Activation | None) -> float:
    """The number that a gain stands for before this nonlinearity.

    Args:
        gain: a number, `auto` (`forward_gain`), `backward` (`backward_gain`) or `torch` (`torch_gain`).
        activation: what follows the layer; None = nothing, whose named gains are 1.

    Raises:
        ConfigError: an unknown gain, or one that this activation does not have.
    """
    check_gain("resolve_gain", gain)
    if not isinstance(gain, str):
        return float(gain)
    if activation is None:
        return 1.0
    return {"auto": forward_gain, "backward": backward_gain, "torch": torch_gain}[gain](activation)
