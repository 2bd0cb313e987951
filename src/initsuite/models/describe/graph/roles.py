"""What each parameter is for: the role of the operation that consumes it in a recorded forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import fx

from initsuite.models.describe.graph.branches import residual_branches
from initsuite.models.describe.graph.contractions import (
    LOOK_UPS,
    OPERANDS,
    Contraction,
    contractions,
    operation,
    shape_of,
)
from initsuite.models.describe.graph.matrices import evaluated
from initsuite.models.describe.graph.operations import copies, is_norm
from initsuite.models.describe.graph.recording import Recording
from initsuite.spec import Role

ADDED = {"addmm": 0, "baddbmm": 0, "addbmm": 0, "addmv": 0, "convolution": 2, "_convolution": 2, "linear": 2}
"""Which argument a contraction adds to its products."""
REDUCTIONS = ("mean", "sum", "var", "std", "var_mean", "std_mean", "linalg_vector_norm", "norm")
"""Operations that make a statistic of a tensor, which a norm by hand divides by."""
AFFINE = {"weight": Role.NORM_SCALE, "bias": Role.NORM_SHIFT}
"""The arguments of a norm operation by their names in its schema."""


@dataclass(frozen=True)
class Consumption:
    """Where a parameter meets the signal.

    Attributes:
        role: what it is for there.
        node: the operation.
        operand: the argument that is computed from the parameter.
        contraction: the contraction whose output a bias is added to.
        part: what an embedding is for, where that is known: `position`, `token`.
    """

    role: Role
    node: fx.Node
    operand: fx.Node
    contraction: Contraction | None = None
    part: str = ""


class Roles:
    """The roles of the parameters of a recorded forward pass."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.uses = contractions(recording)
        self._by_node = {use.node: use for use in self.uses}

    @cached_property
    def uses_of(self) -> Mapping[str, Sequence[Contraction]]:
        """The contractions that each parameter is a weight of, products before look-ups."""
        found: dict[str, list[Contraction]] = {}
        for use in sorted(self.uses, key=lambda use: use.is_look_up):
            for name in use.parameters:
                found.setdefault(name, []).append(use)
        return found

    @cached_property
    def batched(self) -> Mapping[fx.Node, fx.Node]:
        """The signals of contractions with several matrices at once, by the operation."""
        products = [use for use in self.uses if operation(use.node) in ("bmm", "baddbmm")]
        own = [use for use in products if use.weight.meta["val"].stride(0)]  # 0: one for all
        return {use.node: use.signal for use in own if not self._is_computed(use.weight)}

    def _is_computed(self, weight: fx.Node) -> bool:
        """Whether an operand is itself a product, as what a weight makes of a table of positions."""
        behind = self.recording.ancestors[weight]
        return any(
            behind >> self.recording.index[use] & 1 for use in self.recording.nodes if operation(use) in OPERANDS
        )

    @cached_property
    def residual_sums(self) -> frozenset[fx.Node]:
        """The sums of a residual branch and its shortcut."""
        return frozenset(branch.sum for branch in residual_branches(self.recording, self.uses))

    def consumptions(self, name: str) -> tuple[list[Consumption], str]:
        """What a parameter that is no weight is used for, and the first use that has no known role."""
        start = self.recording.placeholder(name)
        found, unknown = [], ""
        for node, operand in self._meetings(start):
            use = self._consumed(node, operand)
            if use is None:
                unknown = unknown or operation(node) or node.op
            else:
                found.append(use)
        return found, unknown

    def is_used(self, name: str) -> bool:
        """Whether the output depends on a parameter."""
        start = self.recording.placeholder(name)
        return bool(self.recording.ancestors[self.recording.nodes[-1]] >> self.recording.index[start] & 1)

    def _meetings(self, start: fx.Node) -> Iterator[tuple[fx.Node, fx.Node]]:
        """The operations on signals that get something computed from this parameter alone, and that argument."""
        queue, seen = [start], {start}
        while queue:
            node = queue.pop(0)
            for user in node.users:
                if user in self.recording.signals or user.op == "output" or operation(user) in LOOK_UPS:
                    yield user, node
                elif user not in seen and not self._is_of_zeros(user):
                    seen.add(user)
                    queue.append(user)

    def _is_of_zeros(self, node: fx.Node) -> bool:
        """Whether an operation is a product with zeros: the first step of a recurrence, which says nothing."""
        places = OPERANDS.get(operation(node))
        operand = node.args[places[0]] if places else None
        value = self.recording.value(operand) if isinstance(operand, fx.Node) else None
        return value is not None and not bool(value.any())

    def _consumed(self, node: fx.Node, operand: fx.Node) -> Consumption | None:
        name = operation(node)
        if not self.recording.tokens.isdisjoint((node, operand)):
            return Consumption(Role.EMBEDDING, node, operand, part="token")
        if name in ADDED and len(node.args) > ADDED[name] and node.args[ADDED[name]] is operand:
            use = self._by_node.get(node)
            return Consumption(Role.BIAS, node, operand, use) if use else None
        if is_norm(node):
            role = AFFINE.get(_argument(node, operand))
            return Consumption(role, node, operand) if role else None
        if name in ("add", "sub", "rsub"):
            return self._added(node, operand)
        if name in ("mul", "div"):
            return self._multiplied(node, operand)
        if name in ("cat", "stack"):
            return Consumption(Role.EMBEDDING, node, operand, part="token")
        return None

    def _added(self, node: fx.Node, operand: fx.Node) -> Consumption | None:
        signal = next((each for each in node.all_input_nodes if each is not operand), None)
        if signal is None:
            return None
        if self._is_normalised(self._unscaled(signal)):
            return Consumption(Role.NORM_SHIFT, node, operand)
        if sum(length > 1 for length in shape_of(operand)) > 1:
            if self._is_product_of_signals(signal):
                return None
            return Consumption(Role.EMBEDDING, node, operand, part="position")
        use = self._contraction_behind(signal)
        return Consumption(Role.BIAS, node, operand, use) if use else None

    def _multiplied(self, node: fx.Node, operand: fx.Node) -> Consumption | None:
        signal = next((each for each in node.all_input_nodes if each is not operand), None)
        if signal is None or sum(length > 1 for length in shape_of(operand)) > 1:
            return None
        if self._is_normalised(signal):
            return Consumption(Role.NORM_SCALE, node, operand)
        return Consumption(Role.MULTIPLIER, node, operand)

    def _unscaled(self, node: fx.Node) -> fx.Node:
        """The signal before a parameter multiplied it."""
        while operation(node) == "mul" or copies(node):
            signals = [each for each in node.all_input_nodes if each in self.recording.signals]
            if len(signals) != 1:
                break
            (node,) = signals
        return node

    def _is_normalised(self, node: fx.Node) -> bool:
        """Whether a signal has just been divided by a statistic of itself, by an operation or by hand."""
        while copies(node) or operation(node) == "getitem":
            signals = [each for each in node.all_input_nodes if each in self.recording.signals]
            if not signals:
                return False
            node = signals[0]
        if is_norm(node):
            return True
        if operation(node) not in ("mul", "div") or len(node.all_input_nodes) != 2:
            return False
        sides = [self._behind(each) for each in node.all_input_nodes]
        return any(
            any(operation(each) in REDUCTIONS and not sides[1 - place].isdisjoint(self._behind(each)) for each in side)
            for place, side in enumerate(sides)
        )

    def _behind(self, node: fx.Node) -> set[fx.Node]:
        """The signals that a node is computed from without a contraction in between, itself included."""
        found, queue = {node}, [node]
        while queue:
            each = queue.pop()
            if operation(each) in OPERANDS or is_norm(each):
                continue
            for source in each.all_input_nodes:
                if source in self.recording.signals and source not in found:
                    found.add(source)
                    queue.append(source)
        return found

    def _contraction_behind(self, node: fx.Node) -> Contraction | None:
        """The last contraction with weights that a signal comes from without another one in between."""
        behind = [self._by_node[each] for each in self._behind(node) if each in self._by_node]
        products = [use for use in behind if not use.is_look_up]
        return max(products, key=lambda use: self.recording.index[use.node], default=None)

    def _is_product_of_signals(self, node: fx.Node) -> bool:
        """Whether a signal comes from attention's products of queries and keys, moved and scaled at most."""
        while node not in self._by_node:
            if operation(node) in ("bmm", "mm", "matmul", "baddbmm"):
                return True
            signals = [each for each in node.all_input_nodes if each in self.recording.signals]
            if len(signals) != 1 or not (copies(node) or operation(node) in ("mul", "div", "add")):
                return False
            (node,) = signals
        return False

    def affine(self, name: str, operand: fx.Node) -> tuple[float, float] | None:
        """(factor, offset) where an operand is factor x parameter + offset in every entry; None where it is not."""
        start = self.recording.placeholder(name)
        shape = shape_of(start)
        values = [evaluated(self.recording, operand, {start: torch.full(shape, value)}) for value in (0.0, 1.0, 3.0)]
        if any(value is None or value.numel() == 0 for value in values):
            return None
        at_zero, at_one, at_three = (value.double() for value in values)  # type: ignore[union-attr]
        factor, offset = float((at_one - at_zero).flatten()[0]), float(at_zero.flatten()[0])
        is_affine = all(
            torch.allclose(got, torch.full_like(got, factor * value + offset), atol=1e-6)
            for value, got in ((0.0, at_zero), (1.0, at_one), (3.0, at_three))
        )
        return (factor, offset) if is_affine and factor else None


def _argument(node: fx.Node, operand: fx.Node) -> str:
    """The name of the argument of an operation that this operand is."""
    schema = node.target._schema.arguments if isinstance(node.target, torch._ops.OpOverload) else ()
    named = {argument.name: value for argument, value in zip(schema, node.args, strict=False)} | dict(node.kwargs)
    return next((name for name, value in named.items() if value is operand), "")
