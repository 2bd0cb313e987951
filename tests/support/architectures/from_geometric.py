"""Graph networks of torch_geometric; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import nn as geometric

from support.truth import Architecture

generator = torch.Generator().manual_seed(3)
NODES = torch.randn(40, 24, generator=generator)
EDGES = torch.randint(0, 40, (2, 160), generator=generator)
KINDS = torch.randint(0, 3, (160,), generator=generator)
RANGES = torch.randn(160, 6, generator=generator)


class GraphNet(nn.Module):
    """Two convolutions over the edges of a graph, and a head on the nodes."""

    def __init__(
        self,
        convolution: Callable[[int, int], nn.Module],
        hidden: int = 32,
        phi: Callable[[Tensor], Tensor] = torch.relu,
    ) -> None:
        super().__init__()
        self.first, self.second, self.head = convolution(24, hidden), convolution(hidden, hidden), nn.Linear(hidden, 5)
        self.phi = phi

    def forward(self, x: Tensor, edges: Tensor, *rest: Tensor) -> Tensor:
        x = self.phi(self.first(x, edges, *rest))
        return self.head(self.phi(self.second(x, edges, *rest)))


def graph(convolution: Callable[[int, int], nn.Module], *rest: Any, **options: Any) -> Architecture:
    """Edges cannot be guessed: they are given as an example."""
    inputs = (NODES, EDGES, *rest)
    return Architecture(lambda: GraphNet(convolution, **options), inputs, options={"example": (inputs, {})})


def mlp(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 40), nn.ReLU(), nn.Linear(40, outputs))


FROM_GEOMETRIC: dict[str, Architecture] = {
    "gcn": graph(geometric.GCNConv),
    "gat": graph(lambda inputs, outputs: geometric.GATConv(inputs, outputs // 4, heads=4), phi=nn.functional.elu),
    "gatv2": graph(lambda inputs, outputs: geometric.GATv2Conv(inputs, outputs // 4, heads=4)),
    "gin": graph(lambda inputs, outputs: geometric.GINConv(mlp(inputs, outputs))),
    "sage": graph(geometric.SAGEConv),
    "graph transformer": graph(lambda inputs, outputs: geometric.TransformerConv(inputs, outputs // 4, heads=4)),
    "edge convolution": graph(lambda inputs, outputs: geometric.EdgeConv(mlp(2 * inputs, outputs))),
    "relations": graph(lambda inputs, outputs: geometric.RGCNConv(inputs, outputs, 3), KINDS),
    "chebyshev": graph(lambda inputs, outputs: geometric.ChebConv(inputs, outputs, 3)),
    "gated graph": graph(lambda inputs, outputs: geometric.ResGatedGraphConv(inputs, outputs)),
    "gaussian mixture": graph(lambda inputs, outputs: geometric.GMMConv(inputs, outputs, 6, 4), RANGES),
}
