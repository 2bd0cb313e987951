"""The names and shapes that an initializer must return, for a trial and for a model of one's own."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from initsuite.errors import ConfigError
from initsuite.spec import Initialization, ParamSpec


def check_initialization(start: object, specs: Sequence[ParamSpec], initializer: str) -> Initialization:
    """Pass on what an initializer returned: a tensor for each parameter with a place, and no other.

    Args:
        start: what was returned.
        specs: of the parameters that have a place.
        initializer: its name, for the message.

    Raises:
        ConfigError: something else.
    """
    if not isinstance(start, Initialization):
        got = type(start).__name__
        raise ConfigError(f"{initializer}: bad result of type {got}. Expected an initsuite.spec.Initialization.")
    expected = {spec.name: spec.shape for spec in specs}
    got = {
        name: tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        for name, tensor in start.params.items()
    }
    if got != expected:
        wrong = min(name for name in got.keys() | expected.keys() if got.get(name) != expected.get(name))
        raise ConfigError(
            f"{initializer}: bad parameters `{wrong}`={got.get(wrong)}. Expected shape {expected.get(wrong)}. An "
            "initializer returns every parameter that it has a spec of and no other."
        )
    return start
