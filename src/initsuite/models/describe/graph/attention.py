"""The parts of transformers in a recorded forward pass: attention, two-layer networks, low-rank adapters."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from initsuite.models.describe.graph.branches import GraphBranch
from initsuite.models.describe.graph.contractions import OPERANDS, Contraction, contractions, operation, shape_of
from initsuite.models.describe.graph.flow import ATTENTION, Flow, is_product
from initsuite.models.describe.graph.operations import is_linear, moves, pools
from initsuite.models.describe.graph.recording import Recording
from initsuite.models.describe.graph.sums import sums

OPERAND_PARTS = ("query", "key", "value")
SOFTMAX = ("_softmax", "softmax", "_safe_softmax")


@dataclass(frozen=True)
class Attention:
    """One softmax attention.

    Attributes:
        operands: what holds the queries, the keys and the values.
        head_width: features of a query.
        nodes: the operations from the product of the queries and keys to the result.
    """

    operands: tuple[fx.Node, fx.Node, fx.Node]
    nodes: tuple[fx.Node, ...]
    head_width: int

    @property
    def result(self) -> fx.Node:
        return self.nodes[-1]

    @property
    def softmax(self) -> fx.Node:
        """What holds the attention weights: the softmax, or the one operation that does everything."""
        return self.nodes[len(self.nodes) // 2]


@dataclass
class Parts:
    """What a contraction is for.

    Attributes:
        names: `query`, `key`, `value`, `attention_out`, `mlp`, `lora_a`, `lora_b`.
        pieces: if it makes more than one operand of attention, what each of them comes through alone: the piece of
            the output, or where there is none the operand itself.
        head_width: of what makes queries, how many features each head has.
    """

    names: list[str] = field(default_factory=list)
    pieces: dict[str, fx.Node] = field(default_factory=dict)
    head_width: int = 0

    def add(self, name: str) -> None:
        if name not in self.names:
            self.names.append(name)


def parts(
    recording: Recording,
    uses: Sequence[Contraction],
    branches: Sequence[GraphBranch],
    adapters: Sequence[tuple[Contraction, Contraction]] = (),
) -> dict[fx.Node, Parts]:
    """What the contractions of a model with attention are for, by their operations.

    `query`, `key` and `value` are the last contractions before the operands of softmax attention, fused or written
    out, whatever moves, turns (rotary positions), normalises or repeats their output; `attention_out` is the first one
    after it, if nothing nonlinear and no residual sum is in between. `mlp` are linear layers and 1x1 convolutions of
    a residual branch without attention, and in a branch with it, as where both are side by side, those that neither
    attention nor its output is computed from.

    Args:
        recording: the forward pass.
        uses: its contractions.
        branches: its residual branches.
        adapters: what `adapters` found.
    """
    finder = _Finder(recording, [use for use in uses if use not in {each for pair in adapters for each in pair}])
    borders = {node for branch in branches for node in (branch.start, branch.sum)}
    found: dict[fx.Node, Parts] = {}
    attentions = list(finder.attentions())
    for attention in attentions:
        finder.add_operands(attention, borders, found)
        for use in finder.ahead(attention.result, borders, branches):
            found.setdefault(use.node, Parts()).add("attention_out")
    for branch in branches if attentions else ():
        for use in finder.mlp(branch, attentions, found):
            found.setdefault(use.node, Parts()).add("mlp")
    for first, second in adapters:
        found[first.node], found[second.node] = Parts(["lora_a"]), Parts(["lora_b"])
    return found


def attentions_of(recording: Recording) -> list[Attention]:
    """Every softmax attention of a model, in order."""
    return list(_Finder(recording, contractions(recording)).attentions())


class _Finder:
    def __init__(self, recording: Recording, uses: Sequence[Contraction]) -> None:
        self.recording = recording
        self.flow = Flow(recording)
        self.by_node = {use.node: use for use in uses}
        self.signals = self.flow.mask(recording.signals)
        self.products = [node for node in recording.nodes if is_product(node, recording.signals)]

    def attentions(self) -> Iterable[Attention]:
        """Every softmax attention, in order."""
        for node in self.recording.nodes:
            if operation(node).startswith(ATTENTION):
                query, key, value = node.args[:3]
                yield Attention((query, key, value), (node,), shape_of(query)[-1])  # type: ignore[arg-type]
            elif operation(node) in SOFTMAX and node in self.recording.signals:
                found = self._by_hand(node)
                if found:
                    yield found

    def _by_hand(self, softmax: fx.Node) -> Attention | None:
        """The attention around a softmax: products of two signals before and after it."""
        signals = self.recording.signals
        before = next((each for each in self._behind(softmax) if is_product(each, signals)), None)
        after = self._after(softmax)
        if before is None or after is None:
            return None
        first, second = (before.args[place] for place in OPERANDS[operation(before)])
        query, key = (first, second) if self._runs_over_columns(before, softmax) else (second, first)
        result, value = after
        features = shape_of(first)[-1]  # type: ignore[arg-type]  # what the product sums over
        return Attention((query, key, value), (before, softmax, result), features)  # type: ignore[arg-type]

    def _runs_over_columns(self, product: fx.Node, softmax: fx.Node) -> bool:
        """Whether a softmax normalises over the columns of a product, which belong to its second operand."""
        shape = shape_of(product)
        is_odd = (torch.arange(shape[-1]) % 2 == 1).expand(shape)
        held = {product: is_odd}  # whether an entry is from an odd column, followed through what moves it
        try:
            for node in self.flow.nodes(self.flow.descendants[product] & self.flow.ancestors[softmax]):
                _follow(node, held)
        except Exception:  # an operation that takes no truth values: columns, as everybody writes it
            return True
        axis = int(softmax.args[1])  # type: ignore[arg-type, call-overload]
        return bool((held[softmax] != held[softmax].roll(1, axis)).any()) or shape[-1] == 1

    def _behind(self, node: fx.Node) -> Iterable[fx.Node]:
        """What a node is computed from without a contraction in between, the latest first."""
        waiting = {each for each in node.all_input_nodes if each in self.recording.signals}
        while waiting:
            latest = max(waiting, key=self.recording.index.__getitem__)
            waiting.remove(latest)
            yield latest
            if latest not in self.by_node and operation(latest) not in SOFTMAX:
                waiting |= {each for each in latest.all_input_nodes if each in self.recording.signals}

    def _after(self, softmax: fx.Node) -> tuple[fx.Node, fx.Node] | None:
        """The first product of the probabilities with another signal, and that signal."""
        queue, seen = [softmax], {softmax}
        for node in queue:
            for user in node.users:
                if is_product(user, self.recording.signals):
                    others = [user.args[place] for place in OPERANDS[operation(user)] if user.args[place] is not node]
                    return (user, others[0]) if others else None  # type: ignore[return-value]
                if user not in seen and user not in self.by_node and is_linear(user, 1):
                    seen.add(user)
                    queue.append(user)
        return None

    def add_operands(self, attention: Attention, borders: Collection[fx.Node], found: dict[fx.Node, Parts]) -> None:
        """Name the contractions that make the operands."""
        ancestors = self.flow.ancestors
        makers = [self._makers(operand, borders) for operand in attention.operands]
        for place, name in enumerate(OPERAND_PARTS):
            for use in makers[place]:
                found.setdefault(use.node, Parts()).add(name)
        for use in makers[0]:
            found[use.node].head_width = attention.head_width
        for use in {each.node for each in makers[0] + makers[1] + makers[2]}:
            sharing = [place for place in range(3) if any(each.node is use for each in makers[place])]
            for place in sharing if len(sharing) > 1 else ():
                alone = self.flow.descendants[use] & ancestors[attention.operands[place]]
                for other in sharing:
                    alone &= ~ancestors[attention.operands[other]] if other != place else alone
                piece = next(self.flow.nodes(alone), attention.operands[place])
                found[use].pieces.setdefault(OPERAND_PARTS[place], piece)

    def _makers(self, operand: fx.Node, borders: Collection[fx.Node]) -> list[Contraction]:
        """The last contractions with weights before an operand, not looking beyond the start of a branch."""
        stops = {*self.by_node, *borders, *self.products}
        reached = self.flow.last_before([operand], stops, self.signals, is_strict=False)
        makers = [self.by_node[node] for node in reached if node in self.by_node and node not in borders]
        return [use for use in makers if not use.is_look_up]

    def ahead(
        self, result: fx.Node, borders: Collection[fx.Node], branches: Iterable[GraphBranch]
    ) -> list[Contraction]:
        """The first contractions after attention, with no residual sum in between.

        Outside of a residual branch there may be nothing nonlinear and no pooling in between either.
        """
        is_bounded = any(self.flow.has(self._region(branch), result) for branch in branches)
        queue, seen, found = [result], {result}, []
        for node in queue:
            for user in node.users:
                if user in seen or user in borders:
                    continue
                seen.add(user)
                if user in self.by_node:
                    found.append(self.by_node[user])
                elif is_bounded or (is_linear(user, 1) and not pools(user)):
                    queue += [] if is_product(user, self.recording.signals) else [user]
        return found

    def _region(self, branch: GraphBranch) -> int:
        return self.flow.descendants[branch.start] & self.flow.ancestors[branch.sum]

    def mlp(
        self, branch: GraphBranch, attentions: Sequence[Attention], found: Mapping[fx.Node, Parts]
    ) -> list[Contraction]:
        """The linear layers of a branch that have no part in attention."""
        between = self._region(branch)
        results = [attention.result for attention in attentions if self.flow.has(between, attention.result)]
        outputs = [
            node for node, each in found.items() if "attention_out" in each.names and self.flow.has(between, node)
        ]
        apart = 0
        for node in (*results, *outputs):
            apart |= self.flow.ancestors[node] | self.flow.descendants[node]
        is_other = not results and any(is_product(node, self.recording.signals) for node in self.flow.nodes(between))
        if is_other or any(_is_spatial(use) for use in branch.uses):
            return []
        return [use for use in branch.uses if not self.flow.has(apart, use.node) and _taps(use) == 1]


def adapters(recording: Recording, uses: Sequence[Contraction]) -> list[tuple[Contraction, Contraction]]:
    """Low-rank adapters, W x + c B A x: the contractions A and B of each.

    A and B follow each other without a nonlinearity, what comes out of A is narrower than what goes into it, and their
    result is added to that of a contraction with the same input.
    """
    by_node = {use.node: use for use in uses}
    found: list[tuple[Contraction, Contraction]] = []
    for each in sums(recording):
        ends = [_plainly_behind(recording, term.nodes[0], by_node) for term in each.terms if len(term.nodes) == 1]
        for second in (end for end in ends if end in by_node):
            first = _plainly_behind(recording, by_node[second].signal, by_node)
            if first not in by_node or not _is_narrow(by_node[first]):
                continue
            source = _plainly_behind(recording, by_node[first].signal, {})
            others = [by_node[end] for end in ends if end in by_node and end is not second]
            if any(_plainly_behind(recording, other.signal, {}) is source for other in others):
                found.append((by_node[first], by_node[second]))
    return list(dict.fromkeys(found))


def _plainly_behind(recording: Recording, node: fx.Node, ends: Mapping[fx.Node, Contraction]) -> fx.Node:
    """The node whose result this one moves, scales by what is no signal, or shifts; one of `ends` at the latest."""
    while node not in ends and (moves(node) or operation(node) in ("mul", "div", "add")):
        signals = [each for each in node.all_input_nodes if each in recording.signals]
        if len(signals) != 1:
            break
        (node,) = signals
    return node


def _is_narrow(first: Contraction) -> bool:
    """Whether the rank of a product of two weights is below its input size."""
    inputs = shape_of(first.weight)[0] if first.is_look_up else _width(first, first.signal)
    return _width(first, first.node) < inputs


def _width(use: Contraction, node: fx.Node) -> int:
    """The channels of what goes into a contraction or comes out of it."""
    return shape_of(node)[1 if "convolution" in operation(use.node) else -1]


def _taps(use: Contraction) -> int:
    return math.prod(shape_of(use.weight)[2:]) if "convolution" in operation(use.node) else 1


def _is_spatial(use: Contraction) -> bool:
    """Whether a convolution mixes channels over a neighbourhood."""
    return _taps(use) > 1 and shape_of(use.weight)[1] > 1


def _follow(node: fx.Node, held: dict[fx.Node, Tensor]) -> None:
    """Move what is held about the entries of a node's operands as the node moves these."""
    source = next((each for each in node.all_input_nodes if each in held), None)
    if source is None:
        return
    if moves(node):
        known = {each: held[each] if each in held else _nothing(each) for each in node.all_input_nodes}
        args, kwargs = map_arg((node.args, node.kwargs), known.__getitem__)
        held[node] = node.target(*args, **kwargs)  # type: ignore[operator]
    else:
        held[node] = held[source].expand(shape_of(node))


def _nothing(node: fx.Node) -> Tensor:
    return torch.zeros(shape_of(node), dtype=torch.bool)
