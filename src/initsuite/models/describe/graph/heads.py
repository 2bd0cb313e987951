"""The layers that make a model's outputs, read from a recorded forward pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from initsuite.models.describe.graph.contractions import Contraction, operation
from initsuite.models.describe.graph.flow import Flow
from initsuite.models.describe.graph.recording import Recording


def heads(recording: Recording, uses: Sequence[Contraction], inside: Collection[Contraction]) -> list[Contraction]:
    """The contractions that make the model's outputs, in order.

    The output of a head is part of the model's and feeds no other contraction with weights, no product of attention,
    and neither does any other use of its weights: a recurrent layer and a layer that is used over and over are no
    heads. What goes through whole numbers (a token that was chosen and is looked up) is not counted as feeding. Where
    an output is linear in what one layer makes and not in that of another (attention weights), the first is its head.

    Args:
        recording: the forward pass.
        uses: its contractions.
        inside: those in residual branches and their shortcuts, which are no heads.
    """
    flow = Flow(recording)
    by_node = {use.node: use for use in uses if not use.is_look_up}
    # a weighted sum may make scores, as of attention over the neighbours in a graph, and takes no layer's output then
    takers = flow.mask([*(use.node for use in uses if operation(use.node) != "sum"), *flow.inner_products])
    feeding = {
        name
        for use in by_node.values()
        if flow.of_values[use.node] & takers & ~flow.bit(use.node)
        for name in use.parameters
    }
    signals = flow.mask(recording.signals)
    reached = {
        node for end in recording.nodes[-1].all_input_nodes for node in flow.last_before([end], by_node, signals)
    }
    made = [use for use in by_node.values() if use.node in reached and use not in inside]
    return [use for use in made if feeding.isdisjoint(use.parameters)]
