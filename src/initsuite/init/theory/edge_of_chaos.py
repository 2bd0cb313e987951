"""The edge of chaos: weights and biases with which neither the signal nor its gradient grows or shrinks with depth.

References:
    Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos, section 3.
    Schoenholz et al. 2016, Deep Information Propagation, section 3 (chi_1 = 1).
    Hayou, Doucet & Rousseau 2019, On the Impact of the Activation Function on Deep Neural Networks Training
    (the line for smooth activations and the single point of the ReLU family).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from initsuite.errors import ConfigError, bad_value, check_number
from initsuite.init.theory.gains import LARGEST_Q, mean_square, mean_square_slope, slope
from initsuite.spec import Activation

LOWEST_Q, HIGHEST_Q = 1e-6, 1e3
"""A q* that is not given is searched for between these."""
GRID: list[float] = np.geomspace(LOWEST_Q, HIGHEST_Q, 91).tolist()
"""Values of q between which a change of sign is searched for: 10 per decade over nine decades."""
ROUNDING = 1e-9
"""Below this share of q, sigma_b^2 is 0. The quadrature is exact to about 1e-14."""
BISECTIONS = 100
"""More than the 50 after which an interval of log q has shrunk to rounding."""


@dataclass(frozen=True)
class CriticalPoint:
    """A point of the critical line.

    Attributes:
        sigma_w: the weights have Var[w] = sigma_w^2 / fan_in.
        sigma_b: std of the biases.
        q: mean square of the pre-activations that a layer hands on unchanged; 0 = the limit of small signals.
    """

    sigma_w: float
    sigma_b: float
    q: float


def edge_of_chaos(activation: Activation, *, q: float | None = None, sigma_b: float | None = None) -> CriticalPoint:
    """(sigma_w, sigma_b, q*) with chi_1 = sigma_w^2 E[phi'(u)^2] = 1 and q* = sigma_w^2 E[phi(u)^2] + sigma_b^2.

    u ~ N(0, q*). At a given q* there is at most one: sigma_w^2 = 1 / E[phi'(u)^2] and sigma_b^2 = q* - sigma_w^2
    E[phi(u)^2], where that is not negative. At a given sigma_b, the smallest q* from 1e-6 to 1,000 is bracketed on a
    grid of log q and bisected. With sigma_b = 0 two kinds of activation have a point of their own: the ReLU family, for
    which every q* is a solution (q* = 1 is returned), and those with phi(0) = 0 and a slope at 0, whose point
    (1 / |phi'(0)|, 0) is the limit q* -> 0, returned where there is no other.

    Args:
        activation: elementwise, float64, differentiable by torch.
        q: the fixed point, above 0, up to 10,000; or
        sigma_b: the std of the biases, from 0. Give one of the two.

    Raises:
        ConfigError: there is no such point, or a value is out of its range.

    Example:
        >>> point = edge_of_chaos(Activation("tanh", torch.tanh), q=1.0)
        >>> print(f"{point.sigma_w:.4f} {point.sigma_b:.4f}")
        1.4674 0.3885
    """
    if (q is None) == (sigma_b is None):
        got = "both" if q is not None else "neither"
        raise ConfigError(
            f"edge_of_chaos: bad values `q`={q!r} and `sigma_b`={sigma_b!r}. Expected one of the two, got {got}. "
            "The other one follows from it; set it to None (null in a file)."
        )
    if q is not None:
        check_number("edge_of_chaos", "q", q, above=0)
        if q > LARGEST_Q:
            raise bad_value("edge_of_chaos", "q", q, f"a number up to {LARGEST_Q:g}")
        return _at_q(activation, float(q))
    check_number("edge_of_chaos", "sigma_b", sigma_b, minimum=0)
    assert sigma_b is not None
    return _at_sigma_b(activation, float(sigma_b))


def bias_variance(activation: Activation, q: float) -> float:
    """sigma_b^2 that chi_1 = 1 needs at this q*; negative where no bias will do, NaN where phi has no slope."""
    steepness = mean_square_slope(activation, q)
    if not (math.isfinite(steepness) and steepness > 0):
        return math.nan
    variance = q - mean_square(activation, q) / steepness
    return 0.0 if abs(variance) <= ROUNDING * q else variance


def _at_q(activation: Activation, q: float) -> CriticalPoint:
    variance = bias_variance(activation, q)
    if not (math.isfinite(variance) and variance >= 0):
        raise ConfigError(
            f"edge_of_chaos: no critical point for `activation`={activation.name!r} at `q`={q:g}: chi_1 = 1 needs "
            f"sigma_b^2={variance:.4g}. Expected sigma_b^2 from 0. {_where_there_is_one(activation)}"
        )
    return CriticalPoint(1 / math.sqrt(mean_square_slope(activation, q)), math.sqrt(variance), q)


def _where_there_is_one(activation: Activation) -> str:
    fits = [bias_variance(activation, q) >= 0 for q in GRID]
    if not any(fits):
        return f"No q from {LOWEST_Q:g} to {HIGHEST_Q:g} has one: use another activation or initializer."
    first = fits.index(True)
    smallest = GRID[first]
    if first:
        smallest = _bisected(lambda q: bias_variance(activation, q), GRID[first - 1], smallest)
    digit = 10 ** (math.floor(math.log10(smallest)) - 2)  # three digits, rounded up: the q in the message must work
    smallest = math.ceil(smallest / digit) * digit
    return (
        f"From {LOWEST_Q:g} to {HIGHEST_Q:g}, the smallest q that has one is {smallest:.3g}: use that or a larger one "
        "(init=critical init.q=...), another activation, or another initializer."
    )


def _at_sigma_b(activation: Activation, sigma_b: float) -> CriticalPoint:
    excess = np.array([bias_variance(activation, q) for q in GRID]) - sigma_b**2
    if not excess.any():  # the ReLU family
        return _at_q(activation, 1.0)
    for left, right, before, after in zip(GRID, GRID[1:], excess, excess[1:], strict=False):
        if before * after < 0:
            root = _bisected(lambda q: bias_variance(activation, q) - sigma_b**2, left, right)
            return CriticalPoint(1 / math.sqrt(mean_square_slope(activation, root)), sigma_b, root)
    if sigma_b == 0 and (steepness := slope_at_zero(activation)) and value_at_zero(activation) == 0:
        return CriticalPoint(1 / abs(steepness), 0.0, 0.0)
    finite = excess[np.isfinite(excess)] + sigma_b**2
    got = f"lies between {finite.min():.4g} and {finite.max():.4g}" if finite.size else "is not finite"
    raise ConfigError(
        f"edge_of_chaos: no critical point for `activation`={activation.name!r} with `sigma_b`={sigma_b:g}: the "
        f"sigma_b^2 that chi_1 = 1 needs {got}. Expected {sigma_b**2:.4g} at some q from {LOWEST_Q:g} to "
        f"{HIGHEST_Q:g}. Use another sigma_b, or give q."
    )


def _bisected(function: Callable[[float], float], left: float, right: float) -> float:
    """The root of a function of q between two values at which its signs differ, halving in log q."""
    is_negative = function(left) < 0
    for _ in range(BISECTIONS):
        middle = math.sqrt(left * right)
        left, right = (middle, right) if (function(middle) < 0) == is_negative else (left, middle)
    return math.sqrt(left * right)


def slope_at_zero(activation: Activation) -> float | None:
    """phi'(0); None where the slopes on the two sides differ (ReLU, SELU)."""
    left, right = slope(activation, torch.tensor([-1e-9, 1e-9], dtype=torch.float64)).tolist()
    # a smooth phi differs by 2e-9 phi''(0)
    return (left + right) / 2 if abs(left - right) <= 1e-6 * max(1.0, abs(right)) else None


def value_at_zero(activation: Activation) -> float:
    """phi(0)."""
    return float(activation.function(torch.zeros(1, dtype=torch.float64)))
