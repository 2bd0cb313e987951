"""Laws for the diagonal of a linear recurrence, x[t] = lambda x[t-1] + ...: one number, real or complex, for a state.

Such a parameter multiplies a state element by element. It is no matrix: no model of the suite has one, `describe`
leaves it out, and `initialize_` keeps its value. These are laws for that one tensor, to call on a generator or to put
into the `PerTensor` of a model whose describer gives the tensor a role.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.errors import bad_value, check_number, unknown_choice
from initsuite.spec import ParamSpec

PARTS = ("magnitude", "phase")
FORMS = ("log", "value")


@dataclass(frozen=True)
class LruRing:
    """The eigenvalues of a Linear Recurrent Unit, uniform on a ring of the complex plane.

    lambda = exp(-exp(nu) + i exp(theta)). `part=magnitude` is the tensor nu = log(-log|lambda|) with |lambda|^2
    ~ U(r_min^2, r_max^2), which is uniform by area on the ring; `part=phase` is theta = log(phase), phase
    ~ U(0, max_phase). The closer |lambda| is to 1, the longer a state lasts, about 1/(1 - |lambda|) steps. Inputs are
    multiplied by gamma = sqrt(1 - |lambda|^2), which gives each state the variance of white inputs: `log_gamma` of the
    magnitudes that were drawn. Var[w] is not declared.

    Pitfall: for long memories the paper also shrinks `max_phase` (to 2 pi / 10 and less): many turns look like noise.
    The complex matrices around it are Gaussian, which is not drawn here: real and imaginary parts of variance 1/(2n) at
    the input and 1/n at the output, n what each sums over.

    Args:
        part: magnitude or phase: which of the two tensors.
        r_min: inner radius, from 0.
        r_max: outer radius, above r_min, up to 1.
        max_phase: above 0, in radians.

    References:
        Orvieto et al. 2023, Resurrecting Recurrent Neural Networks for Long Sequences, lemma 3.2 and section 3.2.
    """

    part: str
    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = 2 * math.pi

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise unknown_choice("LruRing", "part", self.part, PARTS)
        check_number("LruRing", "r_min", self.r_min, minimum=0)
        check_number("LruRing", "r_max", self.r_max, above=self.r_min)
        check_number("LruRing", "max_phase", self.max_phase, above=0)
        if self.r_max > 1:
            raise bad_value("LruRing", "r_max", self.r_max, "a radius up to 1", "Larger ones let the state explode.")

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        # in (0, 1): at the ends the logarithms are infinite
        share = torch.empty(spec.shape, dtype=torch.float64).uniform_(generator=generator).clamp(1e-9, 1 - 1e-9)
        if self.part == "phase":
            return (self.max_phase * share).log().float()
        square = self.r_min**2 + share * (self.r_max**2 - self.r_min**2)
        return (-square.log() / 2).log().float()

    @staticmethod
    def log_gamma(magnitude: Tensor) -> Tensor:
        """log sqrt(1 - |lambda|^2) of the tensor nu, of its shape."""
        return torch.log1p(-torch.exp(-2 * magnitude.double().exp())).div(2).to(magnitude.dtype)


@dataclass(frozen=True)
class S4dReal:
    """The real diagonal state matrix of S4D-Real: A = -1, -2, ..., -N along the last axis.

    State n decays as exp(-(n + 1) dt): a range of memories from one time constant to its N-th part, the same for every
    channel. The tensor [..., N] holds log(-A), from which the model makes A = -exp(.), or A itself. Nothing is drawn:
    states differ from each other, channels by their inputs alone. Var[w] is not declared.

    Args:
        form: log (of -A, as in Mamba's `A_log`) or value (A).

    References:
        Gu, Gupta, Goel & Re 2022, On the Parameterization and Initialization of Diagonal State Space Models, section 4.
        Gu & Dao 2023, Mamba: Linear-Time Sequence Modeling with Selective State Spaces, section 3.6.
    """

    form: str = "log"

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise unknown_choice("S4dReal", "form", self.form, FORMS)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        rates = torch.arange(1, spec.shape[-1] + 1, dtype=torch.float32)
        return (rates.log() if self.form == "log" else -rates).expand(spec.shape).clone()
