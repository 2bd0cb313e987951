"""Values of what a recorded forward pass computes from constants and parameters alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

if TYPE_CHECKING:
    from initsuite.models.describe.graph.recording import Recording

SHAPE_ALONE = ("new_zeros", "new_ones", "new_empty", "new_full", "zeros_like", "ones_like", "empty_like", "full_like",
               "rand_like", "randn_like", "sym_size")  # fmt: skip
"""Operations whose result does not depend on the values of their operand."""
LARGEST = 1_000_000
"""Tensors with more entries are not computed."""
TOLERANCE = 1e-6
"""Entries that differ by at most this share are the same number."""
NEARLY = 1e-3
"""A factor of many entries that is this close to 1 is 1: 1 / sqrt(1 + eps) of a norm layer in evaluation mode."""


class Constants:
    """The value of each node that is no signal, computed when it is asked for.

    Args:
        recording: the forward pass.
        values: the value of a parameter by name; None where it has none (on the meta device).
    """

    def __init__(self, recording: Recording, values: Callable[[str], Tensor | None]) -> None:
        self._recording, self._parameter = recording, values
        self._found: dict[fx.Node, Tensor | None] = {}
        self._numbers: dict[fx.Node, float | None] = {}

    def number(self, node: fx.Node) -> float | None:
        """The one value that all entries of a tensor have; None where they differ or are not known."""
        if node not in self._numbers:
            self._numbers[node] = _only(self.value(node))
        return self._numbers[node]

    def value(self, node: fx.Node) -> Tensor | None:
        """What a node returns; None where it is not known, too large or random."""
        if node not in self._found:
            waiting = [node]  # a stack, as chains of operations may be longer than Python's recursion
            while waiting:
                behind = [each for each in _needed(waiting[-1]) if each not in self._found]
                if behind:
                    waiting.extend(behind)
                else:
                    last = waiting.pop()
                    self._found[last] = self._compute(last)
        return self._found[node]

    def _compute(self, node: fx.Node) -> Tensor | None:
        if node in self._recording.parameters:
            value = self._parameter(self._recording.parameters[node])
        elif node in self._recording.constants:
            value = self._recording.constants[node]
        else:
            return self._run(node)
        return None if value is None or value.is_meta else value.detach()

    def _run(self, node: fx.Node) -> Any:
        if node.op != "call_function" or not callable(node.target) or _size(node) > LARGEST:
            return None
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            return None
        by_shape = is_shape_alone(node)
        is_in_place = getattr(getattr(node.target, "_schema", None), "is_mutable", False)

        def given(each: fx.Node) -> Any:
            if by_shape:
                example = each.meta["val"]
                return torch.zeros((), dtype=example.dtype).expand(example.shape)
            value = self._found[each]
            if value is None:
                raise ValueError
            return value.clone() if is_in_place and isinstance(value, Tensor) else value

        try:
            with torch.no_grad():
                return node.target(*fx.map_arg(node.args, given), **fx.map_arg(node.kwargs, given))
        except Exception:  # an operation of someone else's library may raise anything
            return None


def _needed(node: fx.Node) -> Iterator[fx.Node]:
    """The nodes whose values a node takes."""
    if node.op == "call_function" and not is_shape_alone(node):
        yield from node.all_input_nodes


def is_shape_alone(node: fx.Node) -> bool:
    """Whether a node depends on its operands by their shapes alone."""
    name = getattr(getattr(node.target, "_schema", None), "name", "")
    return node.op == "call_function" and name.partition("::")[2] in SHAPE_ALONE


def _size(node: fx.Node) -> int:
    value = node.meta.get("val")
    return value.numel() if isinstance(value, Tensor) else 0


def _only(value: Any) -> float | None:
    if not isinstance(value, Tensor) or value.is_complex() or not 0 < value.numel() <= LARGEST:
        return None
    low, high = (float(each) for each in torch.aminmax(value.double()))
    if not (math.isfinite(low) and math.isfinite(high)) or high - low > TOLERANCE * max(abs(low), abs(high)):
        return None
    middle = (low + high) / 2
    return 1.0 if value.numel() > 1 and abs(middle - 1) < NEARLY else middle
