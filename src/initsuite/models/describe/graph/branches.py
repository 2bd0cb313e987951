"""Residual branches, read from a recorded forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import fx

from initsuite.models.describe.graph.contractions import LOOK_UPS, Contraction, operation, shape_of
from initsuite.models.describe.graph.flow import Flow
from initsuite.models.describe.graph.operations import SELECTING, SHIFTS, is_linear, is_norm, moves, pools
from initsuite.models.describe.graph.recording import Recording
from initsuite.models.describe.graph.sums import Sum, sums


@dataclass(frozen=True)
class GraphBranch:
    """What is added to a shortcut.

    Attributes:
        uses: the contractions inside, in order; one that is also in a branch inside this one, or whose weights were in
            a branch before, is not among them.
        closing: those of them whose output reaches the sum without another contraction in between.
        norms: names of the norm parameters inside.
        closing_norms: those of them between a closing contraction and the sum.
        start: what the branch and its shortcut are computed from.
        sum: the addition, the last one if there are several terms.
        shortcut: the contractions of the shortcut, one at most.
        shortcut_factor: the constant that multiplies the shortcut; None where there is none.
    """

    uses: tuple[Contraction, ...]
    closing: tuple[Contraction, ...]
    norms: tuple[str, ...]
    closing_norms: tuple[str, ...]
    start: fx.Node
    sum: fx.Node
    shortcut: tuple[Contraction, ...]
    shortcut_factor: float | None


def residual_branches(
    recording: Recording, uses: Sequence[Contraction], norms: Mapping[fx.Node, Sequence[str]] | None = None
) -> list[GraphBranch]:
    """The residual branches of a model, in order of use.

    A sum is residual if one of its terms, the shortcut, comes from a tensor that others are computed from, and is that
    tensor, possibly moved, multiplied by a constant, normalised or pooled; or multiplied by weights of its own, one
    contraction without a nonlinearity, if what it is added to has a nonlinearity or two contractions at least and no
    residual sum inside. Sums of several terms (attention and a two-layer network side by side) are one.

    A sum whose shortcut is multiplied by a signal (a gated recurrence), one whose sides see different time steps, and
    an adapter are no branches.

    Args:
        recording: the forward pass.
        uses: its contractions, without adapters (`attention.adapters`).
        norms: names of norm parameters by the operations that use them.
    """
    finder = _Finder(recording, uses)
    found: list[_Shape] = []
    for each in sums(recording):
        shape = finder.residual(each, found)
        if shape is not None:
            found = [other for other in found if not finder.is_part(other, shape)] + [shape]
    branches = _shared_out(finder, found, norms or {})
    return sorted(branches, key=lambda branch: recording.index[branch.uses[0].node])


@dataclass(frozen=True)
class _Shape:
    """A residual sum with its shortcut from `start` to `end`; what lies in between as bit masks over positions."""

    sum: Sum
    start: fx.Node
    end: fx.Node
    region: int
    shortcut: int
    factor: float | None


class _Finder:
    def __init__(self, recording: Recording, uses: Sequence[Contraction]) -> None:
        self.recording = recording
        self.flow = Flow(recording)
        self.uses = uses
        self.by_node = {use.node: use for use in uses}
        self.signals = self.flow.mask(recording.signals)

    def residual(self, sum_: Sum, found: Sequence[_Shape]) -> _Shape | None:
        """The residual sum that this one is, if it is one."""
        shapes = [shape for place in range(len(sum_.terms)) if (shape := self._with_shortcut(sum_, place))]
        counting = [shape for shape in shapes if self._counts(shape, found)]
        return min(counting, key=lambda shape: len(self.inside(shape.shortcut)), default=None)

    def is_part(self, inner: _Shape, outer: _Shape) -> bool:
        """Whether a sum is a part of one that has a simpler shortcut, or the same: x + f(x) of x + f(x) + g(x)."""
        if inner.sum.node not in outer.sum.nested:
            return False
        return inner.start is outer.start or len(self.inside(inner.shortcut)) > len(self.inside(outer.shortcut))

    def inside(self, mask: int) -> list[Contraction]:
        return [use for use in self.uses if self.flow.has(mask, use.node)]

    def _with_shortcut(self, sum_: Sum, place: int) -> _Shape | None:
        """The sum with this term as the shortcut, if the term can be one."""
        term, ancestors = sum_.terms[place], self.flow.ancestors
        if len(term.nodes) != 1:
            return None
        (end,) = term.nodes
        others = [node for number, each in enumerate(sum_.terms) if number != place for node in each.nodes]
        behind = 0
        for node in others:
            behind |= ancestors[node]
        common = ancestors[end] & behind & self.signals
        if not common:
            return None
        start = self.recording.nodes[common.bit_length() - 1]
        after = self.flow.descendants[start] & ~self.flow.bit(start)
        region = after & behind & self.signals
        for each in sum_.terms:
            region |= self.flow.mask(each.inside)
        chain = after & ancestors[end]
        factor = self._factor(chain)
        if factor is None or not region:
            return None
        factor *= term.factor
        return _Shape(sum_, start, end, region, chain, None if factor == 1.0 else factor)

    def _factor(self, chain: int) -> float | None:
        """The constant that a chain of operations multiplies by; None where it is no shortcut."""
        factor, contractions = 1.0, 0
        if chain.bit_count() > MOST_OF_A_SHORTCUT:
            return None
        for node in self.flow.nodes(chain):
            signals = [each for each in node.all_input_nodes if each in self.recording.signals]
            if len(signals) != 1 or operation(node) in LOOK_UPS:
                return None
            if node in self.by_node:
                contractions += 1
            elif operation(node) in ("mul", "div"):
                factor *= self.flow.factor(node, signals[0]) or 1.0
            elif not (moves(node) or pools(node) or is_norm(node) or operation(node) in SHIFTS):
                return None
        return factor if contractions <= 1 else None

    def _counts(self, shape: _Shape, found: Sequence[_Shape]) -> bool:
        inside, own = self.inside(shape.region), self.inside(shape.shortcut)
        if not inside or not self._is_stream(shape) or self._is_apart(shape) or self._is_gate(shape):
            return False
        if not own:
            return True
        names = {name for use in inside for name in use.parameters}
        is_deep = len(inside) > 1 or not self._is_linear(shape)
        is_inner = not any(self.flow.has(shape.region, each.sum.node) for each in found)
        return is_deep and is_inner and names.isdisjoint(own[0].parameters)

    def _is_stream(self, shape: _Shape) -> bool:
        """Whether the shortcut is as large as the sum, and made by a layer or given: no table of positions."""
        if math.prod(shape_of(shape.end)) != math.prod(shape_of(shape.sum.node)):
            return False
        source = shape.start
        while source not in self.recording.inputs and (moves(source) or is_norm(source)):
            source = next(each for each in source.all_input_nodes if each in self.recording.signals)
        behind = self.flow.ancestors[source]
        return source in self.recording.inputs or any(self.flow.has(behind, use.node) for use in self.uses)

    def members(self, shape: _Shape) -> list[Contraction]:
        """The contractions of a branch: those that its start leads through, and those that feed it alone.

        The keys and values of cross attention come from elsewhere, as what conditions a block does; the last
        contraction on their way counts if nothing but this branch uses what it makes.
        """
        elsewhere = self.signals & ~(self.flow.ancestors[shape.start] | shape.region | shape.shortcut)
        ends = [each for node in self.flow.nodes(shape.region) for each in node.all_input_nodes]
        sources = self.flow.last_before(ends, self.by_node, elsewhere, is_strict=False)
        feeding = [self.by_node[node] for node in sources if self._feeds_only(self.by_node[node], shape)]
        return sorted([*self.inside(shape.region), *feeding], key=lambda use: self.recording.index[use.node])

    def _feeds_only(self, use: Contraction, shape: _Shape) -> bool:
        behind = self.flow.ancestors[shape.sum.node]
        queue, seen = [use.node], {use.node}
        for node in queue:
            for user in node.users:
                if user.op == "output" or self.flow.has(shape.region, user) or user in seen:
                    continue
                if not self.flow.has(behind, user):
                    return False
                seen.add(user)
                queue.append(user)
        return not use.is_look_up

    def _is_linear(self, shape: _Shape) -> bool:
        reach = shape.region | self.flow.bit(shape.start)
        return all(
            is_linear(node, sum(self.flow.has(reach, each) for each in node.all_input_nodes))
            for node in self.flow.nodes(shape.region)
        )

    def _is_apart(self, shape: _Shape) -> bool:
        """Whether the shortcut selects something, and the branch nothing but other things, as another time step."""
        selecting = [node for node in self.flow.nodes(shape.shortcut) if _selects(node)]
        if not selecting:
            return False
        queue, seen = [shape.start], {shape.start}
        while queue:
            for user in queue.pop().users:
                if user in seen or not self.flow.has(shape.region, user) or _selects(user):
                    continue
                if user in self.by_node:
                    return False
                seen.add(user)
                queue.append(user)
        return True

    def _is_gate(self, shape: _Shape) -> bool:
        """Whether the branch subtracts the shortcut at its end: x + z (f(x) - x) is a gate between both."""
        subtracting = [user for user in shape.start.users if operation(user) == "sub" and len(user.args) > 1]
        tail = self.tail(shape, self.closing(shape))
        return any(user.args[1] is shape.start and self.flow.has(tail, user) for user in subtracting)

    def closing(self, shape: _Shape) -> list[Contraction]:
        """The contractions whose output reaches the sum without another one in between.

        Where some reach it by linear operations alone, those behind a nonlinearity (a gate) are left out.
        """
        ends = [node for term in shape.sum.terms for node in (term.inside or term.nodes)]
        reached = self.flow.last_before(ends, self.by_node, shape.region)
        return [self.by_node[node] for node in sorted(reached, key=self.recording.index.__getitem__)]

    def tail(self, shape: _Shape, closing: Sequence[Contraction]) -> int:
        """The nodes between the closing contractions and the sum."""
        after = 0
        for use in closing:
            after |= self.flow.descendants[use.node] & ~self.flow.bit(use.node)
        return after & shape.region


MOST_OF_A_SHORTCUT = 100
"""Operations; whatever is longer is none."""


def _selects(node: fx.Node) -> bool:
    name, source = operation(node), node.all_input_nodes[0]
    if name == "slice":
        return shape_of(node) != shape_of(source)
    return name in SELECTING or (name == "getitem" and operation(source) in SELECTING)


def _shared_out(
    finder: _Finder, found: Sequence[_Shape], norms: Mapping[fx.Node, Sequence[str]]
) -> Iterator[GraphBranch]:
    """The branches with the contractions and norms that are their own; those without a contraction are left out."""
    counted: set[str] = set()
    for shape in found:
        own = [use for use in finder.members(shape) if not counted.issuperset(use.parameters)]
        if not own:
            continue
        counted.update(name for use in own for name in use.parameters)
        closing = [use for use in finder.closing(shape) if use in own] or own[-1:]
        tail = finder.tail(shape, closing)
        inside = {
            name: finder.flow.has(tail, node)
            for node, names in norms.items()
            if finder.flow.has(shape.region, node)
            for name in names
            if name not in counted
        }
        counted.update(inside)
        yield GraphBranch(
            uses=tuple(own),
            closing=tuple(closing),
            norms=tuple(inside),
            closing_norms=tuple(name for name, is_last in inside.items() if is_last),
            start=shape.start,
            sum=shape.sum.node,
            shortcut=tuple(finder.inside(shape.shortcut)),
            shortcut_factor=shape.factor,
        )
