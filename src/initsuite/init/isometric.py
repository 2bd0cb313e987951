"""Orthogonal weights on the edge of chaos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from initsuite.init.base.compose import ByLaws, Laws, PerTensor
from initsuite.init.base.layout import last_hidden_nonlinearity
from initsuite.init.critical import LINEAR, Critical
from initsuite.init.distributions import Normal
from initsuite.init.orthogonal import Orthogonal
from initsuite.init.theory.edge_of_chaos import CriticalPoint, edge_of_chaos
from initsuite.spec import Activation, Specs


@dataclass(frozen=True)
class Isometric(ByLaws):
    """sigma_w x Haar orthogonal weights and biases N(0, sigma_b^2) on the edge of chaos of the nonlinearity.

    Var[w] = sigma_w^2 / max(rows, columns), all singular values sigma_w; (sigma_w, sigma_b) are those of `critical`,
    with chi_1 = sigma_w^2 E[phi'(u)^2] = 1 at q*. A deep network of square layers then keeps not only the mean square
    of signals and gradients, as `critical` does, but for tanh-like nonlinearities at a small q* all singular values of
    its Jacobian near 1: dynamical isometry. No ReLU network has it, at any sigma_w.

    The pair of a layer is that of what follows it, (1, 0) where nothing does; the head has that of the last hidden
    layer. Biases are drawn. Departures: the paper has square layers; a layer that widens keeps the norm of its whole
    input here, so that each unit gets less. The flattened kernel of a convolution is orthogonal, which makes no
    isometry of the convolution (see `DeltaOrthogonal`). A recurrent layer gets the pair twice, as in `critical`.

    Args:
        q: the fixed point q*, above 0; or
        sigma_b: the std of the biases, from 0, for which q* is then searched. One of the two is None.

    Raises:
        ConfigError: both or neither are given, or a nonlinearity of the model has no critical point there.

    References:
        Pennington, Schoenholz & Ganguli 2017, Resurrecting the sigmoid in deep learning through dynamical isometry.
    """

    reads_nonlinearity: ClassVar[bool] = True

    q: float | None = 1.0
    sigma_b: float | None = None

    def __post_init__(self) -> None:
        Critical(self.q, self.sigma_b)  # the same options

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        before_head = last_hidden_nonlinearity(specs)
        points: dict[Activation | None, CriticalPoint] = {None: LINEAR}
        laws: Laws = {}
        for spec in specs:
            phi = before_head if spec.is_head else spec.nonlinearity
            if phi is not None and phi not in points:
                points[phi] = edge_of_chaos(phi, q=self.q, sigma_b=self.sigma_b)
            point = points[phi]
            each = PerTensor(weight=Orthogonal(point.sigma_w), bias=Normal(0.0, point.sigma_b))
            laws |= each.laws(model, [spec])
        return laws
