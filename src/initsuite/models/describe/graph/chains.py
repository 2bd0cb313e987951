"""Elementwise functions as chains of operations: built, evaluated on a grid, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

GRID = torch.linspace(-8, 8, 400, dtype=torch.float64)
"""Points of z ~ N(0, 1); 0, where a quotient may not exist, is not among them."""
DENSITY = torch.softmax(-(GRID**2) / 2, 0)
"""Weights of the trapezoid rule for E[f(z)]: exact to rounding for smooth functions, to 1e-4 for those with a kink."""
SHARE = 1e-3
"""A function counts as linear if its best straight line leaves at most this share of its std."""
CONDITIONS = {"where": 0, "masked_fill": 1}
"""Operations with a condition, and its place among the arguments."""
ON_BITS = {"bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor",
           "bitwise_not": "logical_not"}  # fmt: skip
"""What these do to conditions, for numbers that stand for conditions."""


@dataclass(frozen=True)
class Earlier:
    """An argument that was computed before: 0 is z, 1 the result of the first step."""

    place: int


@dataclass(frozen=True)
class Number:
    """An argument that is a tensor with one value."""

    value: float


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        operation: its name in torch.ops.aten.
        arguments: `Earlier`, `Number`, or plain values.
        keywords: plain values.
    """

    operation: str
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...] = ()

    def run(self, values: Sequence[Tensor]) -> Tensor:
        """The result on those of the steps before; conditions as the numbers 0 and 1."""
        arguments = []
        for place, each in enumerate(self.arguments):
            value: Any = each
            if isinstance(each, Earlier):
                value = values[each.place]
                value = value.bool() if CONDITIONS.get(self.operation) == place else value
            elif isinstance(each, Number):
                value = torch.tensor(each.value, dtype=values[0].dtype, device=values[0].device)
            arguments.append(value)
        result = getattr(torch.ops.aten, ON_BITS.get(self.operation, self.operation))(*arguments, **dict(self.keywords))
        return result.to(values[0].dtype)


@dataclass(frozen=True)
class Chain:
    """A function of z on tensors of any real type: it pickles, and torch can differentiate it."""

    steps: tuple[Step, ...]

    def __call__(self, z: Tensor) -> Tensor:
        values = [z]
        for step in self.steps:
            values.append(step.run(values))
        return values[-1]

    @property
    def numbers(self) -> tuple[float, ...]:
        """The constants in it, in order."""
        given = [each for step in self.steps for each in (*step.arguments, *(value for _, value in step.keywords))]
        plain = [each.value if isinstance(each, Number) else each for each in given]
        return tuple(float(each) for each in plain if type(each) in (int, float))


class Expressions:
    """All functions of z met so far, each once, by number; 0 is z itself."""

    def __init__(self) -> None:
        self._steps: list[Step | None] = [None]
        self._values: list[Tensor] = [GRID]
        self._known: dict[Step, int] = {}
        self._lines: dict[int, tuple[float, float, bool]] = {}

    def add(self, step: Step) -> int:
        """The number of what a step makes of expressions that it names by their numbers."""
        if step not in self._known:
            with torch.no_grad():
                value = step.run(self._values)
            self._known[step] = len(self._steps)
            self._steps.append(step)
            self._values.append(value)
        return self._known[step]

    def values(self, expression: int) -> Tensor:
        """[point], on `GRID`."""
        return self._values[expression]

    def line(self, expression: int) -> tuple[float, float, bool]:
        """Slope and offset of the best straight line, and whether the function is that line."""
        if expression not in self._lines:
            values = self._values[expression]
            offset, slope = float((DENSITY * values).sum()), float((DENSITY * values * GRID).sum())
            rest = float((DENSITY * (values - offset - slope * GRID) ** 2).sum())
            spread = float((DENSITY * (values - offset) ** 2).sum())
            self._lines[expression] = slope, offset, rest <= SHARE**2 * spread + 1e-24 * offset**2
        return self._lines[expression]

    def is_line(self, expression: int) -> bool:
        return self.line(expression)[2]

    def is_constant(self, expression: int) -> bool:
        slope, offset, is_line = self.line(expression)
        return is_line and abs(slope) <= 1e-9 * max(1.0, abs(offset))

    def exponent(self, expression: int) -> int | None:
        """What is exponentiated in exp(f(z)); None for other functions."""
        step = self._steps[expression]
        operand = step.arguments[0] if step is not None and step.operation == "exp" else None
        return operand.place if isinstance(operand, Earlier) else None

    def unscaled(self, expression: int) -> int:
        """The function without a constant that multiplies or divides it last."""
        step = self._steps[expression]
        while step is not None and step.operation in ("mul", "div"):
            parts = [each for each in step.arguments if isinstance(each, Earlier)]
            if len(parts) != 1 or (step.operation == "div" and step.arguments[0] is not parts[0]):
                break
            expression = parts[0].place
            step = self._steps[expression]
        return expression

    def chain(self, expression: int) -> Chain:
        """The steps that lead to an expression."""
        needed: set[int] = set()
        waiting = [expression]
        while waiting:
            step = self._steps[each := waiting.pop()]
            if step is not None and each not in needed:
                needed.add(each)
                waiting.extend(part.place for part in step.arguments if isinstance(part, Earlier))
        places = {0: 0} | {each: place for place, each in enumerate(sorted(needed), start=1)}
        steps = []
        for each in sorted(needed):
            step = self._steps[each]
            assert step is not None
            arguments = (Earlier(places[part.place]) if isinstance(part, Earlier) else part for part in step.arguments)
            steps.append(Step(step.operation, tuple(arguments), step.keywords))
        return Chain(tuple(steps))
