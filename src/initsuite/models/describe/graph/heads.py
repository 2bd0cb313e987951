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
    heads. What goes through whole numbers (a token that was chosen and is looked up) is not counted as feeding.

    Args:
        recording: the forward pass.
        uses: its contractions.
        inside: those in residual branches and their shortcuts, which are no heads.
    """
    flow = Flow(recording)
    feeds = flow.of_values
    output = recording.nodes[-1]
    # a weighted sum makes scores, as of attention over the neighbours in a graph, and no output
    uses = [use for use in uses if operation(use.node) != "sum"]
    products = [each.node for each in uses] + flow.inner_products
    takers = flow.mask(products)
    feeding = {
        name
        for use in uses
        if not use.is_look_up and feeds[use.node] & takers & ~flow.bit(use.node)
        for name in use.parameters
    }
    return [
        use
        for use in uses
        if not use.is_look_up
        and use not in inside
        and feeds[use.node] & flow.bit(output)
        and feeding.isdisjoint(use.parameters)
    ]
