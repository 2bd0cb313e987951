"""The layers of a recorded forward pass: where each one's inputs, outputs and nonlinearity are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import fx

from initsuite.models.describe.graph.contractions import LOOK_UPS, Contraction, contractions, operation
from initsuite.models.describe.graph.kinds import is_norm, is_pooling
from initsuite.models.describe.graph.operations import moves
from initsuite.models.describe.graph.recording import Recording
from initsuite.spec import ParamSpec, Role

CONVOLUTIONS = ("convolution", "_convolution")
OWNERS = (Role.WEIGHT, Role.RECURRENT, Role.EMBEDDING)
"""The tensors that make a layer."""
LOOKED_UP = " (looked up)"
"""Marks the table in a weight that is the head as well."""


@dataclass(frozen=True)
class Use:
    """One use of a layer.

    Attributes:
        node: the product with the weight, or the look-up.
        signal: what is multiplied, or looked up.
        output: the result with its bias: the pre-activation.
        entry: what the nonlinearity that follows is applied to, behind norms and sums; None where nothing follows.
        units: the axis of the units in `output`, and in `entry`.
        normalised: what a norm right behind makes of the output; the output itself where there is none.
    """

    node: fx.Node
    signal: fx.Node
    output: fx.Node
    entry: fx.Node | None
    units: int
    normalised: fx.Node


@dataclass(frozen=True)
class Layer:
    """A layer with a weight.

    Attributes:
        name: of the weight, without `.weight`; unique.
        spec: the facts about the weight.
        bias: the name of its bias; "" if it has none.
        uses: in order; several for a recurrent layer, or a tied weight.
        link: how the first use is reached: the name of the layer whose nonlinearity alone is in between, "" for the
            inputs of the model themselves; None where there is more in between.
        between: what else is in between, in words.
    """

    name: str
    spec: ParamSpec
    bias: str
    uses: tuple[Use, ...]
    link: str | None
    between: str

    @property
    def is_look_up(self) -> bool:
        return operation(self.uses[0].node) in LOOK_UPS

    @property
    def is_head(self) -> bool:
        return self.spec.is_head and not self.is_look_up

    @property
    def is_convolution(self) -> bool:
        return operation(self.uses[0].node) in CONVOLUTIONS


def layers_of(recording: Recording, specs: Sequence[ParamSpec]) -> list[Layer]:
    """The layers in the order of their first use."""
    by_name = {spec.name: spec for spec in specs}
    found: dict[tuple[str, str], list[Contraction]] = {}
    products = {name for use in contractions(recording) if not use.is_look_up for name in use.parameters}
    for use in contractions(recording):
        name = next((each for each in use.parameters if each in by_name and by_name[each].role in OWNERS), None)
        if name is not None:  # a table that is the head as well makes two layers
            shown = short(name) + (LOOKED_UP if use.is_look_up and name in products else "")
            found.setdefault((shown, name), []).append(use)
    order = sorted(found.items(), key=lambda item: recording.index[item[1][0].node])
    finder = _Finder(recording, by_name)
    uses = {shown: tuple(finder.use(each, by_name[name]) for each in given) for (shown, name), given in order}
    outputs = {use.output: shown for shown, each in uses.items() for use in each}
    layers = []
    for (shown, name), _ in order:
        first = uses[shown][0]
        link, between = finder.link(first, outputs)
        layers.append(Layer(shown, by_name[name], finder.biases.get(first.node, ""), uses[shown], link, between))
    return layers


def short(name: str) -> str:
    """The name of a layer.

    Example:
        >>> short("blocks.0.fc1.weight"), short("attention.in_proj_weight")
        ('blocks.0.fc1', 'attention.in_proj_weight')
    """
    return name.removesuffix(".weight") or name


class _Finder:
    def __init__(self, recording: Recording, specs: Mapping[str, ParamSpec]) -> None:
        self.recording, self.specs = recording, specs
        self.biases: dict[fx.Node, str] = {}

    def use(self, found: Contraction, spec: ParamSpec) -> Use:
        output = self._with_bias(found.node)
        entry = self._entry(output) if spec.nonlinearity is not None else None
        units = 1 if operation(found.node) in CONVOLUTIONS else -1
        return Use(found.node, found.signal, output, entry, units, self._normalised(output))

    def _role(self, node: object) -> Role | None:
        sources = self.recording.sources.get(node, ()) if isinstance(node, fx.Node) else ()  # type: ignore[call-overload]
        return self.specs[sources[0]].role if len(sources) == 1 and sources[0] in self.specs else None

    def _with_bias(self, node: fx.Node) -> fx.Node:
        """The product, or the sum with its bias where that is another operation."""
        for argument in node.args:
            if self._role(argument) is Role.BIAS:
                self.biases[node] = self.recording.sources[argument][0]  # type: ignore[index]
                return node
        each = node
        while len(each.users) == 1:
            (user,) = each.users
            others = [other for other in user.all_input_nodes if other is not each]
            if operation(user) == "add" and others and self._role(others[0]) is Role.BIAS:
                self.biases[node] = self.recording.sources[others[0]][0]
                return user
            if not moves(user) or others:
                break
            each = user
        return node

    def _normalised(self, node: fx.Node) -> fx.Node:
        each = node
        while len(each.users) == 1:
            (each,) = each.users
            if is_norm(operation(each)):
                return next((user for user in each.users if user.args[1:] == (0,)), each)
            if not moves(each):
                break
        return node

    def _entry(self, node: fx.Node) -> fx.Node | None:
        """The last node before a function of each entry begins, through norms, moves, pooling and sums."""
        while True:
            onwards = [user for user in node.users if user.op != "output" and self._is_transparent(user, node)]
            others = [user for user in node.users if user not in onwards and user.op != "output"]
            if others and not all(self._is_shortcut(user) for user in others):
                return node
            if not onwards:
                return node if others else None
            node = onwards[0]

    def _is_transparent(self, user: fx.Node, node: fx.Node) -> bool:
        name = operation(user)
        if name == "add":
            return True
        if name in ("mul", "div"):
            return any(self._role(each) is not None for each in user.all_input_nodes if each is not node)
        return moves(user) or name == "getitem" or is_norm(name) or is_pooling(name)

    def _is_shortcut(self, user: fx.Node) -> bool:
        return operation(user) == "add"

    def link(self, use: Use, outputs: Mapping[fx.Node, str]) -> tuple[str | None, str]:
        """The layer behind the signal of a use with nothing but its nonlinearity in between, and what else there is."""
        waiting, seen, reached = [use.signal], set[fx.Node](), set[str]()
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in outputs:
                reached.add(outputs[node])
                continue
            if node in self.recording.inputs:
                reached.add("")
                continue
            if what := _obstacle(node):
                return None, what
            signals = [each for each in node.all_input_nodes if each in self.recording.signals]
            if any(self.recording.sources.get(each) for each in node.all_input_nodes if each not in signals):
                return None, "parameters"
            waiting += signals
        if len(reached) != 1:
            return None, "several layers"
        return reached.pop(), ""


def _obstacle(node: fx.Node) -> str:
    """What theory does not follow, in words."""
    name = operation(node)
    if is_norm(name):
        return "a norm"
    if "attention" in name or "softmax" in name:
        return "attention"
    if is_pooling(name):
        return "pooling"
    if name in ("cat", "stack", "constant_pad_nd", "embedding"):
        return {"constant_pad_nd": "padding", "embedding": "an embedding"}.get(name, "a concatenation")
    if name in ("bmm", "mm", "matmul", "baddbmm"):
        return "a product of signals"
    return ""
