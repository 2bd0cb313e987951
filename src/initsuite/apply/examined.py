"""The facts about a user's model, and why some of its tensors keep their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from initsuite.models.describe.describe import describe
from initsuite.models.describe.given import Given
from initsuite.spec import ParamSpec

NOT_LEARNED = "it is not learned (requires_grad=False)"
UNKNOWN = "its role and fans are not known"


@dataclass(frozen=True)
class Description:
    """The facts about the tensors that a law is for, and for each other one the reason why it keeps its value."""

    specs: Sequence[ParamSpec]
    kept: Mapping[str, str]


def examine(
    model: nn.Module,
    *,
    example: object = None,
    nonlinearity: Given | None = None,
    strict: bool = False,
    frozen: str = "draw",
) -> Description:
    """Describe a model; `frozen`: whether tensors with `requires_grad=False` are kept (`keep`) or not (`draw`)."""
    described = {spec.name: spec for spec in describe(model, nonlinearity=nonlinearity, strict=strict)}
    kept = {}
    for name, parameter in model.named_parameters():
        if frozen == "keep" and not parameter.requires_grad:
            kept[name] = NOT_LEARNED
        elif name not in described:
            kept[name] = UNKNOWN
    return Description([spec for name, spec in described.items() if name not in kept], kept)
