"""What is computed from parameters alone, and is a signal all the same: tokens that layers are applied to."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from initsuite.models.describe.graph.replaying import is_shape_alone

if TYPE_CHECKING:
    from initsuite.models.describe.graph.recording import Recording

TAKING = {"addmm": (1, 0), "add": (0, 1), "native_layer_norm": (0, 2)}
"""Operations that say that they are a layer: the places of their operand, and of its bias or scale."""


def learned_tokens(recording: Recording) -> frozenset[fx.Node]:
    """The operands of layers that depend on parameters, and not on the inputs.

    A product to which a bias is added and a norm with a scale say that their operand is a signal. All other products of
    parameters may make a weight, as an adapter does; so may a norm without a scale.
    """
    signals = reached(recording.nodes, set(recording.inputs))
    learned = reached(recording.nodes, set(recording.parameters))
    operands = (_taken(recording, node) for node in recording.nodes)
    return frozenset(each for each in operands if each in learned and each not in signals)


def reached(nodes: Iterable[fx.Node], start: set[fx.Node]) -> set[fx.Node]:
    """These nodes and all that depend on their values."""
    found = set(start)
    for node in nodes:
        if not found.isdisjoint(node.all_input_nodes) and not is_shape_alone(node):
            found.add(node)
    return found


def _taken(recording: Recording, node: fx.Node) -> fx.Node | None:
    """What a product with a bias or a norm with a scale takes."""
    name = _name(node)
    if name not in TAKING or len(node.args) <= max(TAKING[name]):
        return None
    operand, own = (node.args[place] for place in TAKING[name])
    if _before_views(own) not in recording.parameters or (name != "native_layer_norm" and not _is_row(own)):
        return None
    if name == "add":  # the bias of a linear layer on more than two axes
        product = _before_views(operand)
        operand = product.args[0] if isinstance(product, fx.Node) and _name(product) in ("mm", "bmm") else None
    return operand if isinstance(operand, fx.Node) else None


def _name(node: fx.Node) -> str:
    return getattr(getattr(node.target, "_schema", None), "name", "").partition("::")[2]


def _before_views(argument: Any) -> Any:
    while isinstance(argument, fx.Node) and (is_view(argument) or _name(argument) == "_unsafe_view"):
        argument = argument.args[0]
    return argument


def _is_row(argument: object) -> bool:
    value = argument.meta.get("val") if isinstance(argument, fx.Node) else None
    return isinstance(value, Tensor) and value.ndim == 1


def is_view(node: fx.Node) -> bool:
    if node.target is operator.getitem:
        return isinstance(node.args[0], fx.Node) and is_view(node.args[0])
    return isinstance(node.target, torch._ops.OpOverload) and node.target.is_view
