"""Which recorded operations come before and after which, as bit masks over their positions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property

from torch import Tensor, fx

from initsuite.models.describe.graph.contractions import OPERANDS, operation
from initsuite.models.describe.graph.operations import is_linear
from initsuite.models.describe.graph.recording import Recording

ATTENTION = "_scaled_dot_product"
"""How the names of fused attention operations begin."""
PRODUCTS = ("mm", "bmm", "matmul", "baddbmm", "addmm", "mv")


class Flow:
    """The ways from operation to operation of a recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    def bit(self, node: fx.Node) -> int:
        return 1 << self.recording.index[node]

    def has(self, mask: int, node: fx.Node) -> bool:
        return bool(mask >> self.recording.index[node] & 1)

    def mask(self, nodes: Iterable[fx.Node]) -> int:
        bits = bytearray(len(self.recording.nodes) // 8 + 1)
        for node in nodes:
            place = self.recording.index[node]
            bits[place // 8] |= 1 << place % 8
        return int.from_bytes(bits, "little")

    def nodes(self, mask: int) -> Iterator[fx.Node]:
        """The nodes of a mask, in order."""
        while mask:
            lowest = mask & -mask
            yield self.recording.nodes[lowest.bit_length() - 1]
            mask ^= lowest

    @cached_property
    def ancestors(self) -> Mapping[fx.Node, int]:
        """For each node what its values are computed from, itself included; not what gave it its shape alone."""
        masks: dict[fx.Node, int] = {}
        for node in self.recording.nodes:
            mask = self.bit(node)
            for source in node.all_input_nodes:
                mask |= masks[source] if self._hands_on(source, node) else 0
            masks[node] = mask
        return masks

    def _hands_on(self, source: fx.Node, user: fx.Node) -> bool:
        return source not in self.recording.signals or user in self.recording.signals

    @cached_property
    def descendants(self) -> Mapping[fx.Node, int]:
        """For each node what is computed from its values, itself included."""
        return self._onwards(lambda node: True)

    @cached_property
    def of_values(self) -> Mapping[fx.Node, int]:
        """The same without what goes through whole numbers or truth values, which carry no gradient."""
        return self._onwards(_is_real)

    def _onwards(self, carries: Callable[[fx.Node], bool]) -> dict[fx.Node, int]:
        masks: dict[fx.Node, int] = {}
        for node in reversed(self.recording.nodes):
            mask = self.bit(node)
            for user in node.users if carries(node) else ():
                mask |= masks[user] if self._hands_on(node, user) else 0
            masks[node] = mask
        return masks

    @cached_property
    def inner_products(self) -> list[fx.Node]:
        """The products of attention: fused ones, and those of two signals whose result feeds another one."""
        signals = self.recording.signals
        fused = [node for node in self.recording.nodes if operation(node).startswith(ATTENTION)]
        products = [node for node in self.recording.nodes if is_product(node, signals)]
        places = self.mask(products)
        chained = [node for node in products if self.of_values[node] & places & ~self.bit(node)]
        seconds = [
            node
            for node in products
            if any(self.has(self.of_values[first], node) for first in chained if first is not node)
        ]
        return fused + list(dict.fromkeys(chained + seconds))

    def last_before(
        self, ends: Iterable[fx.Node], stops: Collection[fx.Node], within: int, *, is_strict: bool = True
    ) -> list[fx.Node]:
        """Those of `stops` whose results reach `ends` with no other of them in between, along the nodes of a mask.

        If `is_strict`, where some reach the ends by linear operations alone, those behind a nonlinearity (a gate, the
        weights of an average) are left out.
        """
        plain: dict[fx.Node, bool] = {}
        queue = [(node, True) for node in ends if self.has(within, node)]
        while queue:
            node, is_plain = queue.pop()
            if plain.get(node, False) or (node in plain and not is_plain):
                continue
            plain[node] = is_plain
            if node not in stops:
                stays = is_plain and (is_linear(node, 1) or operation(node) == "glu")
                queue += [(each, stays) for each in node.all_input_nodes if self.has(within, each)]
        reached = [node for node in plain if node in stops]
        return ([node for node in reached if plain[node]] if is_strict else []) or reached

    def factor(self, node: fx.Node, signal: fx.Node) -> float | None:
        """The number that a product or quotient multiplies its signal by; None if it is no single number."""
        others = [each for each in node.args if each is not signal]
        if operation(node) not in ("mul", "div") or len(others) != 1:
            return None
        number = self.recording.number(others[0])
        if number is None or operation(node) == "mul":
            return number
        return 1 / number if number and node.args[0] is signal else None


def is_product(node: fx.Node, signals: frozenset[fx.Node]) -> bool:
    """Whether an operation is a matrix product of two signals."""
    if operation(node) not in PRODUCTS:
        return False
    first, second = (node.args[place] for place in OPERANDS[operation(node)])
    return first in signals and second in signals


def _is_real(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return not isinstance(value, Tensor) or value.is_floating_point() or value.is_complex()
