"""Mean-field theory of wide networks for any activation, by quadrature: q map, correlation map, depth scales.

u and v are jointly Gaussian pre-activations of two inputs, with mean square q and correlation c; Var[w] = sigma_w^2 /
fan_in, biases with mean square sigma_b^2. Weights count as independent and centred, and layers as wide.

References:
    Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos, sections 2 and 3.
    Schoenholz et al. 2016, Deep Information Propagation, sections 3 to 5 (depth scales, trainable up to 6 xi).
    Hanin & Rolnick 2018, How to Start Training: The Effect of Initialization and Architecture (finite width).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from initsuite.init.theory.gains import LARGEST_Q, gaussian_quadrature, mean_square, mean_square_slope, slope
from initsuite.spec import Activation

TRAINABLE = 6.0
"""Networks are trainable up to about this many depth scales: Schoenholz et al. 2016, figures 5 and 6."""
SMALLEST_Q = 1e-8
"""A q map that falls below has its fixed point at 0."""
STEPS = 2000
"""Layers that the q map is followed for."""
SETTLED = 1e-10
"""A relative change by less than this is none."""
PANELS, NODES = 16, 10
"""Panels of one standard deviation, and nodes in each, of the quadrature over two Gaussian variables."""


@dataclass(frozen=True)
class MeanField:
    """A wide layer with its nonlinearity, again and again.

    Attributes:
        activation: phi.
        sigma_w: Var[w] = sigma_w^2 / fan_in.
        sigma_b: root mean square of the biases.
    """

    activation: Activation
    sigma_w: float
    sigma_b: float

    def q_map(self, q: float) -> float:
        """q of the next layer: sigma_w^2 E[phi(u)^2] + sigma_b^2. The ideal is q itself."""
        return self.sigma_w**2 * _moment(mean_square, self.activation, q) + self.sigma_b**2

    def chi_1(self, q: float) -> float:
        """sigma_w^2 E[phi'(u)^2]: the factor per layer on |gradient|^2, and on distances of near inputs; ideal: 1."""
        return self.sigma_w**2 * _moment(mean_square_slope, self.activation, q)

    def chi_c(self, q: float, c: float) -> float:
        """The slope of the correlation map, sigma_w^2 E[phi'(u) phi'(v)]."""
        return self.sigma_w**2 * _pair(lambda x: slope(self.activation, x.ravel()).view_as(x), q, c)

    def covariance(self, q: float, other: float, c: float) -> float:
        """sigma_w^2 E[phi(u) phi(v)] + sigma_b^2 for inputs of mean squares q and `other`."""
        return self.sigma_w**2 * _pair(self.activation.function, q, c, other) + self.sigma_b**2

    def c_map(self, q: float, c: float) -> float:
        """The correlation in the next layer of two inputs with equal q and correlation c."""
        after = self.q_map(q)
        return min(self.covariance(q, q, c) / after, 1.0) if after > 0 else math.nan

    def fluctuation(self, q: float) -> float:
        """Var[phi(u)^2] / E[phi(u)^2]^2: times 1 / width, what a layer adds to the variance of log q."""
        nodes, weights = gaussian_quadrature(_within(q))
        with torch.no_grad():
            square = self.activation.function(nodes.clone()).double().square()
        mean = float((square * weights).sum())
        return float((square.square() * weights).sum()) / mean**2 - 1 if mean > 0 else math.nan


def _within(q: float) -> float:
    return min(max(q, SMALLEST_Q), LARGEST_Q)


def _moment(mean: Callable[[Activation, float], float], activation: Activation, q: float) -> float:
    """A Gaussian mean at q; beyond the range of the quadrature NaN."""
    return mean(activation, q) if 0 < q <= LARGEST_Q else mean(activation, SMALLEST_Q) if q == 0 else math.nan


def _pair(function: Callable[[Tensor], Tensor], q: float, c: float, other: float | None = None) -> float:
    """E[f(u) f(v)] by Gauss-Legendre on panels of one standard deviation; to about 1e-5 for functions with a kink."""
    points, weights = np.polynomial.legendre.leggauss(NODES)
    lefts = np.arange(-PANELS // 2, PANELS // 2)[:, None]
    nodes = torch.from_numpy((lefts + (points + 1) / 2).ravel())
    density = torch.from_numpy(np.tile(weights / 2, PANELS)) * torch.exp(-nodes.square() / 2) / math.sqrt(2 * math.pi)
    c = min(max(c, -1.0), 1.0)
    second = c * nodes[:, None] + math.sqrt(1 - c * c) * nodes
    with torch.no_grad():
        left = function(math.sqrt(q) * nodes).double()
        right = function(math.sqrt(q if other is None else other) * second).double()
    return float(((left * density)[:, None] * right * density).sum())


@dataclass(frozen=True)
class Scales:
    """Where a network of such layers tends to, and within how many layers.

    Attributes:
        q: the fixed point of the q map; 0 or infinite where there is none in between.
        chi_1: there; ideal 1. Below, gradients vanish and inputs become alike; above, both grow.
        c: the stable fixed point of the correlation map; 1: all inputs become alike in the end.
        xi_q, xi_c, xi_gradient: layers in which the distance of q and of c from their fixed points, and |gradient|^2,
            change by a factor of e; infinite where they do not.
        trainable_depth: 6 times the smaller of xi_c and xi_gradient.
    """

    q: float
    chi_1: float
    c: float
    xi_q: float
    xi_c: float
    xi_gradient: float
    trainable_depth: float


def scales(field: MeanField, q: float = 1.0) -> Scales:
    """The depth scales of layers that start at q.

    Example:
        >>> tanh = Activation("tanh", torch.tanh)
        >>> print(f"{scales(MeanField(tanh, 1.4674, 0.3885)).chi_1:.2f}")  # on the edge of chaos at q = 1
        1.00
    """
    fixed = fixed_point(field, q)
    at = _within(fixed)
    chi_1 = field.chi_1(at)
    c = 1.0 if chi_1 <= 1 + 1e-6 else _stable_correlation(field, at)
    chi_c = chi_1 if c == 1.0 else field.chi_c(at, c)
    step = 1e-4 * at
    chi_q = (field.q_map(at + step) - field.q_map(max(at - step, at / 2))) / (step + min(step, at / 2))
    xi_c, xi_gradient = depth_scale(chi_c), depth_scale(chi_1)
    return Scales(fixed, chi_1, c, depth_scale(chi_q), xi_c, xi_gradient, TRAINABLE * min(xi_c, xi_gradient))


def depth_scale(factor: float) -> float:
    """In how many layers a factor per layer changes something by e; infinite for a factor of 1 (to 1e-4)."""
    if not factor > 0:
        return 0.0
    rate = abs(math.log(factor))
    return math.inf if rate < 1e-4 else 1 / rate


def fixed_point(field: MeanField, q: float) -> float:
    """Where the q map leads to from q: 0 below 1e-8, infinite above 10,000."""
    after = q
    for _ in range(STEPS):
        after = field.q_map(q)
        if not after > SMALLEST_Q:
            return 0.0
        if after > LARGEST_Q:
            return math.inf
        if abs(after - q) <= SETTLED * q:
            break
        q = after
    return after


def _stable_correlation(field: MeanField, q: float) -> float:
    """Where the correlation map crosses c below 1, by bisection; it is convex there."""
    low, high = 0.0, 1 - 1e-6
    if field.c_map(q, low) <= low:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if field.c_map(q, middle) > middle else (low, middle)
    return (low + high) / 2
