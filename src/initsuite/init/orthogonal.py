"""Random orthogonal matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.errors import ConfigError
from initsuite.gains import check_gain, resolve_gain
from initsuite.spec import ParamSpec


@dataclass(frozen=True)
class Orthogonal:
    """gain x a matrix drawn uniformly (Haar) from those with orthonormal rows or, with more rows than columns, columns.

    All singular values are `gain`; Var[w] = gain^2 / max(rows, columns). A square layer preserves the norm of every
    signal and gradient up to the gain; a rectangular one does so one way. As an initializer of its own it leaves biases
    at 0 and treats the head like any other layer.

    A convolution kernel is flattened to [out, rest], as torch does. Those rows are orthonormal, but the convolution is
    no isometry (Xiao et al. 2018 give one that is). Fused matrices (`spec.blocks`: packed QKV, groups of a
    convolution) are drawn one by one when the law is used through `PerTensor`; torch draws them as one.

    Args:
        gain: a number above 0, whatever follows; `auto`, the forward gain of the nonlinearity that follows (1 where
            nothing does); or `torch`, torch's table.

    References:
        Saxe, McClelland & Ganguli 2013, Exact solutions to the nonlinear dynamics of learning in deep linear networks.
        Mezzadri 2007, How to generate random matrices from the classical compact groups, section 5 (the signs).
    """

    gain: float | str = 1.0

    def __post_init__(self) -> None:
        check_gain("Orthogonal", self.gain)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        if len(spec.shape) < 2:
            raise ConfigError(
                f"Orthogonal: no matrix in `{spec.name}` of shape {spec.shape}. Expected two axes or more. "
                "Use another law for this role."
            )
        rows, columns = spec.shape[0], math.prod(spec.shape[1:])
        matrix = haar(max(rows, columns), min(rows, columns), generator)
        matrix = matrix if rows >= columns else matrix.T
        return (resolve_gain(self.gain, spec.nonlinearity) * matrix).float().reshape(spec.shape)


def haar(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A uniformly distributed matrix with orthonormal columns, float64 [rows, columns], rows >= columns."""
    gaussian = torch.empty(rows, columns).normal_(generator=generator)
    # float64, so that the factors agree after rounding whatever the number of threads and the LAPACK build
    q, r = torch.linalg.qr(gaussian.double())
    # QR is unique, and Q uniform, only for a positive diagonal of R
    return torch.where(r.diagonal() < 0, -q, q)
