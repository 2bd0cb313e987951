"""The name of an elementwise function: the suite's activation that it equals, or one made of its operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from initsuite.activations import FUNCTIONS, OPTIONS, activation
from initsuite.models.describe.graph.chains import GRID, Chain, Number, Step
from initsuite.spec import Activation

TOLERANCE = 1e-6
"""Two functions are the same if they differ by at most this share of max(1, |value|): float32 constants stay below."""
POINTS = torch.linspace(-8, 8, 120, dtype=torch.float64)
"""Beyond 6, where ReLU6 differs from ReLU."""
WITH_OPTIONS = ("celu", "hardshrink", "softshrink")
"""torch's activations with options that the suite has not."""
KNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu6": functional.relu6,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "logsigmoid": functional.logsigmoid,
    "tanhshrink": functional.tanhshrink,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu_squared": lambda x: torch.relu(x) ** 2,
    "lecun_tanh": lambda x: 1.7159 * torch.tanh(2 / 3 * x),
    "gated_tanh": lambda x: torch.tanh(x) * torch.sigmoid(x),
    "snake": lambda x: x + torch.sin(x) ** 2,
}
"""Well-known functions without options that the suite has not, by name."""
ARITHMETIC = ("add", "sub", "rsub", "mul", "div", "neg")
"""Operations that a made-up name leaves out."""


@lru_cache(maxsize=1024)
def named(chain: Chain) -> Activation:
    """The activation that a chain of operations is.

    Functions are compared by their values, so that one that is spelled out (x * sigmoid(x)) is the one that has a name.
    What is not known gets a name of its operations and its constants as options, so that two functions differ.
    """
    only = chain.steps[0] if len(chain.steps) == 1 else None
    options = _options(only) if only else {}
    if only and only.operation in WITH_OPTIONS:
        return Activation(only.operation, chain, tuple(sorted(options.items())))
    for name, function in KNOWN.items():
        if agree(chain, function):
            return Activation(name, chain)
    if only and (found := _as_called(only, options)) and agree(chain, found.function):
        return found
    for found in _candidates(chain):
        if agree(chain, found.function):
            return found
    return Activation(
        _made_up(chain), chain, tuple((f"constant_{place}", each) for place, each in enumerate(chain.numbers))
    )


def _made_up(chain: Chain) -> str:
    """Its operations without arithmetic, unless that is the name of another function: `sigmoid_mul` for 2 sigmoid."""
    words = [step.operation.strip("_") for step in chain.steps]
    name = "_".join(dict.fromkeys(word for word in words if word not in ARITHMETIC))
    return name if name and name not in FUNCTIONS and name not in KNOWN else "_".join(dict.fromkeys(words))


def agree(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> bool:
    with torch.no_grad():
        wanted, got = first(POINTS.clone()), second(POINTS.clone())
    return bool(((wanted - got).abs() <= TOLERANCE * wanted.abs().clamp(min=1)).all())


def _options(step: Step) -> dict[str, float]:
    """The numbers that an operation takes after z, by their names in its schema, defaults included."""
    packet = getattr(torch.ops.aten, step.operation)
    schema = getattr(packet, packet.overloads()[0])._schema.arguments
    given: dict[str, Any] = {each.name: each.default_value for each in schema if each.has_default_value()}
    given |= {each.name: value for each, value in zip(schema, step.arguments, strict=False)} | dict(step.keywords)
    numbers = {name: value.value if isinstance(value, Number) else value for name, value in given.items()}
    return {name: float(value) for name, value in numbers.items() if type(value) in (int, float)}


def _as_called(step: Step, options: Mapping[str, float]) -> Activation | None:
    """The suite's activation of the same name, with the options of the call."""
    if step.operation == "prelu":
        return activation("prelu", negative_slope=_rounded(options["weight"]))
    if step.operation not in FUNCTIONS:
        return None
    known = OPTIONS.get(step.operation, {})
    return activation(step.operation, **{name: value for name, value in options.items() if name in known})


def _candidates(chain: Chain) -> Iterator[Activation]:
    """The suite's activations, with the options that this function would have if it were one of them."""
    for name in FUNCTIONS:
        if name != "identity" and name not in OPTIONS:
            yield activation(name)
    with torch.no_grad():
        below, middle = (float(each) for each in chain(torch.tensor([-1.0, 0.0], dtype=torch.float64)))
        reached = chain(GRID.clone())
    if -math.inf < below < 0:
        yield activation("leaky_relu", negative_slope=_rounded(-below))
        yield activation("elu", alpha=_rounded(below / math.expm1(-1)))
    if 0 < middle < math.inf:
        yield activation("softplus", beta=_rounded(math.log(2) / middle))
    low, high = _rounded(float(reached.min())), _rounded(float(reached.max()))
    if -math.inf < low < high < math.inf:
        yield activation("hardtanh", min_val=low, max_val=high)
    if any(step.operation == "sin" for step in chain.steps):
        for number in (1.0, *chain.numbers):
            if number > 0:
                yield activation("sine", omega=number)
                yield activation("sine", omega=1 / number)


def _rounded(value: float) -> float:
    """Without the digits that float32 adds: 0.1 for 0.10000000149."""
    return float(f"{value:.7g}")
