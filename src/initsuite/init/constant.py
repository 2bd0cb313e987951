"""The same value everywhere: the symmetry controls."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.errors import check_number
from initsuite.spec import ParamSpec


@dataclass(frozen=True)
class Constant:
    """Every entry of the tensor is `value`.

    Var[w] = 0. It preserves the symmetry of a layer's units: all of them compute the same and get the same gradient.
    Biases are 0; the head is like any other layer.

    Args:
        value: any finite number.
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        check_number("Constant", "value", self.value)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return torch.full(spec.shape, float(self.value))

    def declared_std(self, spec: ParamSpec) -> float:
        return 0.0
