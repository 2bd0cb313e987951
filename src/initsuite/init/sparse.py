"""Few connections to each unit."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.errors import check_number, check_whole_number
from initsuite.init.base.layout import as_weight, matrix_shape
from initsuite.spec import ParamSpec


@dataclass(frozen=True)
class Sparse:
    """Each unit has `nonzeros` random inputs with weights N(0, std^2); its other weights are 0.

    Var[w] = std^2 k / fan_in with k = min(nonzeros, fan_in). The variance of a unit's input does not depend on the fan:
    k std^2 times the mean square of the signal, and two units share few inputs. A layer of fewer inputs than `nonzeros`
    is drawn dense, with a warning, and its units get a smaller variance. The inputs of a convolution are those of all
    taps together. Biases are 0; the head is like any other layer.

    Departure: Martens sets the biases of tanh units to 0.5.

    Args:
        nonzeros: incoming connections of each unit, from 1.
        std: from 0.

    Elsewhere:
        torch: `sparse_` is another law: a share of zeros for each *input*, std 0.01, and the places are drawn
            from the global stream whatever generator it is given.

    References:
        Martens 2010, Deep learning via Hessian-free optimization, section 5 (15 connections, unit Gaussian).
    """

    nonzeros: int = 15
    std: float = 1.0

    def __post_init__(self) -> None:
        check_whole_number("Sparse", "nonzeros", self.nonzeros)
        check_number("Sparse", "std", self.std, minimum=0)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        units, inputs = matrix_shape("Sparse", spec)
        if self.nonzeros > inputs:
            warnings.warn(
                f"Sparse: `nonzeros`={self.nonzeros} connections of each unit, and `{spec.name}` has {inputs} inputs: "
                "it is drawn dense.",
                stacklevel=2,
            )
        chosen = torch.rand(units, inputs, generator=generator).topk(min(self.nonzeros, inputs), dim=1).indices
        values = torch.empty(chosen.shape).normal_(0.0, self.std, generator=generator)
        return as_weight(torch.zeros(units, inputs).scatter_(1, chosen, values), spec)

    def declared_std(self, spec: ParamSpec) -> float:
        """sqrt(Var[w]), over the zeros too."""
        _, inputs = matrix_shape("Sparse", spec)
        return self.std * math.sqrt(min(self.nonzeros, inputs) / inputs)
