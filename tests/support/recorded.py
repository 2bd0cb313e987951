"""What the recorded pass of a small model shows, by the names of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from initsuite.models.describe.examples import Example
from initsuite.models.describe.graph.attention import adapters, parts
from initsuite.models.describe.graph.branches import GraphBranch, residual_branches
from initsuite.models.describe.graph.contractions import Contraction, contractions, shape_of
from initsuite.models.describe.graph.heads import heads
from initsuite.models.describe.graph.operations import is_norm
from initsuite.models.describe.graph.recording import Recording, record


class Net(nn.Module):
    """Layers by name, and a forward pass that uses them."""

    def __init__(self, forward: Callable[..., object], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._forward = forward
        self.gain = nn.Parameter(torch.ones(4))

    def forward(self, *inputs: Tensor) -> object:
        return self._forward(self, *inputs)


@dataclass(frozen=True)
class Seen:
    """Names of layers without `.weight`.

    Attributes:
        branches: the layers of each branch.
        closing: those that close each.
        found: the branches themselves.
        heads: the layers that make the outputs.
        parts: what each layer is for.
        pieces: shapes of the parts of a packed layer.
        adapters: the pairs of layers that are low-rank adapters.
    """

    branches: list[list[str]]
    closing: list[list[str]]
    found: list[GraphBranch]
    heads: list[str]
    parts: dict[str, list[str]]
    pieces: dict[str, dict[str, tuple[int, ...]]]
    adapters: list[tuple[str, str]]


def seen(model: nn.Module, *args: Any, **kwargs: Any) -> Seen:
    """Record a model on an example."""
    recording = record(model, Example(args, kwargs))
    assert recording is not None
    everything = contractions(recording)
    pairs = adapters(recording, everything)
    uses = [use for use in everything if not any(use in pair for pair in pairs)]
    found = residual_branches(recording, uses, norms_of(recording))
    inside = {use for branch in found for use in (*branch.uses, *branch.shortcut)}
    by_node = {use.node: use for use in everything}
    named = {name_of(by_node[node]): each for node, each in parts(recording, uses, found, pairs).items()}
    return Seen(
        [names(branch.uses) for branch in found],
        [names(branch.closing) for branch in found],
        found,
        names(heads(recording, uses, inside)),
        {name: each.names for name, each in named.items()},
        {name: {part: shape_of(node) for part, node in each.pieces.items()} for name, each in named.items()},
        [(name_of(first), name_of(second)) for first, second in pairs],
    )


def norms_of(recording: Recording) -> dict[Any, list[str]]:
    """The parameters of norm operations."""
    return {
        node: [name for each in node.all_input_nodes for name in recording.sources.get(each, ())]
        for node in recording.nodes
        if is_norm(node)
    }


def name_of(use: Contraction) -> str:
    return use.parameters[0].removesuffix(".weight")


def names(uses: Iterable[Contraction]) -> list[str]:
    return list(dict.fromkeys(name_of(use) for use in uses))
