"""Weights and biases on the edge of chaos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from initsuite.errors import ConfigError, check_number
from initsuite.init.base.compose import PerTensor
from initsuite.init.base.layout import last_hidden_nonlinearity
from initsuite.init.distributions import Normal
from initsuite.init.theory.edge_of_chaos import CriticalPoint, edge_of_chaos
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import Activation, Initialization, ParamSpec, Probe, Role, Specs

LINEAR = CriticalPoint(1.0, 0.0, 1.0)
"""The point of a layer that no nonlinearity follows."""


@dataclass(frozen=True)
class Critical:
    """Weights N(0, sigma_w^2 / fan_in) and biases N(0, sigma_b^2) on the edge of chaos of the nonlinearity.

    Var[w] = sigma_w^2 / fan_in. (sigma_w, sigma_b) solve chi_1 = sigma_w^2 E[phi'(u)^2] = 1 and q* = sigma_w^2
    E[phi(u)^2] + sigma_b^2, u ~ N(0, q*): in wide layers a signal of mean square q* keeps it, and gradients keep
    theirs, to any depth. Where q* is stable, signals of another mean square tend to it; the first layer reaches it at
    once from inputs of mean square (q* - sigma_b^2) / sigma_w^2.

    The pair of a layer is that of the nonlinearity that follows it, (1, 0) where none does; the head is drawn like any
    other layer, with the pair of the last hidden one. Biases are drawn. For ReLU the pair is (sqrt(2), 0) whatever
    q: `he`. Departure: in the papers all layers have one pair; a network of one nonlinearity has that here too. The
    theory is about feed-forward layers: a recurrent one gets the pair for both its input and its recurrent matrix, and
    torch's two bias vectors add up.

    Args:
        q: the fixed point q*, above 0; or
        sigma_b: the std of the biases, from 0, for which q* is then searched. One of the two is None.

    Raises:
        ConfigError: both or neither are given, or a nonlinearity of the model has no critical point there.

    References:
        Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos.
        Schoenholz et al. 2016, Deep Information Propagation.
    """

    reads_nonlinearity: ClassVar[bool] = True

    q: float | None = 1.0
    sigma_b: float | None = None

    def __post_init__(self) -> None:
        if (self.q is None) == (self.sigma_b is None):
            raise ConfigError(
                f"Critical: bad values `q`={self.q!r} and `sigma_b`={self.sigma_b!r}. Expected one number and one "
                "None, since one follows from the other. Example: init.q=null init.sigma_b=0.05"
            )
        if self.q is not None:
            check_number("Critical", "q", self.q, above=0)
        if self.sigma_b is not None:
            check_number("Critical", "sigma_b", self.sigma_b, minimum=0)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        before_head = last_hidden_nonlinearity(specs)
        points: dict[Activation | None, CriticalPoint] = {}
        params = {}
        for spec in specs:
            phi = before_head if spec.is_head else spec.nonlinearity
            if phi not in points:
                points[phi] = self._point(phi)
            point = points[phi]
            laws = PerTensor(weight=VarianceScaling(point.sigma_w), bias=Normal(0.0, point.sigma_b))
            params |= laws(model, [spec], seed=seed).params
        return Initialization(params)

    def _point(self, phi: Activation | None) -> CriticalPoint:
        return edge_of_chaos(phi, q=self.q, sigma_b=self.sigma_b) if phi else LINEAR

    def declared_std(self, spec: ParamSpec) -> float:
        """NaN for the head, which depends on the layer before it, and for norms and embeddings."""
        if spec.is_head or spec.role not in (Role.WEIGHT, Role.RECURRENT, Role.BIAS):
            return math.nan
        point = self._point(spec.nonlinearity)
        return point.sigma_b if spec.role is Role.BIAS else point.sigma_w / math.sqrt(spec.fan_in)
