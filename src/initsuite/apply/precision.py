"""What a cast to the dtype of a model does to the values that a law drew."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from initsuite.errors import ConfigError
from initsuite.spec import Params, is_finite
from initsuite.wording import format_first

FEW = 16
"""Nonzero entries of a unit up to which a cast can make it equal to another: of dense random ones it cannot."""


@dataclass
class Casts:
    """Casts tensors, and remembers the weights with units that the law drew different and the cast made equal.

    Such units get equal gradients, too, if what reads them is as equal: they may stay the same for good.
    """

    lost: dict[str, str] = field(default_factory=dict)

    def to(self, dtype: torch.dtype, drawn: Tensor, name: str) -> Tensor:
        cast = drawn.to(dtype)
        if units := _units_lost(drawn, cast):
            self.lost[name] = f"`{name}` ({units} in {str(dtype).removeprefix('torch.')})"
        return cast

    def warn(self, law: str) -> None:
        """Name them, if there are any."""
        if self.lost:
            warnings.warn(
                f"initialize_: units that {law} draws different are equal after the cast to the dtype of the model: "
                f"{format_first(list(self.lost.values()), 3)}. Expected differences that the dtype holds. Initialize "
                "in float32 and train in mixed precision, or give the law larger ones (for idinit: looseness=0.1).",
                stacklevel=5,
            )


def dtypes_of(model: nn.Module) -> dict[str, torch.dtype]:
    return {name: parameter.dtype for name, parameter in model.named_parameters()}


def check_held(params: Params, dtypes: Mapping[str, torch.dtype]) -> None:
    """Refuse values that a cast makes infinite.

    Args:
        params: finite as they were drawn, cast or not.
        dtypes: those of the model.

    Raises:
        ConfigError: so.
    """
    for name, tensor in params.items():
        dtype = dtypes[name]
        is_narrower = dtype.is_floating_point and torch.finfo(dtype).max < torch.finfo(torch.float32).max
        if is_narrower and not is_finite(tensor.to(dtype)):
            kind = str(dtype).removeprefix("torch.")
            raise ConfigError(
                f"initialize_: bad values of `{name}`: too large for {kind}. Expected at most "
                f"{torch.finfo(dtype).max:g} in magnitude. Initialize in float32 and train in mixed precision, or give "
                "the law a smaller std."
            )


def _units_lost(before: Tensor, after: Tensor) -> int:
    """How many distinct rows fewer there are after a cast to fewer bits."""
    is_narrower = torch.finfo(after.dtype).bits < torch.finfo(before.dtype).bits
    if before.ndim < 2 or not is_narrower or int(before[0].count_nonzero()) > FEW:
        return 0
    return _distinct(before) - _distinct(after)


def _distinct(rows: Tensor) -> int:
    return len(torch.unique(rows.flatten(1).float(), dim=0))
