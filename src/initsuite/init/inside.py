"""Usual laws by name, for initializers that are about single places and leave everything else to one of these."""

from __future__ import annotations

import math

from initsuite.errors import unknown_choice
from initsuite.init.base.compose import ByLaws, PerTensor
from initsuite.init.distributions import Normal
from initsuite.init.library_defaults import KerasDefault
from initsuite.init.torch_default import TorchDefault
from initsuite.init.variance_scaling import VarianceScaling

INSIDE: dict[str, ByLaws] = {
    "he": PerTensor(weight=VarianceScaling(gain=math.sqrt(2))),
    "lecun": PerTensor(weight=VarianceScaling(gain=1.0)),
    "normal": PerTensor(weight=Normal(0.0, 0.02), embedding=Normal(0.0, 0.02)),
    "keras_default": KerasDefault(),
    "torch_default": TorchDefault(),
}
"""`normal` is that of language models and vision transformers."""


def check_inside(where: str, inside: str) -> None:
    """Refuse a name that is not in `INSIDE`."""
    if inside not in INSIDE:
        raise unknown_choice(where, "inside", inside, INSIDE)
