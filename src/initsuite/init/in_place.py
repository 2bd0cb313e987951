"""A plain function that fills a tensor, as those of torch.nn.init do, as a law."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
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
        function: takes a tensor first, and fills all of it.
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
        tensor = torch.full(spec.shape, math.nan)  # so that what a function leaves out, or only returns, is noticed
        given = dict(self.options)
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
    return _takes_tensor([*inspect.signature(law).parameters.values()])


def _takes_tensor(parameters: Sequence[inspect.Parameter]) -> bool:
    first, *_ = [*parameters, None]
    return first is not None and first.kind is not first.KEYWORD_ONLY and first.name not in ("spec", "model")


def as_law(given: object) -> object:
    """A function that fills a tensor as a law: one of such a name, one that takes nothing else, or a
    `functools.partial` of either; anything else as it is.

    Example:
        >>> as_law(functools.partial(torch.nn.init.normal_, std=0.1)).options
        (('std', 0.1),)
        >>> isinstance(as_law(lambda weight: torch.nn.init.normal_(weight, std=0.1)), InPlace)
        True
    """
    function, options = given, {}
    if isinstance(given, functools.partial) and not given.args:
        function, options = given.func, given.keywords
    if not inspect.isfunction(function):
        return given
    parameters = [*inspect.signature(function).parameters.values()]
    if works_in_place(function) or (len(parameters) == 1 and _takes_tensor(parameters)):
        return InPlace(function, tuple(options.items()))
    return given
