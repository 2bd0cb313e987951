"""The identity where a layer can be one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initsuite.errors import ConfigError, check_number
from initsuite.init.base.compose import ByLaws, Laws, PerTensor
from initsuite.init.base.layout import channels, on_centre
from initsuite.init.distributions import Normal
from initsuite.init.theory.gains import check_gain, resolve_gain
from initsuite.spec import ParamSpec, Role, Specs


@dataclass(frozen=True)
class Identity:
    """gain x the identity on the square part of the layer, 0 elsewhere; a convolution has it at the centre tap.

    Var[w] = 0 over draws: nothing is drawn. The first min(in, out) units each pass on one input unchanged, which keeps
    norms up to the gain where there are no more inputs than outputs; units beyond the inputs get nothing, and all of
    those compute the same and get the same gradient. Each fused matrix (gate, group) has an identity of its own. Biases
    are 0; the head is like any other layer.

    Pitfall: in a layer that widens, the symmetry of the units beyond the inputs is never broken; `zero_hadamard` and
    `idinit` are made for such layers.

    Args:
        gain: a number above 0, `auto`, `backward` or `torch` (see `VarianceScaling`).

    Elsewhere:
        torch: `eye_` and `dirac_`: the same law for matrices and for kernels of odd size.
        Keras: `Identity`, for matrices alone.

    References:
        Le, Jaitly & Hinton 2015, section 3 (recurrent matrices). Zagoruyko & Komodakis 2017, DiracNets (kernels).
    """

    gain: float | str = 1.0

    def __post_init__(self) -> None:
        check_gain("Identity", self.gain)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        units = channels("Identity", spec)
        return on_centre(resolve_gain(self.gain, spec.nonlinearity) * torch.eye(*units), spec)


@dataclass(frozen=True)
class Irnn(ByLaws):
    """Recurrent matrices gain x I, all other weights N(0, std^2): the IRNN.

    Var[w] = std^2 outside the recurrent matrices, 0 in them. With ReLU and gain 1, a state that gets no input stays as
    it is and so does its gradient, over any number of steps. Biases are 0, embeddings N(0, 1); the head is drawn like
    the input matrix, as in the paper ("the non-recurrent weights"). Made for plain recurrent networks with ReLU; in a
    gated layer each gate gets the identity, which the paper does not do.

    Args:
        std: std of the weights that are not recurrent, from 0.
        gain: gain of the identity, above 0; the paper's speech models have 0.01, which forgets.

    Raises:
        ConfigError: the model has no recurrent weight.

    References:
        Le, Jaitly & Hinton 2015, A simple way to initialize recurrent networks of rectified linear units, section 3.
    """

    std: float = 0.001
    gain: float = 1.0

    def __post_init__(self) -> None:
        check_number("Irnn", "std", self.std, minimum=0)
        check_number("Irnn", "gain", self.gain, above=0)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        if specs and not any(spec.role is Role.RECURRENT for spec in specs):
            raise ConfigError(
                f"Irnn: no recurrent weight in the {type(model).__name__}. Expected a recurrent network: the law is an "
                "identity from one state to the next. Use model=rnn, or init=identity for other models."
            )
        return PerTensor(weight=Normal(0.0, self.std), recurrent=Identity(self.gain)).laws(model, specs)
