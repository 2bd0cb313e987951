"""Residual branches and heads from a recorded pass: on small nets, and against what module names show."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import activation
from initsuite.data.torchvision_import import import_torchvision
from initsuite.models import Cnn, Gru, Lstm, Mlp, ResNet, Rnn, Siren, Transformer, Vit
from initsuite.models.describe.contractions import contractions
from initsuite.models.describe.describe import describe
from initsuite.models.describe.examples import Example
from initsuite.models.describe.recording import record
from initsuite.spec import Role
from support.recorded import seen


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
    "product added by torch.addmm": lambda net, x: torch.addmm(x, net.one(x).relu(), net.two.weight.T),
}


@pytest.mark.parametrize("name", RESIDUAL)
def test_a_sum_of_a_tensor_and_one_computed_from_it(name: str) -> None:
    got = seen(sums(RESIDUAL[name]), torch.ones(3, 4))
    assert got.branches == [["one", "two"]]
    assert got.closing == [["two"]]
    assert got.heads == ["head"]
    factors = {"alpha of torch.add": 2.0, "factor of the shortcut": 1.5}
    assert got.found[0].shortcut_factor == factors.get(name)


def _other_steps(net: Net, x: Tensor) -> Tensor:
    """A recurrence in which the layer before it has seen all steps at once."""
    first, second = net.one(x).split(2)
    return second + net.two(first.tanh())


NOT_RESIDUAL = {
    "nothing added": lambda net, x: branch(net, x),
    "bias": lambda net, x: branch(net, x) + net.gain,
    "parallel layers": lambda net, x: net.one(x) + net.two(x),
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


def test_every_output_has_its_head() -> None:
    layers = {name: nn.Linear(4, 4) for name in ("body", "actor", "critic")}

    def forward(net: Net, x: Tensor) -> dict[str, object]:
        hidden = net.body(x).tanh()
        return {"policy": net.actor(hidden).softmax(-1), "value": (net.critic(hidden), hidden)}

    assert seen(Net(forward, **layers), torch.ones(3, 4)).heads == ["actor", "critic"]


def test_auxiliary_outputs_of_one_head() -> None:
    layers = {name: nn.Linear(4, 4) for name in ("one", "two", "classes", "boxes")}

    def forward(net: Net, x: Tensor) -> list[Tensor]:
        first = net.one(x).relu()
        second = net.two(first).relu()
        return [each for level in (first, second) for each in (net.classes(level), net.boxes(level).sigmoid())]

    assert seen(Net(forward, **layers), torch.ones(3, 4)).heads == ["classes", "boxes"]


def test_a_token_that_is_chosen_and_looked_up_feeds_nothing() -> None:
    def forward(net: Net, ids: Tensor) -> Tensor:
        outputs = []
        state = torch.zeros(len(ids), 4)
        for _ in range(2):
            state = net.cell(net.token(ids), state)
            outputs.append(net.head(state))
            ids = outputs[-1].argmax(-1)
        return torch.stack(outputs)

    net = Net(forward, token=nn.Embedding(7, 4), cell=nn.GRUCell(4, 4), head=nn.Linear(4, 7))
    assert seen(net, torch.zeros(3, dtype=torch.long)).heads == ["head"]


def test_similarities_are_not_fed_by_the_projections_before_them() -> None:
    def forward(net: Net, x: Tensor, y: Tensor) -> Tensor:
        return net.one(x.relu()) @ net.two(y.relu()).T

    net = Net(forward, one=nn.Linear(4, 3), two=nn.Linear(4, 3))
    assert seen(net, torch.ones(3, 4), torch.ones(2, 4)).heads == ["one", "two"]


RELU = activation("relu")
IMAGE = (3, 8, 8)
OURS = {
    "mlp": (lambda: Mlp((6,), 3, RELU, widths=[5, 4]), torch.ones(2, 6)),
    "cnn": (lambda: Cnn(IMAGE, 3, RELU, channels=[4, 6]), torch.ones(2, *IMAGE)),
    "resnet": (lambda: ResNet(IMAGE, 3, RELU, depth=8, width=4), torch.ones(2, *IMAGE)),
    "resnet-fixup": (lambda: ResNet(IMAGE, 3, RELU, depth=8, width=4, norm="none", fixup=True), torch.ones(2, *IMAGE)),
    "resnet-scaled": (
        lambda: ResNet(IMAGE, 3, RELU, depth=8, width=4, norm="none", branch_scale=True),
        torch.ones(2, *IMAGE),
    ),
    "vit": (lambda: Vit(IMAGE, 3, RELU, depth=2, width=8, heads=2, pool="class"), torch.ones(2, *IMAGE)),
    "vit-deepnorm": (
        lambda: Vit(IMAGE, 3, RELU, depth=2, width=8, heads=2, norm="post", deepnorm=True),
        torch.ones(2, *IMAGE),
    ),
    "transformer": (
        lambda: Transformer((6,), 9, RELU, depth=2, width=8, heads=2),
        torch.zeros(2, 6, dtype=torch.long),
    ),
    "siren": (lambda: Siren((2,), 3, activation("sine"), depth=3, width=8), torch.ones(2, 2)),
    "rnn": (lambda: Rnn((3, 4, 4), 3, activation("tanh"), depth=2, width=5), torch.ones(2, 3, 4, 4)),
    "lstm": (lambda: Lstm((3, 4, 4), 3, activation("tanh"), depth=2, width=5), torch.ones(2, 3, 4, 4)),
    "gru": (lambda: Gru((3, 4, 4), 3, activation("tanh"), depth=2, width=5), torch.ones(2, 3, 4, 4)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16), torch.ones(5, 2, 8)),
    "decoder": (lambda: nn.TransformerDecoderLayer(8, 2, 16), torch.ones(5, 2, 8), torch.ones(6, 2, 8)),
}


def by_names(model: nn.Module) -> tuple[set[frozenset[tuple[str, bool]]], list[str]]:
    """The layers of each branch, with whether they close it, and the heads, as names and types of modules show them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = [spec for spec in describe(model) if spec.role in (Role.WEIGHT, Role.RECURRENT)]
    found: dict[int, set[tuple[str, bool]]] = {}
    for spec in weights:
        if spec.branch_layers:
            found.setdefault(spec.branch, set()).add((spec.name.removesuffix(".weight"), spec.closes_residual))
    return set(map(frozenset, found.values())), [spec.name.removesuffix(".weight") for spec in weights if spec.is_head]


