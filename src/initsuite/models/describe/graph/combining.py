"""How a pointwise operation continues the function of z that its operands are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from initsuite.models.describe.graph.chains import DENSITY, SHARE, Earlier, Expressions, Number, Step
from initsuite.models.describe.graph.kinds import CHOICES, PRODUCTS, SUMS


@dataclass(frozen=True)
class State:
    """A tensor that is computed from z without a product in between.

    Attributes:
        expression: which function of z its entries are; of a statistic, the function that it averages.
        part: which entries of z, in which order; tensors of different parts are independent of each other.
        shape: of the tensor.
        level: how often entries were pooled: a tensor of a higher level is a statistic of one of a lower level.
        number: the value of a statistic, where the entries that it pools are functions of many z; NaN if not known.
        is_fixed: whether a nonlinearity has been met whose result was then mixed with another signal, so that what
            comes later is no function of z alone.
        doubt: why it is not known which function this is.
        remark: what was assumed.
    """

    expression: int = 0
    part: object = ()
    shape: tuple[int, ...] = ()
    level: int = 0
    number: float = math.nan
    is_fixed: bool = False
    doubt: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Other:
    """A tensor that is not computed from z alone.

    Attributes:
        kind: `signal` from elsewhere, `beyond` from z through a product, `given` with the inputs, `parameter` (or
            computed from parameters), `statistic` of z, `constant`.
        number: the value of all its entries, where that is known.
    """

    kind: str
    number: float | None = None

    @property
    def is_signal(self) -> bool:
        return self.kind in ("signal", "beyond", "given")

    @property
    def is_mixing(self) -> bool:
        """Whether it depends on more than the inputs."""
        return self.kind in ("signal", "beyond", "parameter", "statistic")


class Combiner:
    """Applies pointwise operations.

    Args:
        expressions: the functions met so far.
        zero_is_one: whether a parameter that is 0 counts as 1 where it is a factor.
    """

    def __init__(self, expressions: Expressions, *, zero_is_one: bool = False) -> None:
        self.expressions, self._zero_is_one = expressions, zero_is_one

    def combine(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any], shape: tuple) -> State | None:
        """The state of the result; None where the walk ends. At least one argument is a `State`."""
        own = [each for each in arguments if isinstance(each, State)]
        if name in SUMS and Other("beyond") in arguments:
            return None
        level = min(each.level for each in own)
        entries = [each for each in own if each.level == level]
        for each in entries:
            if each.doubt or each.is_fixed:
                return replace(each, shape=shape)
        if len(entries) < len(own):
            if name == "div" and self._is_share(arguments):
                exponent = self.expressions.exponent(arguments[0].expression)
                return None if exponent is None else self.before_softmax(replace(arguments[0], expression=exponent))
            is_line = all(self.expressions.is_line(each.expression) for each in entries)
            arguments = [_as_factor(each, level, is_line=is_line) for each in arguments]
        number = _number(name, arguments, keywords) if level else math.nan
        return replace(self._continued(name, arguments, keywords), shape=shape, number=number)

    def _continued(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> State:
        own = [each for each in arguments if isinstance(each, State)]
        others = [each for each in arguments if isinstance(each, Other)]
        if name in CHOICES and not isinstance(arguments[0 if name == "where" else 1], State):
            return self.main(own)  # a mask that does not depend on z
        is_mixed = len({(each.part, each.shape) for each in own}) > 1 or any(each.is_signal for each in others)
        is_shifted = name in SUMS and any(each.kind == "parameter" for each in others)
        if is_mixed or is_shifted or any(each.number is None for each in others):
            return self._without_others(name, arguments, is_mixed=is_mixed)
        return self._composed(name, arguments, keywords)

    def main(self, own: Sequence[State]) -> State:
        """Of several tensors that are computed from z, the one with a doubt or a nonlinearity, else the first."""
        for each in own:
            if each.doubt or each.is_fixed:
                return each
        return next((each for each in own if not self.expressions.is_line(each.expression)), own[0])

    def before_softmax(self, state: State) -> State | None:
        """A softmax ends the way of z; a nonlinearity before it is what follows."""
        is_over = not state.doubt and not state.is_fixed and self.expressions.is_line(state.expression)
        return None if is_over else replace(state, is_fixed=True)

    def _is_share(self, arguments: Sequence[Any]) -> bool:
        """f(z) / (sum of f(z) + epsilon): a softmax that is spelled out."""
        first, second = arguments[:2]
        if not isinstance(first, State) or not isinstance(second, State) or first.level >= second.level:
            return False
        upper, lower = (self.expressions.values(each.expression) for each in (first, second))
        return bool(upper.min() > 0 and (DENSITY * (upper - lower).abs()).sum() <= SHARE * (DENSITY * upper).sum())

    def _without_others(self, name: str, arguments: Sequence[Any], *, is_mixed: bool) -> State:
        own = [each for each in arguments if isinstance(each, State)]
        main = self.main(own)
        is_line = self.expressions.is_line(main.expression)
        if name in SUMS:
            if is_mixed:
                # a constant factor of what is added, as of a residual branch, is the weight of that branch
                bare = self.expressions.unscaled(main.expression)
                return replace(main, expression=0) if is_line else replace(main, expression=bare, is_fixed=True)
            is_minus = (name == "sub" and arguments[1] == main) or (name == "rsub" and arguments[0] == main)
            return self._composed("neg", [main], {}) if is_minus else main
        if name in PRODUCTS and (name == "mul" or arguments[0] == main):
            # masks and counts only change the scale; a parameter may belong to the next function, as in exp(w f(z))
            is_scaled = not any(each.is_mixing for each in arguments if isinstance(each, Other)) and len(own) == 1
            return main if is_line or is_scaled else replace(main, is_fixed=True)
        return replace(main, doubt=f"{name} with another signal")

    def _composed(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> State:
        main = next(each for each in arguments if isinstance(each, State))
        remark = next((each.remark for each in arguments if isinstance(each, State) and each.remark), "")
        if self._changes_nothing(name, arguments, keywords):
            return main
        written = tuple(
            Earlier(each.expression) if isinstance(each, State) else Number(each.number)
            if isinstance(each, Other) and each.number is not None else each
            for each in arguments
        )  # fmt: skip
        try:
            step = Step(name, written, tuple(sorted(keywords.items())))
            return replace(main, expression=self.expressions.add(step), remark=remark)
        except Exception:  # what an operation refuses is its own affair
            return replace(main, doubt=f"{name} cannot be evaluated")

    def _changes_nothing(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
        if len(arguments) != 2 or (name == "div" and keywords):
            return False
        last = arguments[0] if name == "mul" and isinstance(arguments[1], State) else arguments[1]
        number = last.number if isinstance(last, Other) else last
        if not isinstance(number, int | float) or isinstance(last, State):
            return False
        kind = getattr(last, "kind", "")
        # a state that starts at 0 says nothing about the later ones; a parameter at 0 may be meant
        is_off = name == "mul" and number == 0 and (kind == "constant" or (self._zero_is_one and kind == "parameter"))
        others = [each for each in arguments if each is not last]
        # a learned scale behind a nonlinearity starts where the model says, and is no part of the function
        is_learned = kind == "parameter" and not self.expressions.is_line(others[0].expression)
        is_factor = name in PRODUCTS and (number == 1 or is_learned or is_off)
        return is_factor or (name in ("add", "sub") and number == 0)


def _as_factor(value: Any, level: int, *, is_line: bool) -> Any:
    """A statistic that meets single entries again: its value, where these are z itself.

    Behind a nonlinearity it is not evaluated: there a norm layer is passed over, like those that are one operation.
    """
    if not isinstance(value, State) or value.level == level:
        return value
    number = value.number
    if not is_line or value.level > level + 1 or not math.isfinite(number):
        return Other("statistic")
    near = next((whole for whole in (0.0, 1.0) if abs(number - whole) < 1e-3), number)
    return Other("constant", near)


def _number(name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> float:
    """An operation on statistics alone."""
    numbers: list[Any] = []
    for each in arguments:
        value = each.number if isinstance(each, State | Other) else each
        if value is None:
            return math.nan
        numbers.append(torch.tensor(value, dtype=torch.float64) if isinstance(each, State | Other) else value)
    try:
        return float(getattr(torch.ops.aten, name)(*numbers, **keywords))
    except Exception:  # as above
        return math.nan


def statistic(name: str, values: Tensor, count: float) -> float:
    """The value of a reduction over many z, from a function's values on the grid; NaN where there is none.

    Args:
        name: the operation.
        values: [point], on `GRID`.
        count: how many entries are reduced to one.
    """
    mean, square = float((DENSITY * values).sum()), float((DENSITY * values**2).sum())
    if name == "mean":
        return mean
    if name == "sum":
        return count * mean
    if name in ("norm", "linalg_vector_norm"):
        return math.sqrt(count * square)
    spread = max(square - mean**2, 0.0)
    return {"var": spread, "std": math.sqrt(spread)}.get(name, math.nan)
