"""The operations of a recorded forward pass that sum a signal against weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx

from initsuite.models.describe.graph.recording import Recording

OPERANDS: Mapping[str, tuple[int, int]] = {
    "mm": (0, 1), "bmm": (0, 1), "mv": (0, 1), "dot": (0, 1), "vdot": (0, 1), "addmm": (1, 2), "baddbmm": (1, 2),
    "addbmm": (1, 2), "addmv": (1, 2), "matmul": (0, 1), "linear": (0, 1), "convolution": (0, 1), "_grouped_mm": (0, 1),
    "_convolution": (0, 1), "embedding": (1, 0), "embedding_bag": (1, 0), "_embedding_bag": (1, 0),
    "_embedding_bag_forward_only": (1, 0),
}  # fmt: skip
"""Contractions by the name of the operation, and which arguments are the two factors (of a look-up: ids, table)."""
LOOK_UPS = ("embedding", "embedding_bag", "_embedding_bag", "_embedding_bag_forward_only")


def operation(node: fx.Node) -> str:
    """The name of an aten operation without its overload and the underscore of an operation in place.

    `relu` for aten.relu_.default, `_softmax` for aten._softmax.default; empty for what is no operation.
    """
    if node.op != "call_function":
        return ""
    if not isinstance(node.target, torch._ops.OpOverload):
        return getattr(node.target, "__name__", "")
    name = node.target._schema.name.partition("::")[2]
    return name.removesuffix("_") if not name.startswith("_") or not name.endswith("_") else name


@dataclass(frozen=True)
class Contraction:
    """One use of a weight.

    Attributes:
        node: the operation.
        weight: its operand that is computed from parameters alone.
        signal: its operand that depends on the inputs; of a look-up, the ids.
        parameters: names of the parameters that the weight is computed from, in order.
    """

    node: fx.Node
    weight: fx.Node
    signal: fx.Node
    parameters: tuple[str, ...]

    @property
    def is_second(self) -> bool:
        """Whether the weight is the second factor."""
        places = OPERANDS.get(operation(self.node))
        return places is not None and self.weight is self.node.args[places[1]]

    @property
    def is_look_up(self) -> bool:
        return operation(self.node) in LOOK_UPS


def contractions(recording: Recording) -> list[Contraction]:
    """Every use of a weight, in order: products with a weight on either side, convolutions and look-ups.

    Products of two signals (attention) and of two weights are not among them.
    """
    sources = recording.sources
    found = []
    for node in recording.nodes:
        places = OPERANDS.get(operation(node))
        if places is None:
            summed = _weighted_sum(node, recording) if operation(node) == "sum" else None
            found += [summed] if summed else []
            continue
        first, second = (node.args[place] if place < len(node.args) else None for place in places)
        if not isinstance(first, fx.Node) or not isinstance(second, fx.Node):
            continue
        for weight, signal in ((second, first), (first, second)):
            is_use = operation(node) in LOOK_UPS or signal in recording.signals
            if is_use and weight not in recording.signals and sources[weight]:
                found.append(Contraction(node, weight, signal, sources[weight]))
                break
    return found


def _weighted_sum(node: fx.Node, recording: Recording) -> Contraction | None:
    """A product with a weight that is summed over axes along which the weight varies: a contraction in two steps."""
    product = node.args[0] if node.args else None
    axes_given = node.args[1] if len(node.args) > 1 else None
    if not isinstance(product, fx.Node) or operation(product) != "mul" or len(product.args) != 2 or not axes_given:
        return None
    for weight, signal in (product.args, product.args[::-1]):
        if not isinstance(weight, fx.Node) or not isinstance(signal, fx.Node):
            continue
        if signal in recording.signals and recording.sources.get(weight):
            shape, ndim = shape_of(weight), len(shape_of(product))
            shape = (1,) * (ndim - len(shape)) + shape
            axes = [axis % ndim for axis in axes_given]  # type: ignore[union-attr, operator]
            if any(shape[axis] > 1 for axis in axes):
                return Contraction(node, weight, signal, recording.sources[weight])
    return None


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """The shape of what a node returns; empty where it is no tensor."""
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()
