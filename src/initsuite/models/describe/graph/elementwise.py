"""What follows a layer: the function of each entry that a forward pass applies before the next product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from initsuite.models.describe.graph.chains import Expressions
from initsuite.models.describe.graph.combining import Combiner, State
from initsuite.models.describe.graph.contractions import Contraction
from initsuite.models.describe.graph.naming import named
from initsuite.models.describe.graph.recording import Recording
from initsuite.models.describe.graph.replaying import Constants
from initsuite.models.describe.graph.walking import Surroundings, Walk
from initsuite.spec import Activation


@dataclass(frozen=True)
class Following:
    """What follows.

    Attributes:
        activation: the nonlinearity; None where nothing follows but what is linear.
        doubt: why that is not known, or what was assumed; empty where all is well.
    """

    activation: Activation | None
    doubt: str = ""


class Follower:
    """Reads what follows the layers of one recorded forward pass; it keeps what several layers have in common.

    The output of a layer, or one part of it, is taken as z ~ N(0, 1), and followed through the graph up to the next
    products, of a weight with a signal or of two signals (attention); those that a model's outputs are made of without
    one do not count. Of several products, in order, the first one counts whose operand is no linear function of z.

    On the way, moving and pooling entries leaves the function as it is; pointwise operations on z and constants are
    composed; norms, by one operation or spelled out, leave z as it is, and statistics take the value that they have
    over many z. What other signals do cannot be a function of z, so that they are counted out:

    - A sum with another signal is taken for z again, if z has only been scaled; behind a nonlinearity f, what follows
      is f, whatever is made of the sum. If the other signal is computed from this z by another layer, z is a shortcut
      here, and that layer's product is the one that follows.
    - The other factor of a product, and the divisor of a quotient, counts as an independent signal of mean square 1:
      the gate of a gated linear unit is followed by its nonlinearity, the value by nothing.
    - Parameters as addends count as 0. As factors, constants count with their value if all entries have the same one,
      otherwise as 1, and so do parameters before a nonlinearity. Behind one a parameter counts as 1, and so does a
      constant that weighs what is added to another signal, as a residual branch.

    Args:
        recording: the forward pass.
        uses: the products with weights.
        values: the value of a parameter by name; None where it has none.
    """

    def __init__(
        self, recording: Recording, uses: Sequence[Contraction], values: Callable[[str], Tensor | None]
    ) -> None:
        self._expressions = Expressions()
        self._surroundings = Surroundings(recording, frozenset(use.node for use in uses), Constants(recording, values))

    def after(self, start: fx.Node) -> Following:
        """What follows a node: the output of a product, or one part of it."""
        found = self._first(start, zero_is_one=False)
        if found and not found.doubt and self._expressions.is_constant(found.expression):
            found = self._first(start, zero_is_one=True)  # behind a branch that a parameter switches off
        if found is None or (not found.doubt and self._expressions.is_line(found.expression)):
            return Following(None)
        if found.doubt:
            return Following(None, found.doubt)
        if not torch.isfinite(self._expressions.values(found.expression)[100:300]).all():
            return Following(None, "a function that is not finite everywhere")
        return Following(named(self._expressions.chain(found.expression)), found.remark)

    def _first(self, start: fx.Node, *, zero_is_one: bool) -> State | None:
        """The first operand of a product that is no line, or else one that does not depend on z; None for lines."""
        walk, constant = Walk(self._surroundings, start, Combiner(self._expressions, zero_is_one=zero_is_one)), None
        for state in walk.operands():
            if state.doubt or not self._expressions.is_line(state.expression):
                return state
            if self._expressions.is_constant(state.expression):
                constant = constant or state
        return constant
