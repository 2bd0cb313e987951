"""What theory says of a cell before it is trained, from its configuration alone: what criteria predict by."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from initsuite.errors import unknown_choice

FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "tanh": (np.tanh, lambda z: 1 / np.cosh(np.clip(z, -300, 300)) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
}
"""phi and its slope."""
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(100)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
"""An even number of nodes: none of them is on the kink of ReLU."""
LAYERS = 1_000
"""Iterations after which the maps are at their fixed points, but on the edge of chaos itself."""


@dataclass(frozen=True)
class MeanField:
    """An infinitely wide network: Var[w] = sigma_w^2 / fan_in, Var[b] = sigma_b^2.

    References:
        Poole et al. 2016, section 2. Schoenholz et al. 2016, section 3.
    """

    activation: str
    sigma_w: float
    sigma_b: float

    def __post_init__(self) -> None:
        if self.activation not in FUNCTIONS:
            raise unknown_choice("claims: theory", "activation", self.activation, FUNCTIONS)

    def next_q(self, q: float) -> float:
        """q of the next layer: sigma_w^2 E[phi(z)^2] + sigma_b^2, z ~ N(0, q)."""
        phi, _ = FUNCTIONS[self.activation]
        return self.sigma_w**2 * float(WEIGHTS @ phi(math.sqrt(q) * NODES) ** 2) + self.sigma_b**2

    @functools.cached_property
    def q(self) -> float:
        """The fixed point q*."""
        q = 1.0
        for _ in range(LAYERS):
            q = self.next_q(q)
        return q

    def _pair(self, function: Callable[[np.ndarray], np.ndarray], q: float, c: float) -> float:
        """E[f(u1) f(u2)] of Gaussians with mean square q and correlation c."""
        first = math.sqrt(q) * NODES[:, None]
        second = math.sqrt(q) * (c * NODES[:, None] + math.sqrt(max(1 - c * c, 0.0)) * NODES[None, :])
        return float(WEIGHTS @ (function(first) * function(second)) @ WEIGHTS)

    def next_c(self, c: float, q: float | None = None) -> float:
        """The correlation of two inputs in the next layer, at the fixed point q* unless another q is given."""
        q = self.q if q is None else q
        product = self.sigma_w**2 * self._pair(FUNCTIONS[self.activation][0], q, c) + self.sigma_b**2
        return min(product / self.next_q(q), 1.0)

    def chi(self, c: float = 1.0) -> float:
        """sigma_w^2 E[phi'(u1) phi'(u2)]: the slope of the map of correlations; chi_1 at c = 1."""
        return self.sigma_w**2 * self._pair(FUNCTIONS[self.activation][1], self.q, c)

    @functools.cached_property
    def c(self) -> float:
        """The fixed point c* of the correlation: 1 in the ordered phase."""
        if self.chi() <= 1 or self.q == 0:
            return 1.0
        c = 0.5
        for _ in range(LAYERS):
            c = self.next_c(c)
        return c

    @functools.cached_property
    def correlation_length(self) -> float:
        """xi_c = -1 / ln chi(c*): the layers over which the correlation of two inputs comes 1/e nearer to c*."""
        slope = self.chi(self.c)
        return math.inf if slope >= 1 else -1 / math.log(slope) if slope > 0 else 0.0


def _mean_field(facts: Mapping[str, Any]) -> MeanField:
    return _cached_field(
        str(facts["activation"]), float(facts.get("init.gain", 1.0)), float(facts.get("init.bias_std") or 0.0)
    )


@functools.cache
def _cached_field(activation: str, sigma_w: float, sigma_b: float) -> MeanField:
    return MeanField(activation, sigma_w, sigma_b)


def _depth_in_lengths(facts: Mapping[str, Any]) -> dict[str, float]:
    length = _mean_field(facts).correlation_length
    return {
        "correlation_length": length,
        "depth_in_lengths": float(facts["model.depth"]) / length if length else math.inf,
    }


def _reciprocal_widths(facts: Mapping[str, Any]) -> dict[str, float]:
    widths = facts.get("model.widths") or [facts["model.width"]] * facts["model.depth"]
    return {"reciprocal_widths": sum(1 / width for width in widths)}


PREDICTORS: dict[str, Callable[[Mapping[str, Any]], dict[str, float]]] = {
    "correlation_length": _depth_in_lengths,
    "reciprocal_widths": _reciprocal_widths,
}
"""By the name in `theory` of a claim: from the facts of a cell to what criteria may read.

`correlation_length` needs weights and biases of one variance each, as `he_random_biases` draws them.
"""
