"""The way from one node of a recorded forward pass to the products that it goes into."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx

from initsuite.models.describe.graph.combining import Combiner, Other, State, statistic
from initsuite.models.describe.graph.contractions import LOOK_UPS, OPERANDS, operation, shape_of
from initsuite.models.describe.graph.kinds import (
    ENDS,
    OPTIONS_ON_TENSORS,
    PARTS,
    SCATTERING,
    is_attention,
    is_move,
    is_norm,
    is_pointwise,
    is_pooling,
)
from initsuite.models.describe.graph.recording import Recording
from initsuite.models.describe.graph.replaying import SHAPE_ALONE, Constants

DEFAULT_SLOPE = 0.25
"""Where torch.nn.PReLU starts."""


@dataclass(frozen=True)
class Surroundings:
    """What all walks through a forward pass have in common.

    Attributes:
        recording: the forward pass.
        uses: the products with weights.
        constants: values of what is no signal.
    """

    recording: Recording
    uses: frozenset[fx.Node]
    constants: Constants

    @cached_property
    def mask(self) -> int:
        """The positions of the products, as a bit mask."""
        return sum(1 << self.recording.index[node] for node in self.uses)

    @cached_property
    def behind(self) -> Mapping[fx.Node, int]:
        """For each node, as a bit mask, what its values are computed from, shapes not counted."""
        masks: dict[fx.Node, int] = {}
        for place, node in enumerate(self.recording.nodes):
            mask = 1 << place
            if operation(node) not in SHAPE_ALONE:
                for source in node.all_input_nodes:
                    mask |= masks[source]
            masks[node] = mask
        return masks


class Walk:
    """The way from one node to the products that it goes into."""

    def __init__(self, surroundings: Surroundings, start: fx.Node, combiner: Combiner) -> None:
        self._surroundings, self._start, self._combiner = surroundings, start, combiner
        self._recording, self._expressions = surroundings.recording, combiner.expressions
        self._states: dict[fx.Node, State | None] = {start: State(shape=shape_of(start))}

    def operands(self) -> Iterator[State]:
        """What goes into each product, in order."""
        index, seen = self._recording.index, set[int]()
        waiting: list[int] = []

        def push(node: fx.Node) -> None:
            for user in node.users:
                if index[user] not in seen:
                    seen.add(index[user])
                    heapq.heappush(waiting, index[user])

        push(self._start)
        while waiting:
            node = self._recording.nodes[heapq.heappop(waiting)]
            if node.op == "output" or operation(node) in SHAPE_ALONE:
                continue
            operand = self._operand(node)
            if operand is not None:
                yield operand
                continue
            state = self._through(node)
            if state is not None:
                self._states[node] = state
                push(node)

    def _own(self, node: fx.Node) -> list[State]:
        states = (self._states.get(each) for each in node.all_input_nodes)
        return [each for each in states if each is not None]

    def _operand(self, node: fx.Node) -> State | None:
        """What goes into a product; None for other operations, for products with a fixed matrix, and for addends."""
        name = operation(node)
        if is_attention(name):
            return self._combiner.main(self._own(node))
        factors = self._factors(node)
        if node in self._surroundings.uses and not factors:
            return self._combiner.main(self._own(node))
        own = [state for each in factors if (state := self._states.get(each)) is not None]
        if not own:
            return None
        if node in self._surroundings.uses or len(own) == len(factors):
            return self._combiner.main(own)
        other = next(each for each in factors if self._states.get(each) is None)
        is_made_by_weights = self._surroundings.behind[other] & self._surroundings.mask or self._recording.sources.get(
            other
        )
        return self._combiner.main(own) if is_made_by_weights else None

    @staticmethod
    def _factors(node: fx.Node) -> list[fx.Node]:
        places = OPERANDS.get(operation(node), ())
        chosen = (node.args[place] for place in places if place < len(node.args))
        return [each for each in chosen if isinstance(each, fx.Node)]

    def _through(self, node: fx.Node) -> State | None:
        """The state of what an operation returns; None where the walk ends."""
        name, own = operation(node), self._own(node)
        if name == "getitem":
            return self._item(node)
        if "softmax" in name:
            return self._combiner.before_softmax(replace(self._combiner.main(own), shape=shape_of(node)))
        if name in ENDS or not own:
            return None
        if name in OPERANDS:
            return self._product(node, own)
        if name in ("max", "min") and len(node.args) > 1 and isinstance(node.args[1], fx.Node):
            name += "imum"
        elif name in REWRITTEN:
            return REWRITTEN[name](self, node)
        elif is_move(node, name) or is_norm(name) or is_pooling(name):
            return self._passed(node, name, own)
        if not is_pointwise(name):
            return replace(own[0], doubt=f"{name or node.target} is not known")
        keywords = {key: value for key, value in node.kwargs.items() if key not in OPTIONS_ON_TENSORS}
        arguments = [self._operand_of(each) for each in node.args]
        return self._combiner.combine(name, arguments, keywords, shape_of(node))

    def _operand_of(self, argument: object) -> object:
        if not isinstance(argument, fx.Node):
            return argument
        if (state := self._states.get(argument)) is not None:
            return state
        if argument in self._recording.signals:
            behind = self._surroundings.behind[argument]
            is_beyond = behind >> self._recording.index[self._start] & 1
            return Other("beyond" if is_beyond else "signal" if behind & self._surroundings.mask else "given")
        kind = "parameter" if self._recording.sources[argument] else "constant"
        return Other(kind, self._surroundings.constants.number(argument))

    def _product(self, node: fx.Node, own: Sequence[State]) -> State | None:
        """Through a product with a fixed matrix, or as what is added to a product."""
        factors = self._factors(node)
        if operation(node) in LOOK_UPS or any(self._states.get(each) is not None for each in factors):
            return replace(self._combiner.main(own), shape=shape_of(node), part=node.name, number=math.nan)
        others = [self._operand_of(each) for each in factors]
        other = next((each for each in others if each == Other("beyond")), Other("signal"))
        return self._combiner.combine("add", [own[0], other], {}, shape_of(node))

    def _passed(self, node: fx.Node, name: str, own: Sequence[State]) -> State | None:
        """Through an operation that is not pointwise."""
        state = replace(self._combiner.main(own), shape=shape_of(node))
        value = node.meta.get("val")
        if isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex()):
            return state if _is_condition(node) else None  # whole numbers are places, not values
        chosen = [each for each in node.all_input_nodes[1:] if self._states.get(each) and _is_condition(each)]
        if chosen and isinstance(value, Tensor):
            return replace(state, doubt=f"{name} of entries that are chosen by their values")
        if name in PARTS:
            return replace(state, part=(state.part, name, str(node.args[1:])))
        if is_norm(name) and not state.doubt:
            is_line = not state.is_fixed and self._expressions.is_line(state.expression)
            return replace(state, expression=0) if is_line else replace(state, is_fixed=True)
        is_base = name in SCATTERING and self._states.get(node.args[0]) is not None  # type: ignore[arg-type]
        if is_pooling(name) and not is_base:
            is_over_units = name in ("amax", "amin", "max", "min") and self._is_over_units(node)
            doubt = f"{name} over units of the layer" if is_over_units else ""
            number = self._statistic(node, name, state)
            return replace(state, level=state.level + 1, number=number, doubt=state.doubt or doubt)
        return state if len(own) == 1 else replace(state, part=node.name, number=math.nan)

    def _statistic(self, node: fx.Node, name: str, state: State) -> float:
        if "norm" in name and len(node.args) > 1 and node.args[1] not in (None, 2):
            return math.nan
        before, after = (math.prod(shape_of(each)) for each in (node.all_input_nodes[0], node))
        return statistic(name, self._expressions.values(state.expression), before / max(after, 1))

    def _is_over_units(self, node: fx.Node) -> bool:
        """Whether a reduction is over different units of the layer (max-out), not over places or time.

        Read from strides: in the output of a layer, its units are the last axis, of a convolution the second one.
        """
        source = node.all_input_nodes[0]
        dims = node.args[1] if len(node.args) > 1 else None
        axes, before = (dims if isinstance(dims, list | tuple) else [dims]), source.meta["val"]
        while source is not self._start:
            if not (getattr(source.target, "is_view", False) or is_pointwise(operation(source))):
                return False  # a copy, whose strides say nothing
            source = next((each for each in source.all_input_nodes if self._states.get(each)), self._start)
        start = self._start.meta["val"]
        unit = 1 if operation(self._start) == "convolution" and start.dim() > 1 else start.dim() - 1
        low, high = start.stride(unit), start.stride(unit) * start.shape[unit]
        return any(isinstance(axis, int) and low <= before.stride(axis) < high for axis in axes)

    def _item(self, node: fx.Node) -> State | None:
        """One of several tensors that an operation returns."""
        source, place = node.args
        assert isinstance(source, fx.Node)
        state, name = self._states.get(source), operation(source)
        if state is None:
            return None
        state = replace(state, shape=shape_of(node))
        if name in PARTS:
            return replace(state, part=(state.part, place))
        if name in ("var_mean", "std_mean"):
            which = "mean" if place else name.removesuffix("_mean")
            return replace(state, number=statistic(which, self._expressions.values(state.expression), 1))
        return state if place == 0 else None

    def _prelu(self, node: fx.Node) -> State | None:
        slope = node.args[1]
        assert isinstance(slope, fx.Node)
        value = self._surroundings.constants.value(slope)
        remark = "" if value is not None else f"the slope of PReLU has no value, and was taken as {DEFAULT_SLOPE}"
        # of several slopes, the one with their mean square
        number = DEFAULT_SLOPE if value is None else self._surroundings.constants.number(slope)
        if number is None and value is not None:
            number = float(value.double().square().mean().sqrt())
        found = self._one(node, "prelu", Other("constant", number))
        return found and replace(found, remark=found.remark or remark)

    def _rrelu(self, node: fx.Node) -> State | None:
        lower, upper = (*node.args, 1 / 8, 1 / 3)[2:4] if len(node.args) < 4 else node.args[2:4]
        return self._one(node, "leaky_relu", (lower + upper) / 2)  # type: ignore[operator]

    def _log_sigmoid(self, node: fx.Node) -> State | None:
        return self._one(node, "log_sigmoid")

    def _glu(self, node: fx.Node) -> State | None:
        found = self._one(node, "sigmoid")
        return found and replace(found, is_fixed=not found.doubt)

    def _index_put(self, node: fx.Node) -> State | None:
        """x[condition] = number; all else is a move."""
        places = node.args[1]
        conditions = [each for each in places if isinstance(each, fx.Node)] if isinstance(places, list | tuple) else []
        if len(conditions) == 1 and shape_of(conditions[0]) == shape_of(node) and len(node.args) == 3:
            arguments = [self._operand_of(each) for each in (conditions[0], node.args[2], node.args[0])]
            return self._combiner.combine("where", arguments, {}, shape_of(node))
        return self._passed(node, "index_put", self._own(node))

    def _one(self, node: fx.Node, name: str, *rest: Any) -> State | None:
        first = self._operand_of(node.args[0])
        if not isinstance(first, State):
            return replace(self._own(node)[0], doubt=f"{name} with another signal")
        return self._combiner.combine(name, [first, *rest], {}, shape_of(node))


def _is_condition(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.dtype == torch.bool


REWRITTEN: dict[str, Callable[[Walk, fx.Node], State | None]] = {
    "_prelu_kernel": Walk._prelu, "prelu": Walk._prelu, "rrelu_with_noise": Walk._rrelu,
    "log_sigmoid_forward": Walk._log_sigmoid, "glu": Walk._glu, "index_put": Walk._index_put,
}  # fmt: skip
"""Operations on z with a second tensor or several results."""
