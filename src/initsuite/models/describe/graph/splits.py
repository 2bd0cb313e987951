"""The parts of a layer's output that go different ways: query, key and value, gates, the halves of a GLU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from initsuite.models.describe.graph.contractions import OPERANDS, Contraction, operation, shape_of
from initsuite.models.describe.graph.matrices import ABSENT, run_move
from initsuite.models.describe.graph.operations import copies, is_norm
from initsuite.models.describe.graph.roles import Roles

SPLITTING = ("slice", "select", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "unbind",
             "chunk", "unsafe_chunk", "narrow", "glu", "index", "tensor_split")  # fmt: skip
"""Operations that hand on a part of a tensor."""
BEHIND = (-1, 0, 0)
"""Wherever channels arrive behind a nonlinearity, but for products with each other and experts of their own."""
GATING = ("mul", "glu", "div")
LINEAR = ("add", "sub", "neg", "mul", "div", "rsub")
"""Pointwise operations that are linear in the signal as long as the other operand is no signal."""
Channels = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """Some output channels of a contraction.

    Attributes:
        channels: which, in order.
        start: the node that first holds these channels alone; the contraction itself where there is none.
    """

    channels: Channels
    start: fx.Node


def channel_axis(use: Contraction) -> int:
    """The axis of the output units in what a contraction returns."""
    name, ndim = operation(use.node), len(shape_of(use.node))
    if name in ("convolution", "_convolution"):
        return 1
    is_first = name in ("mm", "addmm", "bmm", "baddbmm", "addbmm") and not use.is_second
    return ndim - 2 if is_first else ndim - 1


def parts(roles: Roles, use: Contraction, users: Mapping[fx.Node, Sequence[fx.Node]]) -> list[Part]:
    """The parts of a contraction's output that go different ways; one part if none do.

    The channels are followed through operations that move entries or act on each of them, up to the next product with
    weights or with another signal, the next reduction, sum with a signal that is no contraction's output, or the
    output. Channels that arrive at different places, or pass through different nonlinearities, are parts.

    Args:
        roles: what the parameters of the forward pass are for.
        use: the contraction.
        users: the operations that use each node.
    """
    whole = [Part((), use.node)]
    if not shape_of(use.node) or not _may_split(use.node, users, roles):
        return whole
    walk = _Walk(roles, use)
    walk.run()
    width = shape_of(use.node)[channel_axis(use)]
    ways: list[list[tuple[int, ...]]] = [[] for _ in range(width)]
    for place, channels in walk.arrivals.items():
        for channel in channels - {ABSENT}:
            ways[channel].append(place)
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    last: list[int] | None = None
    for channel, way in enumerate(ways):
        if not way and last is not None:  # what is dropped goes with its neighbour
            last.append(channel)
            continue
        last = groups.setdefault(tuple(sorted(way)), [])
        last.append(channel)
    if len(groups) < 2 or len(groups) > MOST_PARTS:
        return whole
    return [Part(tuple(group), walk.first(frozenset(group))) for group in groups.values()]


MOST_PARTS = 16
"""More parts than that are channels that are used one at a time."""


def _may_split(start: fx.Node, users: Mapping[fx.Node, Sequence[fx.Node]], roles: Roles) -> bool:
    """Whether any operation before the next contraction hands on a part."""
    queue, seen = [start], {start}
    while queue:
        node = queue.pop()
        for user in users[node]:
            if operation(user) in SPLITTING or user in roles.batched:
                return True
            if user not in seen and (copies(user) or _is_pointwise(user) or is_norm(user)):
                seen.add(user)
                queue.append(user)
    return False


def _is_pointwise(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags


def _distinct(channels: Tensor) -> frozenset[int]:
    """The channels in a tensor; along an axis that repeats them without a copy, one place shows all."""
    once = tuple(slice(1) if stride == 0 else slice(None) for stride in channels.stride())
    return frozenset(channels[once].unique().tolist())


class _Walk:
    """Follows the channels of one output; `arrivals` are the channels at each place where a way ends."""

    def __init__(self, roles: Roles, use: Contraction) -> None:
        self.batched, self.sums = roles.batched, roles.residual_sums
        self.recording = roles.recording
        self.use = use
        self.bent: set[fx.Node] = set()  # behind a nonlinearity, which then follows the whole output
        shape = shape_of(use.node)
        axis = channel_axis(use)
        view = [1] * len(shape)
        view[axis] = shape[axis]
        self.channels: dict[fx.Node, Tensor | Sequence[Tensor]] = {
            use.node: torch.arange(shape[axis]).view(view).expand(shape)
        }
        self.arrivals: dict[tuple[int, ...], set[int]] = {}
        self.known: dict[fx.Node, frozenset[int]] = {}

    def run(self) -> None:
        first = self.recording.index[self.use.node] + 1
        for node in self.recording.nodes[first:]:
            operands = [each for each in node.all_input_nodes if each in self.channels]
            if not operands:
                continue
            if node.op == "call_function" and self._passes(node, operands):
                if not self.bent.isdisjoint(operands) or self._bends(node):
                    self.bent.add(node)
                continue
            for operand in operands:
                self._arrive(node, operand)

    def first(self, group: frozenset[int]) -> fx.Node:
        """The first node that holds channels of this group alone, and all of them."""
        for node, held in self.channels.items():
            if isinstance(held, Tensor) and node not in (self.use.node, *self.bent) and self._held(node) == group:
                return node
        return self.use.node

    def _held(self, node: fx.Node) -> frozenset[int]:
        """The channels that a node holds, if it is one tensor."""
        if node not in self.known:
            self.known[node] = _distinct(self.channels[node])  # type: ignore[arg-type]
        return self.known[node]

    def _arrive(self, node: fx.Node, operand: fx.Node) -> None:
        held = self.channels[operand]
        for each in [held] if isinstance(held, Tensor) else held:
            # each matrix of a batch of weights (experts) is a place of its own
            matrices = each if node in self.batched and operand is self.batched[node] else [each]
            for number, channels in enumerate(matrices):
                place: tuple[int, ...] = (self.recording.index[node], node.all_input_nodes.index(operand), number)
                if operand in self.bent and operation(node) not in GATING and node not in self.batched:
                    place = BEHIND  # the features of one layer, handed out; not several projections in one
                self.arrivals.setdefault(place, set()).update(_distinct(channels))

    def _passes(self, node: fx.Node, operands: Sequence[fx.Node]) -> bool:
        """Whether the channels go on behind this operation, and which."""
        name = operation(node)
        if name == "glu":
            half = self.channels[operands[0]].chunk(2, node.args[1] if len(node.args) > 1 else -1)  # type: ignore[union-attr, arg-type]
            for number, part in enumerate(half):
                self.arrivals.setdefault((self.recording.index[node], number, 0), set()).update(_distinct(part))
            return True
        others = [each for each in node.all_input_nodes if each not in self.channels and each in self.recording.signals]
        if node in self.sums:
            return False
        if copies(node):
            return not others and self._move(node)
        if is_norm(node):  # of each channel, or of all alike
            held = self.channels[operands[0]]
            self.channels[node] = [held] * 3 if isinstance(node.meta.get("val"), tuple | list) else held  # type: ignore[list-item, assignment]
            return isinstance(held, Tensor)
        if not _is_pointwise(node):
            return False
        if len(operands) > 1 and not self._is_one(operands):
            if name in GATING:
                return False
        elif others and (name in GATING or not self._is_contraction(others)):
            return False
        if name not in LINEAR:  # a nonlinearity is a way of its own
            for operand in operands:
                self._arrive(node, operand)
        return self._act(node, operands)

    def _bends(self, node: fx.Node) -> bool:
        return _is_pointwise(node) and not copies(node) and operation(node) not in LINEAR

    def _is_one(self, operands: Sequence[fx.Node]) -> bool:
        return len({self._held(each) for each in operands}) == 1

    def _is_contraction(self, others: Sequence[fx.Node]) -> bool:
        """Whether these are outputs of contractions, moved and shifted at most, as in a gate of two layers."""

        def plain(node: fx.Node) -> bool:
            if operation(node) in OPERANDS:
                return True
            is_sum = operation(node) == "add"
            signals = [each for each in node.all_input_nodes if each in self.recording.signals]
            return (copies(node) or is_sum) and bool(signals) and all(plain(each) for each in signals)

        return all(plain(each) for each in others)

    def _move(self, node: fx.Node) -> bool:
        def value(each: fx.Node) -> Any:
            if each in self.channels:
                return self.channels[each]
            known = self.recording.value(each)
            if known is not None:  # floats are no indices: numbers beside the channels, as an empty cache of keys
                return torch.zeros_like(known, dtype=torch.long) if known.is_floating_point() else known
            shape = shape_of(each)
            return torch.full(shape, ABSENT) if shape else each.meta.get("val")

        try:
            args, kwargs = map_arg((node.args, node.kwargs), value)
            moved = run_move(node, args, kwargs)
            if isinstance(moved, Tensor) and moved.is_floating_point():
                moved = moved.long()
        except Exception:  # an operation that takes no whole numbers
            return False
        self.channels[node] = moved
        return True

    def _act(self, node: fx.Node, operands: Sequence[fx.Node]) -> bool:
        shape = shape_of(node)
        held = max((self.channels[each] for each in operands), key=lambda each: each.numel())  # type: ignore[union-attr]
        try:
            self.channels[node] = held.expand(shape)  # type: ignore[union-attr]
        except RuntimeError:
            return False
        return True
