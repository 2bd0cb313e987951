"""A plain function that fills a tensor, as those of torch.nn.init do, as a law."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from initsuite.errors import ConfigError, unknown_choice
from initsuite.spec import ParamSpec


@dataclass(frozen=True)
class InPlace:
    """A function that fills the tensor that it is given, by whatever it makes of its shape.

    The law is that of the function: it sees the shape of each matrix, and none of the facts that the laws of the suite
    are given, such as groups of a convolution or what follows the layer. One without an argument `generator` draws from
    torch's global stream, which is seeded for each tensor and left as it was.

    Args:
        function: takes a tensor first; its name ends in `_`, as torch names what works in place.
        options: further arguments, as pairs of name and value.

    Raises:
        ConfigError: an option that the function does not take, or lacks.

    Example:
        >>> InPlace(torch.nn.init.kaiming_normal_, (("nonlinearity", "relu"),)).options
        (('nonlinearity', 'relu'),)
        >>> InPlace(torch.nn.init.kaiming_normal_, (("nonlinear", "relu"),))
        Traceback (most recent call last):
        initsuite.errors.ConfigError: kaiming_normal_: unknown `option`='nonlinear'. Expected one of: a, mode, ...
    """

    function: Callable[..., Any]
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        _, *parameters = inspect.signature(self.function).parameters.values()
        known = [parameter.name for parameter in parameters if parameter.name != "generator"]
        given, where = dict(self.options), self.function.__name__
        for name in given:
            if name not in known:
                raise unknown_choice(where, "option", name, known or ["(it has none)"])
        for parameter in parameters:
            if parameter.default is parameter.empty and parameter.name not in {*given, "generator"}:
                raise ConfigError(
                    f"{where}: missing option `{parameter.name}`. Expected a value. "
                    f"Add it with +init.{parameter.name}=VALUE."
                )

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        tensor, given = torch.empty(spec.shape), dict(self.options)
        with torch.random.fork_rng(devices=[]):
            if "generator" in inspect.signature(self.function).parameters:
                given["generator"] = generator
            else:
                torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            self.function(tensor, **given)
        return tensor


def works_in_place(law: object) -> bool:
    """Whether it is a plain function with one tensor to fill, by its name and what it must be given first.

    Example:
        >>> works_in_place(torch.nn.init.orthogonal_), works_in_place(torch.nn.init.calculate_gain)
        (True, False)
    """
    if not inspect.isfunction(law) or not law.__name__.endswith("_") or law.__name__.startswith("_"):
        return False
    first, *_ = [*inspect.signature(law).parameters.values(), None]
    return first is not None and first.kind is not first.KEYWORD_ONLY and first.name not in ("spec", "model")
