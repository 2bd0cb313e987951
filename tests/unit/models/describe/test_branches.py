"""Residual branches of small nets, from a recorded pass."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.models.describe.examples import Example
from initsuite.models.describe.graph.attention import adapters, parts
from initsuite.models.describe.graph.branches import residual_branches
from initsuite.models.describe.graph.contractions import contractions
from initsuite.models.describe.graph.heads import heads
from initsuite.models.describe.graph.recording import record
from support.recorded import Net, seen


def sums(forward: Callable[[Net, Tensor], Tensor]) -> Net:
    """A stem, what `forward` makes of its output, and a head."""
    layers = {name: nn.Linear(4, 4) for name in ("stem", "one", "two", "three")}
    return Net(lambda net, x: net.head(forward(net, net.stem(x))), **layers, norm=nn.LayerNorm(4), head=nn.Linear(4, 2))


def branch(net: Net, x: Tensor) -> Tensor:
    return net.two(net.one(net.norm(x)).relu())


def _in_place(net: Net, x: Tensor) -> Tensor:
    y = branch(net, x)
    y += x
    return y


RESIDUAL = {
    "identity": lambda net, x: x + branch(net, x),
    "the other way round": lambda net, x: branch(net, x) + x,
    "in place": _in_place,
    "alpha of torch.add": lambda net, x: torch.add(branch(net, x), x, alpha=2),
    "factor of the branch": lambda net, x: x + 0.5 * branch(net, x),
    "layer scale": lambda net, x: x + net.gain * branch(net, x),
    "addcmul": lambda net, x: torch.addcmul(x, net.gain, branch(net, x)),
    "factor of the shortcut": lambda net, x: 1.5 * x + branch(net, x),
    "dropout": lambda net, x: functional.dropout(x, 0.1, False) + branch(net, x),
    "shortcut moved": lambda net, x: x.view(-1, 2, 2).flatten(1) + branch(net, x),
    "shortcut normalised": lambda net, x: functional.layer_norm(x, (4,)) + branch(net, x),
    "bias behind the sum": lambda net, x: (x + branch(net, x)) + net.gain,
    "gate of the branch": lambda net, x: x + branch(net, x) * x.mean(-1, keepdim=True).sigmoid(),
    "factor in torch.addmm": lambda net, x: torch.addmm(x, net.one(x).relu(), net.two.weight.T, beta=0.5),
    "product added by torch.addmm": lambda net, x: torch.addmm(x, net.one(x).relu(), net.two.weight.T),
}


@pytest.mark.parametrize("name", RESIDUAL)
def test_a_sum_of_a_tensor_and_one_computed_from_it(name: str) -> None:
    got = seen(sums(RESIDUAL[name]), torch.ones(3, 4))
    assert got.branches == [["one", "two"]]
    assert got.closing == [["two"]]
    assert got.heads == ["head"]
    factors = {"alpha of torch.add": 2.0, "factor of the shortcut": 1.5, "factor in torch.addmm": 0.5}
    assert got.found[0].shortcut_factor == factors.get(name)


def _neighbours(net: Net, x: Tensor) -> Tensor:
    """A layer of a graph network: the mean over neighbours, and the node itself."""
    ends = torch.tensor([0, 1, 1, 2])
    count = x.new_zeros(len(x), 1).index_add(0, ends, x.new_ones(4, 1)).clamp(min=1)
    return net.one(torch.zeros_like(x).index_add(0, ends, x[ends.flip(0)]) / count) + net.two(x)


def _other_steps(net: Net, x: Tensor) -> Tensor:
    """A recurrence in which the layer before it has seen all steps at once."""
    first, second = net.one(x).split(2)
    return second + net.two(first.tanh())


NOT_RESIDUAL = {
    "nothing added": lambda net, x: branch(net, x),
    "bias": lambda net, x: branch(net, x) + net.gain,
    "parallel layers": lambda net, x: net.one(x) + net.two(x),
    "neighbours": _neighbours,
    "no layer": lambda net, x: net.one(x + x.relu()),
    "product": lambda net, x: branch(net, x) * x,
    "shape alone": lambda net, x: x + branch(net, torch.ones_like(x)),
    "gates": lambda net, x: net.one(x).sigmoid() * x + net.two(x).sigmoid() * net.three(x).tanh(),
    "update gate": lambda net, x: (z := net.one(x).sigmoid()) * x + (1 - z) * net.two(x).tanh(),
    "update gate, shorter": lambda net, x: x + net.one(x).sigmoid() * (net.two(x).tanh() - x),
    "shortcut with a nonlinearity": lambda net, x: net.three(x).relu() + branch(net, x),
    "shortcut with the weights of the branch": lambda net, x: net.one(x) + net.two(net.one(x.relu())),
    "other parts of one output": _other_steps,
}


@pytest.mark.parametrize("name", NOT_RESIDUAL)
def test_other_sums_are_no_branches(name: str) -> None:
    assert seen(sums(NOT_RESIDUAL[name]), torch.ones(4, 4)).branches == []


def test_a_branch_within_a_branch_keeps_its_layers() -> None:
    got = seen(sums(lambda net, x: x + net.two(x + net.one(x))), torch.ones(3, 4))
    assert (got.branches, got.closing) == ([["one"], ["two"]], [["one"], ["two"]])


def test_an_inner_branch_that_ends_an_outer_one() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        y = net.one(x)
        return x + (y + net.two(y))

    assert seen(sums(forward), torch.ones(3, 4)).branches == [["one"], ["two"]]


def test_a_layer_that_is_used_again_counts_in_its_first_branch() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x + branch(net, x)
        return x + net.three(x)

    assert seen(sums(forward), torch.ones(3, 4)).branches == [["one", "two"], ["three"]]


def test_branches_side_by_side_are_one_with_two_closing_layers() -> None:
    def three_terms(net: Net, x: Tensor) -> Tensor:
        normal = net.norm(x)
        return x + net.two(net.one(normal).relu()) + net.three(normal)

    def shortcut_last(net: Net, x: Tensor) -> Tensor:
        normal = net.norm(x)
        return net.two(net.one(normal).relu()) + net.three(normal) + x

    for forward in (three_terms, shortcut_last):
        got = seen(sums(forward), torch.ones(3, 4))
        assert (got.branches, got.closing) == ([["one", "two", "three"]], [["two", "three"]])


def test_the_norms_of_a_branch_and_of_its_end() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        return net.after(x + net.last(net.two(net.norm(net.one(x)).relu())))

    net = sums(forward)
    net.last, net.after = nn.LayerNorm(4), nn.LayerNorm(4)
    (found,) = seen(net, torch.ones(3, 4)).found
    assert found.norms == ("norm.weight", "norm.bias", "last.weight", "last.bias")
    assert found.closing_norms == ("last.weight", "last.bias")


class Block(nn.Module):
    """A block of a hand-written ResNet, with a projection where the shape changes."""

    def __init__(self, before: int, after: int, stride: int, gate: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.project = nn.Identity()
        if stride > 1 or before != after:
            self.project = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.squeeze, self.excite = (nn.Linear(after, 2), nn.Linear(2, after)) if gate else (None, None)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.squeeze is not None and self.excite is not None:
            y = y * self.excite(self.squeeze(y.mean((2, 3))).relu()).sigmoid()[:, :, None, None]
        return (y + self.project(x)).relu()


@pytest.mark.parametrize("gate", [False, True])
def test_a_resnet_by_hand_has_six_branches_of_six(gate: bool) -> None:
    sizes = [(8, 8, 1), (8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 24, 2), (24, 24, 1)]
    blocks = nn.Sequential(*(Block(*size, gate=gate) for size in sizes))
    net = Net(
        lambda net, x: net.head(net.blocks(net.stem(x)).mean((2, 3))),
        stem=nn.Conv2d(3, 8, 3), blocks=blocks, head=nn.Linear(24, 5),
    )  # fmt: skip
    got = seen(net, torch.ones(2, 3, 16, 16))
    own = ["conv1", "conv2", "squeeze", "excite"] if gate else ["conv1", "conv2"]
    assert got.branches == [[f"blocks.{number}.{layer}" for layer in own] for number in range(6)]
    assert got.closing == [[f"blocks.{number}.conv2"] for number in range(6)]  # and not the gate
    projected = [number for number, found in enumerate(got.found) if found.shortcut]
    assert projected == [2, 4]
    assert [found.shortcut[0].parameters for found in got.found if found.shortcut] == [
        ("blocks.2.project.0.weight",),
        ("blocks.4.project.0.weight",),
    ]
    assert got.heads == ["head"]


def test_a_projection_before_the_norm_of_the_branch() -> None:
    net = sums(lambda net, x: net.three(y := net.norm(x).relu()) + net.two(net.one(y).relu()))
    assert seen(net, torch.ones(3, 4)).branches == [["one", "two"]]


def test_the_sums_of_a_u_net() -> None:
    layers = {name: nn.Conv2d(4, 4, 3, padding=1) for name in ("stem", "down", "deep", "up", "head")}

    def forward(net: Net, x: Tensor) -> Tensor:
        skip = net.stem(x).relu()
        low = functional.max_pool2d(net.down(skip).relu(), 2)
        high = functional.interpolate(net.up(net.deep(low).relu()), scale_factor=2)
        return net.head(skip + high)

    got = seen(Net(forward, **layers), torch.ones(2, 4, 8, 8))
    assert (got.branches, got.closing, got.heads) == ([["down", "deep", "up"]], [["up"]], ["head"])


def test_what_conditions_a_block_is_no_shortcut() -> None:
    def forward(net: Net, x: Tensor, t: Tensor) -> Tensor:
        time_ = net.time(t)
        x = net.stem(x)
        for block in net.blocks:
            x = x + block[2]((block[0](x) + block[1](time_)).relu())
        return net.head(x)

    blocks = nn.ModuleList(nn.ModuleList(nn.Linear(4, 4) for _ in range(3)) for _ in range(2))
    layers = {name: nn.Linear(4, 4) for name in ("time", "stem", "head")}
    got = seen(Net(forward, blocks=blocks, **layers), torch.ones(3, 4), torch.ones(1, 4))
    assert got.branches == [[f"blocks.{number}.{layer}" for layer in range(3)] for number in range(2)]
    assert got.closing == [[f"blocks.{number}.2"] for number in range(2)]
    assert got.heads == ["head"]


def _by_hand(step: Callable[[Net, Tensor, Tensor], Tensor]) -> Callable[[Net, Tensor], object]:
    def forward(net: Net, x: Tensor) -> object:
        state = torch.zeros(len(x), 4)
        for time_ in range(x.shape[1]):
            state = step(net, x[:, time_], state)
        return net.head(state)

    return forward


def _gru(net: Net, x: Tensor, state: Tensor) -> Tensor:
    gate, reset = net.one(x).sigmoid(), net.two(state).sigmoid()
    return gate * state + (1 - gate) * net.three(x + reset * state).tanh()


RECURRENCES = {
    "plain": lambda net, x, state: (net.one(x) + net.two(state)).tanh(),
    "gated": _gru,
    "cell": lambda net, x, state: net.cell(x, state),
}


@pytest.mark.parametrize("name", RECURRENCES)
def test_recurrences_by_hand_have_no_branches(name: str) -> None:
    layers = {name: nn.Linear(4, 4) for name in ("one", "two", "three")}
    net = Net(_by_hand(RECURRENCES[name]), **layers, cell=nn.GRUCell(4, 4), head=nn.Linear(4, 2))
    got = seen(net, torch.ones(3, 5, 4))
    assert (got.branches, got.heads) == ([], ["head"])


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_torchs_recurrent_layers_have_neither_branches_nor_a_head(kind: type[nn.Module]) -> None:
    got = seen(kind(3, 4, num_layers=2), torch.ones(5, 2, 3))
    assert (got.branches, got.heads) == ([], [])


MOST_SECONDS = 1.0
"""For 3,000 operations; a tenth of a second on a core that does nothing else."""


def test_three_thousand_operations_take_well_under_a_second() -> None:
    layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16) for _ in range(50))

    def forward(net: Net, x: Tensor) -> Tensor:
        for layer in net.layers:
            x = layer(x)
        return x

    recording = record(Net(forward, layers=layers), Example((torch.ones(5, 2, 8),), {}))
    assert recording is not None
    assert len(recording.nodes) > 3000
    started = time.process_time()
    uses = contractions(recording)
    found = residual_branches(recording, uses)
    kinds = parts(recording, uses, found, adapters(recording, uses))
    assert heads(recording, uses, {use for branch in found for use in branch.uses}) == []
    assert time.process_time() - started < MOST_SECONDS
    assert (len(found), len(kinds)) == (100, 200)
