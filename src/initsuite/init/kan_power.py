"""The initializer of Kolmogorov-Arnold networks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from initsuite.errors import check_number
from initsuite.init.base.compose import ByLaws, Laws, PerTensor
from initsuite.init.base.requirements import ELSEWHERE, refusal
from initsuite.init.distributions import Normal
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.models.describe.layers import CONVOLUTIONS, TRANSPOSED
from initsuite.spec import ParamSpec, Role, Specs


@dataclass(frozen=True)
class KanPower(ByLaws):
    """N(0, n^(-2 power)) in layers of learned functions, with a power for the basis and one for the residual part.

    An output of such a layer is the sum over n_in inputs of K basis functions with coefficients and, in most, of one
    fixed function (SiLU) with a residual weight: n = n_in (K + 1) terms, n_in K without a residual part. Coefficients
    are N(0, n^(-2 basis_power)), residual weights N(0, n^(-2 residual_power)): at the default powers the coefficients
    are far smaller than 1/sqrt(n), the power that would keep the signal, and the residual part larger. Biases are 0;
    layers of another kind, the head included, are LeCun's.

    A tensor [., ., K] is one of coefficients if it is a single matrix over n_in K inputs and belongs to no convolution
    module; the residual weight is the one of n_in inputs and as many outputs in the same module. Pitfall: K is the
    number of functions, grid intervals + order for splines, not the grid. The factor of the splines that some layers
    have is no matrix and keeps its value. Departure: the powers are those that the paper reports to do best; they
    could not be checked beyond the formula, which is that of the authors' code (jaxKAN, `power`).

    Args:
        basis_power: of the coefficients, from 0.
        residual_power: of the residual weights, from 0.

    Raises:
        ConfigError: no tensor of coefficients.

    References:
        Rigas, Papachristou et al. 2025, Initialization Schemes for Kolmogorov-Arnold Networks: An Empirical Study.
    """

    basis_power: float = 1.75
    residual_power: float = 0.25

    def __post_init__(self) -> None:
        check_number("KanPower", "basis_power", self.basis_power, minimum=0)
        check_number("KanPower", "residual_power", self.residual_power, minimum=0)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        basis = [spec for spec in specs if _is_basis(spec, model)]
        if not basis:
            expected = "a Kolmogorov-Arnold layer, whose coefficients [output, input, basis function] are one tensor"
            raise refusal("KanPower", "no layer of learned functions", expected, ELSEWHERE)
        laws = PerTensor(weight=VarianceScaling(gain=1.0)).laws(model, specs)
        for spec in basis:
            inputs = spec.fan_in // spec.shape[-1]
            residual = [other for other in specs if _is_residual(other, spec)]
            terms = inputs * (spec.shape[-1] + bool(residual))
            laws[spec.name] = (Normal(0.0, terms**-self.basis_power), spec)
            laws |= {other.name: (Normal(0.0, terms**-self.residual_power), other) for other in residual}
        return laws


def _is_basis(spec: ParamSpec, model: nn.Module) -> bool:
    """Whether a tensor holds coefficients: three axes, the last of which is summed over with one of the others."""
    if spec.role is not Role.WEIGHT or len(spec.shape) != 3 or spec.blocks or len(spec.layout) > 1:
        return False
    inputs, left = divmod(spec.fan_in, spec.shape[-1])
    is_whole = left == 0 and inputs in spec.shape[:2] and inputs * _outputs(spec) == math.prod(spec.shape[:2])
    return is_whole and not isinstance(_owner(spec.name, model), CONVOLUTIONS + TRANSPOSED)


def _is_residual(spec: ParamSpec, basis: ParamSpec) -> bool:
    """Whether a matrix has the inputs and outputs of these coefficients, in the same module."""
    is_near = spec.name.rpartition(".")[0] == basis.name.rpartition(".")[0]
    sizes = (basis.fan_in // basis.shape[-1], _outputs(basis))
    is_matrix = spec.role is Role.WEIGHT and len(spec.shape) == 2
    return is_near and is_matrix and (spec.fan_in, _outputs(spec)) == sizes


def _outputs(spec: ParamSpec) -> int:
    return math.prod(spec.shape) // spec.fan_in


def _owner(name: str, model: nn.Module) -> nn.Module | None:
    return dict(model.named_modules()).get(name.rpartition(".")[0])
