"""Random orthogonal matrices, and convolutions that are isometries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.errors import ConfigError
from initsuite.init.base.layout import as_weight, channels, matrix_shape, on_centre
from initsuite.init.theory.gains import check_gain, resolve_gain
from initsuite.spec import ParamSpec


@dataclass(frozen=True)
class Orthogonal:
    """gain x a matrix drawn uniformly (Haar) from those with orthonormal rows or, with more rows than columns, columns.

    All singular values are `gain`; Var[w] = gain^2 / max(rows, columns). A square layer preserves the norm of every
    signal and gradient up to the gain; a rectangular one does so one way. Biases are 0; the head is like any other
    layer.

    A convolution kernel is flattened to [out, in x taps]. Fused matrices (`spec.blocks`: packed QKV, gates, groups of a
    convolution) are drawn separately.

    Pitfalls: a kernel with orthonormal rows is no isometry of the images (`DeltaOrthogonal` is one). With gain 1 a ReLU
    halves the mean square of the signal in each layer; `gain=auto` makes up for it.

    Args:
        gain: a number above 0, `auto`, `backward` or `torch` (see `VarianceScaling`).

    Elsewhere:
        torch: `orthogonal_`, with the same kernels except for transposed convolutions, which are flattened to
            [in, out x taps]; fused matrices are drawn as one.
        Keras: `Orthogonal`: the same law, a kernel flattened to [taps x in, out]. The gates of an LSTM are one
            matrix.
        Flax: `orthogonal` of JAX, the same along its last axis. Each gate of an LSTM is a matrix of its own.

    References:
        Saxe, McClelland & Ganguli 2013, Exact solutions to the nonlinear dynamics of learning in deep linear networks.
        Mezzadri 2007, How to generate random matrices from the classical compact groups, section 5 (the signs).
    """

    gain: float | str = 1.0

    def __post_init__(self) -> None:
        check_gain(type(self).__name__, self.gain)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        matrix = orthonormal(*matrix_shape("Orthogonal", spec), generator)
        return as_weight((resolve_gain(self.gain, spec.nonlinearity) * matrix).float(), spec)

    def declared_std(self, spec: ParamSpec) -> float:
        return resolve_gain(self.gain, spec.nonlinearity) / math.sqrt(max(matrix_shape("Orthogonal", spec)))


@dataclass(frozen=True)
class DeltaOrthogonal(Orthogonal):
    """Convolution kernels that are 0 except at the centre tap, which is gain x H with orthonormal columns (Haar).

    All singular values of the convolution with stride 1 and circular padding are `gain`, so that it preserves the norm
    of every signal up to the gain; with zero padding too, since only the centre tap counts. With c_out = c_in it does
    the same for gradients. Var[w] = gain^2 / c_out at the centre tap, 0 elsewhere. More inputs than outputs (of one
    group) are refused: such a map cannot preserve norms. Matrices and kernels of a single tap, transposed or not, are
    `Orthogonal(gain)` of any shape. Biases are 0; the head is like any other layer.

    Departure: the paper has no layers of one tap with more inputs than outputs; here they get orthonormal rows.

    Raises:
        ConfigError: a kernel of more than one tap with more inputs than outputs.

    Elsewhere:
        torch: only `dirac_`, which has an identity at the centre tap in place of a random H.
        Flax: `delta_orthogonal` of JAX: the same law, and the same refusal of more inputs than outputs.

    References:
        Xiao et al. 2018, Dynamical Isometry and a Mean Field Theory of CNNs, algorithm 2.
    """

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        if math.prod(spec.shape[2:]) == 1:
            return super().__call__(spec, generator)
        outputs, inputs = channels("DeltaOrthogonal", spec)
        if outputs < inputs:
            raise ConfigError(
                f"DeltaOrthogonal: no isometry in `{spec.name}` of shape {spec.shape}: {inputs} input channels, "
                f"{outputs} output channels. Expected at least as many outputs as inputs. Use init=orthogonal, or a "
                "model whose convolutions do not narrow."
            )
        matrix = resolve_gain(self.gain, spec.nonlinearity) * haar(outputs, inputs, generator)
        return on_centre(matrix.float(), spec)

    def declared_std(self, spec: ParamSpec) -> float:
        """The std over all taps of a kernel."""
        taps = math.prod(spec.shape[2:])
        if taps == 1:
            return super().declared_std(spec)
        return resolve_gain(self.gain, spec.nonlinearity) / math.sqrt(max(spec.shape[:2]) * taps)


def orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A Haar matrix, float64 [rows, columns], with orthonormal columns or, where they are more, orthonormal rows."""
    matrix = haar(max(rows, columns), min(rows, columns), generator)
    return matrix if rows >= columns else matrix.T


def haar(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A uniformly distributed matrix with orthonormal columns, float64 [rows, columns], rows >= columns."""
    gaussian = torch.empty(rows, columns).normal_(generator=generator)
    # float64, so that the factors agree after rounding whatever the number of threads and the LAPACK build
    q, r = torch.linalg.qr(gaussian.double())
    # QR is unique, and Q uniform, only for a positive diagonal of R
    return torch.where(r.diagonal() < 0, -q, q)