def by_graph(model: nn.Module, *inputs: Tensor) -> tuple[set[frozenset[tuple[str, bool]]], list[str]]:
    got = seen(model, *inputs)
    pairs = zip(got.branches, got.closing, strict=True)
    return {frozenset((name, name in closing) for name in inside) for inside, closing in pairs}, got.heads


@pytest.mark.parametrize("name", OURS)
def test_the_graph_shows_what_the_modules_of_known_blocks_show(name: str) -> None:
    build, *inputs = OURS[name]
    model = build()
    assert by_graph(model, *inputs) == by_names(model)


def test_the_order_and_the_factors_of_deepnorms_shortcuts() -> None:
    got = seen(Vit(IMAGE, 3, RELU, depth=2, width=8, heads=2, norm="post", deepnorm=True), torch.ones(2, *IMAGE))
    assert [found.shortcut_factor for found in got.found] == pytest.approx([math.sqrt(2)] * 4)  # (2 depth)^(1/4)
    first = ["blocks.attention1.branch", "blocks.mlp1.branch", "blocks.attention2.branch", "blocks.mlp2.branch"]
    assert all(inside[0].startswith(name) for inside, name in zip(got.branches, first, strict=True))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny", "vgg11", "densenet121"])
def test_torchvisions_models(name: str) -> None:
    model = getattr(import_torchvision().models, name)(weights=None).eval()
    assert by_graph(model, torch.ones(1, 3, 64, 64)) == by_names(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "swin_t", "efficientnet_v2_s", "vit_b_32", "googlenet", "mnasnet1_0"])
@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
def test_more_of_torchvisions_models(name: str) -> None:
    size = 224 if name == "vit_b_32" else 64
    model = getattr(import_torchvision().models, name)(weights=None).eval()
    assert by_graph(model, torch.ones(1, 3, size, size)) == by_names(model)


def test_a_regnet_has_sixteen_branches_of_sixteen() -> None:
    model = import_torchvision().models.regnet_y_400mf(weights=None).eval()
    got = seen(model, torch.ones(1, 3, 64, 64))
    assert len(got.found) == 16
    assert sum(bool(found.shortcut) for found in got.found) == 4
    assert all(name.endswith(".f.c.0") for (name,) in got.closing)


MOST_SECONDS = 2.0
"""For 3,000 operations; a quarter of a second on an idle core, and the machine of the tests may be busy."""


def test_three_thousand_operations_take_well_under_a_second() -> None:
    layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16) for _ in range(50))

    def forward(net: Net, x: Tensor) -> Tensor:
        for layer in net.layers:
            x = layer(x)
        return x

    net = Net(forward, layers=layers)
    recording = record(net, Example((torch.ones(5, 2, 8),), {}))
    assert recording is not None
    assert len(recording.nodes) > 3000
    assert len(contractions(recording)) == 50 * 4
    started = time.process_time()
    got = seen(net, torch.ones(5, 2, 8))
    taken = time.process_time() - started
    assert len(got.found) == 100
    assert taken < MOST_SECONDS + _seconds_to_record(net)


def _seconds_to_record(net: nn.Module) -> float:
    started = time.process_time()
    record(net, Example((torch.ones(5, 2, 8),), {}))
    return time.process_time() - started
