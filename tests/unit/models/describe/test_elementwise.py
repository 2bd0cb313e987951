"""What follows a layer, read from the recorded graph: as a function of z ~ N(0, 1), by name, or with a doubt."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import ActivationLayer, activation
from initsuite.models.describe.examples import Example
from initsuite.models.describe.graph.contractions import contractions, operation
from initsuite.models.describe.graph.elementwise import Follower, Following
from initsuite.models.describe.graph.recording import Recording, record
from initsuite.spec import Activation

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")

GAIN_TOLERANCE = 2e-3
"""The Gauss-Hermite rule of these tests with 180 nodes is off by up to 1e-3 where a function has a kink."""


class Net(nn.Module):
    """Two layers and a given function between them."""

    def __init__(self, between: Callable[[Tensor], Tensor], head_in: int = 8) -> None:
        super().__init__()
        self.hidden, self.head, self.between = nn.Linear(4, 8), nn.Linear(head_in, 2), between

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.between(self.hidden(x)))


def recorded(model: nn.Module, *inputs: Tensor) -> tuple[Recording, Follower]:
    recording = record(model, Example(inputs or (torch.randn(3, 4),)))
    assert recording is not None
    parameters = dict(model.named_parameters())
    return recording, Follower(recording, contractions(recording), lambda name: parameters[name].detach())


def after(model: nn.Module, *inputs: Tensor) -> dict[str, Following]:
    """What follows each weight, by name; of several uses, the first with a nonlinearity."""
    recording, follower = recorded(model, *inputs)
    found: dict[str, Following] = {}
    for use in contractions(recording):
        known = found.get(use.parameters[0])
        if known is None or (known.activation is None and not known.doubt):
            found[use.parameters[0]] = follower.after(use.node)
    return found


def names(model: nn.Module, *inputs: Tensor) -> dict[str, str]:
    found = after(model, *inputs)
    assert {each.doubt for each in found.values()} <= {""}
    return {name: each.activation.name if each.activation else "" for name, each in found.items()}


def gain(function: Callable[[Tensor], Tensor]) -> float:
    """1 / sqrt(E[f(z)^2]) by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(180)
    values = function(torch.from_numpy(nodes)).detach().numpy()
    return float(1 / np.sqrt((weights * values**2).sum() / weights.sum()))


GELU_NEW = math.sqrt(2 / math.pi)
WRITTEN: dict[str, tuple[Callable[[Tensor], Tensor], Activation | str]] = {
    "gelu_new": (lambda x: 0.5 * x * (1 + torch.tanh(GELU_NEW * (x + 0.044715 * x**3))), "gelu_tanh"),
    "gelu by hand": (lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))), activation("gelu")),
    "quick_gelu": (lambda x: x * torch.sigmoid(1.702 * x), "quick_gelu"),
    "relu squared": (lambda x: functional.relu(x).square(), "relu_squared"),
    "mish by hand": (lambda x: x * torch.tanh(functional.softplus(x)), activation("mish")),
    "hard swish by hand": (lambda x: x * functional.relu6(x + 3) / 6, "hardswish"),
    "lecun tanh": (lambda x: 1.7159 * torch.tanh(2 / 3 * x), "lecun_tanh"),
    "silu by hand": (lambda x: x * torch.sigmoid(x), activation("silu")),
    "elu by hand": (lambda x: torch.where(x > 0, x, 0.7 * (x.exp() - 1)), activation("elu", alpha=0.7)),
    "prelu": (
        lambda x: functional.prelu(x, torch.tensor([0.1], dtype=x.dtype)),
        activation("prelu", negative_slope=0.1),
    ),
    "rrelu": (functional.rrelu, activation("leaky_relu", negative_slope=11 / 48)),
    "clamp": (lambda x: x.clamp(min=0), activation("relu")),
    "maximum": (lambda x: torch.maximum(x, torch.zeros_like(x)), activation("relu")),
    "torch.max": (lambda x: torch.max(x, torch.tensor(0.0, dtype=x.dtype)), activation("relu")),
    "where": (lambda x: torch.where(x > 0, x, 0.1 * x), activation("leaky_relu", negative_slope=0.1)),
    "where not": (lambda x: torch.where(~(x > 0), 0.0, x), activation("relu")),
    "mask": (lambda x: x * (x > 0), activation("relu")),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0.0), activation("relu")),
    "number of a condition": (lambda x: x * (1 - (x < 0).to(x.dtype)), activation("relu")),
    "threshold": (lambda x: functional.threshold(x, 0.0, 0.0), activation("relu")),
    "wavenet": (lambda x: torch.tanh(x) * torch.sigmoid(x), "gated_tanh"),
    "snake": (lambda x: x + torch.sin(x) ** 2, "snake"),
    "in place": (lambda x: (x + 0).relu_(), activation("relu")),
    "abs": (torch.abs, "abs"),
    "two sigmoids": (lambda x: 2 * x.sigmoid(), "sigmoid_mul"),
    "tanh plus 1": (lambda x: x.tanh() + 1, "tanh_add"),
    "unknown": (lambda x: x.sinh().cos() - x.atan(), "sinh_cos_atan"),
    "clipped": (lambda x: x.clamp(-0.5, 2), activation("hardtanh", min_val=-0.5, max_val=2.0)),
    "sine": (lambda x: torch.sin(3 * x), activation("sine", omega=3.0)),
    "leaky": (lambda x: functional.leaky_relu(x, 0.3), activation("leaky_relu", negative_slope=0.3)),
    "softplus": (nn.Softplus(2.0), activation("softplus", beta=2.0)),
    "relu6": (nn.ReLU6(), "relu6"),
    "celu": (nn.CELU(0.5), "celu"),
    "hardshrink": (functional.hardshrink, "hardshrink"),
    "softshrink": (functional.softshrink, "softshrink"),
    "tanhshrink": (functional.tanhshrink, "tanhshrink"),
    "logsigmoid": (functional.logsigmoid, "logsigmoid"),
    "hardsigmoid": (functional.hardsigmoid, "hardsigmoid"),
    "hardswish": (functional.hardswish, "hardswish"),
    "gelu tanh": (nn.GELU("tanh"), "gelu_tanh"),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_an_activation_is_known_by_what_it_computes(case: str) -> None:
    function, expected = WRITTEN[case]
    found = after(Net(function))["hidden.weight"]
    assert found.doubt == ""
    assert found.activation is not None
    if isinstance(expected, Activation):
        assert found.activation == expected
    assert found.activation.name == getattr(expected, "name", expected)
    assert gain(found.activation.function) == pytest.approx(gain(function), rel=1e-6)


@pytest.mark.parametrize(
    ("case", "expected"), [("gelu_new", 1.533), ("relu squared", 0.816), ("quick_gelu", 1.539), ("mish by hand", 1.487)]
)
def test_gains_of_functions_that_are_spelled_out(case: str, expected: float) -> None:
    found = after(Net(WRITTEN[case][0]))["hidden.weight"].activation
    assert found is not None
    assert gain(found.function) == pytest.approx(expected, abs=GAIN_TOLERANCE)


@pytest.mark.parametrize("name", ["relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus", "softsign",
                                  "hardtanh", "tanh", "sigmoid", "erf", "sine", "leaky_relu"])  # fmt: skip
def test_the_activations_of_the_suite_keep_their_identity(name: str) -> None:
    assert after(Net(ActivationLayer(activation(name))))["hidden.weight"] == Following(activation(name))


def test_a_found_function_is_differentiable_pickles_and_takes_any_real_type() -> None:
    found = after(Net(WRITTEN["unknown"][0]))["hidden.weight"].activation
    assert found is not None
    function = pickle.loads(pickle.dumps(found)).function
    z = torch.linspace(-2, 2, 5, dtype=torch.float64)
    slope = torch.func.grad(lambda x: function(x).sum())(z)
    torch.testing.assert_close(slope, -z.sinh().sin() * z.cosh() - 1 / (1 + z**2))
    assert function(z.float()).dtype == torch.float32
    torch.testing.assert_close(torch.vmap(function)(z), function(z))


def test_two_unknown_functions_of_the_same_operations_differ() -> None:
    first, second = (after(Net(lambda x, c=c: torch.cos(c * x)))["hidden.weight"].activation for c in (2.0, 3.0))
    assert first is not None
    assert first != second


# ---- what is no nonlinearity ----------------------------------------------------------------------------------------


def rms_norm(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def layer_norm(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-5)


NORMS: list[Callable[[Tensor], Tensor]] = [
    rms_norm,
    layer_norm,
    lambda x: functional.layer_norm(x, (8,)),
    lambda x: functional.rms_norm(x, (8,)),
    lambda x: functional.normalize(x, dim=-1) * math.sqrt(8),
    lambda x: (x - x.mean(0)) * torch.rsqrt(x.var(0, unbiased=False) + 1e-5),
    nn.BatchNorm1d(8),
    nn.GroupNorm(2, 8),
]


@pytest.mark.parametrize("norm", NORMS)
def test_norms_are_passed_over_before_and_behind_the_activation(norm: Callable[[Tensor], Tensor]) -> None:
    assert after(Net(norm))["hidden.weight"] == Following(None)
    assert after(Net(lambda x: norm(x).relu()))["hidden.weight"] == Following(activation("relu"))
    assert after(Net(lambda x: norm(x.relu())))["hidden.weight"] == Following(activation("relu"))


LINEAR: list[Callable[[Tensor], Tensor]] = [
    lambda x: x,
    lambda x: 0.1 * x + 3,
    lambda x: functional.dropout(x, 0.1, training=False).reshape(-1, 8).clone(),
    lambda x: x @ torch.eye(8),
    lambda x: x.softmax(-1),
    lambda x: x.exp() / x.exp().sum(-1, keepdim=True),
    lambda x: (x - x.amax(-1, keepdim=True)).softmax(-1),
    lambda x: torch.cat([-x[:, 4:], x[:, :4]], 1) * x.new_full((8,), 0.3) + x,
    lambda x: functional.relu((x @ x.T) @ x),
    lambda x: x.T.reshape(8, 3).T,
    lambda x: torch.where(torch.ones(3, 8, dtype=torch.bool).tril(), x, -1e9),
]


@pytest.mark.parametrize("between", LINEAR)
def test_what_is_linear_or_ends_the_way_is_no_nonlinearity(between: Callable[[Tensor], Tensor]) -> None:
    assert after(Net(between))["hidden.weight"] == Following(None)


def test_fixed_matrices_and_pooling_are_passed_over() -> None:
    matrix = torch.eye(8)
    assert names(Net(lambda x: (x @ matrix).relu()))["hidden.weight"] == "relu"
    assert names(Net(lambda x: functional.avg_pool1d(x.tanh(), 2), head_in=4))["hidden.weight"] == "tanh"
    assert names(Net(lambda x: x.view(3, 4, 2).mean(-1).tanh(), head_in=4))["hidden.weight"] == "tanh"


def test_a_graph_that_is_given_only_aggregates() -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor, adjacency: Tensor, edges: Tensor) -> Tensor:
            h = self.hidden(x)
            dense = adjacency @ h
            added = torch.zeros_like(h).index_add(0, edges[1], h[edges[0]])
            return self.head((dense + added).relu())

    edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
    assert names(Layer(), torch.randn(3, 4), torch.randn(3, 3), edges)["hidden.weight"] == "relu"


class EdgeAttention(nn.Module):
    """Scores by a weighted sum, and a softmax over the edges of each node, both spelled out."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.key, self.head = nn.Linear(4, 8), nn.Linear(8, 1), nn.Linear(8, 2)
        self.score = nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        h = self.hidden(x).tanh()
        pairs = functional.leaky_relu((h[edges[0]] * self.score).sum(-1) + self.key(h[edges[1]])[:, 0], 0.2)
        strength = pairs.exp()
        total = torch.zeros(3).index_add(0, edges[1], strength)
        shares = strength / (total[edges[1]] + 1e-16)
        return self.head(torch.zeros(3, 8).index_add(0, edges[1], h[edges[0]] * shares[:, None]).relu())


def test_attention_over_edges() -> None:
    found = names(EdgeAttention(), torch.randn(3, 4), torch.tensor([[0, 1, 2], [1, 2, 0]]))
    assert found == {"hidden.weight": "tanh", "key.weight": "leaky_relu", "score": "leaky_relu", "head.weight": ""}


@pytest.mark.parametrize("softmax", [lambda x: x.softmax(-1), lambda x: x.exp() / x.exp().sum(-1, keepdim=True)])
def test_a_nonlinearity_before_a_softmax_follows(softmax: Callable[[Tensor], Tensor]) -> None:
    assert after(Net(lambda x: softmax(x.tanh())))["hidden.weight"] == Following(activation("tanh"))


def test_the_spread_of_neighbours_is_a_statistic() -> None:
    """As PyG spells it out: the count has the shape of the signal, and none of its values."""

    class Spread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(4, 8), nn.Linear(16, 2)

        def forward(self, x: Tensor, index: Tensor) -> Tensor:
            def mean(of: Tensor) -> Tensor:
                count = of.new_zeros(3).scatter_add_(0, index, of.new_ones(3)).clamp(1)[:, None]
                return of.new_zeros(3, 8).index_add_(0, index, of) / count

            h = self.hidden(x)
            spread = (mean(h * h) - mean(h) ** 2).clamp(1e-5).sqrt()
            return self.head(torch.cat([mean(h), spread], 1))

    assert names(Spread(), torch.randn(3, 4), torch.tensor([1, 2, 0]))["hidden.weight"] == ""


def test_masks_that_come_with_the_inputs_only_scale() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return self.head(torch.square(self.hidden(x).relu() * mask[:, None]))

    assert names(Masked(), torch.randn(3, 4), torch.ones(3))["hidden.weight"] == "relu_squared"


DOUBTFUL: list[tuple[Callable[[Tensor], Tensor], str]] = [
    (lambda x: torch.maximum(x[:, :4], x[:, 4:]).repeat(1, 2), "maximum with another signal"),
    (lambda x: x.view(3, 2, 4).amax(1).repeat(1, 2), "amax over units of the layer"),
    (lambda x: torch.where(x[:, :4] > 0, x[:, 4:], 0.0).repeat(1, 2), "where with another signal"),
    (lambda x: (1 + x).log(), "a function that is not finite everywhere"),
]


@pytest.mark.parametrize(("between", "doubt"), DOUBTFUL)
def test_what_is_no_function_of_each_entry_is_doubted(between: Callable[[Tensor], Tensor], doubt: str) -> None:
    assert after(Net(between))["hidden.weight"] == Following(None, doubt)


def test_a_maximum_over_places_is_pooling() -> None:
    class Points(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.shared, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = self.conv(x).amax((2, 3))
            return self.head(self.shared(h[:, None].expand(-1, 5, -1)).amax(1))

    assert set(names(Points(), torch.randn(2, 3, 6, 6)).values()) == {""}


def test_a_prelu_without_a_value_says_what_was_assumed() -> None:
    model = Net(nn.PReLU(init=0.1))
    recording = record(model, Example((torch.randn(3, 4),)))
    assert recording is not None
    uses = contractions(recording)
    found = Follower(recording, uses, lambda _: None).after(uses[0].node)
    assert found.activation == activation("prelu", negative_slope=0.25)
    assert "taken as 0.25" in found.doubt
    assert after(model)["hidden.weight"] == Following(activation("prelu", negative_slope=0.1))


def test_slopes_that_differ_count_with_their_mean_square() -> None:
    layer = nn.PReLU(8)
    layer.weight.data = torch.linspace(0, 1, 8)
    found = after(Net(layer))["hidden.weight"].activation
    assert found is not None
    expected = 1 / math.sqrt((1 + float(torch.linspace(0, 1, 8).square().mean())) / 2)
    assert gain(found.function) == pytest.approx(expected, rel=1e-6)


# ---- ways through a model -------------------------------------------------------------------------------------------


class NormAct(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu_()


class ConvAct(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


@pytest.mark.parametrize("first", [[nn.Conv2d(3, 8, 3), NormAct(8)], [ConvAct(3, 8, 3)]])
def test_a_layer_that_also_applies_an_activation(first: list[nn.Module]) -> None:
    model = nn.Sequential(*first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    assert names(model, torch.randn(2, 3, 6, 6)) == {"0.weight": "relu", f"{len(first) + 2}.weight": ""}


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.squeeze, self.excite, self.head = nn.Linear(8, 4), nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.conv(x))
        gate = self.excite(self.squeeze(y.mean((2, 3))).tanh()).sigmoid()
        return self.head((y * gate[..., None, None] + x).relu().mean((2, 3)))


def test_squeeze_and_excitation() -> None:
    assert names(SqueezeExcite(), torch.randn(2, 3, 6, 6)) == {
        "stem.weight": "", "conv.weight": "relu", "squeeze.weight": "tanh", "excite.weight": "sigmoid",
        "head.weight": "",
    }  # fmt: skip


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_layers(norm_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, norm_first=norm_first, activation="gelu")
    found = names(nn.TransformerEncoder(layer, 2), torch.randn(2, 3, 8))
    assert {name for name, each in found.items() if each} == {"layers.0.linear1.weight", "layers.1.linear1.weight"}


@pytest.mark.parametrize(("is_pre", "expected"), [(True, "relu"), (False, "relu")])
def test_residual_branches(is_pre: bool, expected: str) -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            if is_pre:
                x = x + 0.2 * self.last(self.first(x.relu()).tanh())
                return self.head(x.relu())
            return self.head((x + self.last(self.first(x).tanh())).relu())

    found = names(Residual())
    assert found == {
        "stem.weight": expected if is_pre else "", "first.weight": "tanh", "last.weight": "relu", "head.weight": "",
    }  # fmt: skip


def test_a_branch_that_a_parameter_switches_off() -> None:
    class Switched(Net):
        def __init__(self) -> None:
            super().__init__(torch.relu, 4)
            self.skip, self.alpha = nn.Linear(4, 8), nn.Parameter(torch.zeros(1))
            self.head = nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head((self.skip(x) + self.hidden(x) * self.alpha).relu())

    assert names(Switched()) == {"skip.weight": "relu", "hidden.weight": "relu", "head.weight": ""}


def test_a_densely_connected_block() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1)
            self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(8)])

        def forward(self, x: Tensor) -> Tensor:
            features = self.first(x)
            new = self.second(self.norms[0](features).relu())
            return self.third(self.norms[1](torch.cat([features, new], 1)).tanh())

    found = names(Dense(), torch.randn(2, 3, 5, 5))
    assert found == {"first.weight": "relu", "second.weight": "tanh", "third.weight": ""}


def test_gated_linear_units() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.up, self.down = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(functional.silu(self.gate(x)) * self.up(x))

    assert names(Gated()) == {"gate.weight": "silu", "up.weight": "", "down.weight": ""}


def parts(model: nn.Module, count: int, *inputs: Tensor) -> list[str]:
    """What follows each part of the first layer's output."""
    recording, follower = recorded(model, *inputs)
    chosen = [node for node in recording.nodes if operation(node) in ("getitem", "select", "slice")][:count]
    found = [follower.after(node) for node in chosen]
    assert {each.doubt for each in found} <= {""}
    return [each.activation.name if each.activation else "" for each in found]


def test_the_halves_of_a_fused_gate() -> None:
    def gated(x: Tensor) -> Tensor:
        value, gate = x.chunk(2, -1)
        return value * gate.sigmoid()

    assert parts(Net(gated, head_in=4), 2) == ["", "sigmoid"]
    assert names(Net(gated, head_in=4))["hidden.weight"] == "sigmoid"
    assert names(Net(functional.glu, head_in=4))["hidden.weight"] == "sigmoid"


class Attention(nn.Module):
    def __init__(self, by_hand: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.by_hand = nn.Linear(8, 24), nn.Linear(8, 8), by_hand
        self.register_buffer("mask", torch.ones(5, 5).tril())

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        angles = torch.arange(5)[:, None] / 10 ** torch.arange(8)
        q, k = (each * angles.cos() + torch.cat([-each[..., 4:], each[..., :4]], -1) * angles.sin() for each in (q, k))
        if not self.by_hand:
            return self.out(functional.scaled_dot_product_attention(q, k, v))
        scores = (q @ k.transpose(-1, -2) / math.sqrt(8)).masked_fill(self.mask == 0, -math.inf)
        return self.out(scores.softmax(-1) @ v)


@pytest.mark.parametrize("by_hand", [True, False])
def test_nothing_follows_queries_keys_and_values(by_hand: bool) -> None:
    inputs = torch.randn(2, 5, 8)
    assert names(Attention(by_hand), inputs) == {"qkv.weight": "", "out.weight": ""}
    assert parts(Attention(by_hand), 3, inputs) == ["", "", ""]


class HandmadeLstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer, self.head = nn.Linear(4, 16), nn.Linear(4, 16), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = cell = torch.zeros(3, 4)
        for step in range(2):
            entering, forgetting, new, leaving = (self.inner(x[:, step]) + self.outer(hidden)).chunk(4, 1)
            cell = forgetting.sigmoid() * cell + entering.sigmoid() * new.tanh()
            hidden = leaving.sigmoid() * cell.tanh()
        return self.head(hidden)


def test_each_gate_of_a_handmade_lstm_has_its_nonlinearity() -> None:
    inputs = torch.randn(3, 2, 4)
    recording, follower = recorded(HandmadeLstm(), inputs)
    gates = [node for node in recording.nodes if operation(node) == "getitem"][-4:]
    found = [follower.after(node).activation for node in gates]
    assert found == [activation(name) for name in ("sigmoid", "sigmoid", "tanh", "sigmoid")]
    assert names(HandmadeLstm(), inputs)["outer.weight"] == "sigmoid"


@pytest.mark.parametrize(("kind", "expected"), [(nn.LSTM, "sigmoid"), (nn.GRU, "sigmoid"), (nn.RNN, "tanh")])
def test_torchs_recurrent_layers(kind: Any, expected: str) -> None:
    found = names(kind(4, 4, 2), torch.randn(3, 1, 4))
    assert found["weight_ih_l0"] == found["weight_hh_l0"] == expected


def test_nothing_follows_the_heads() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.actor, self.critic = nn.Linear(4, 8), nn.Linear(8, 4), nn.Linear(8, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.body(x).tanh()
            return self.actor(x).softmax(-1), self.critic(x).tanh()

    assert names(Two()) == {"body.weight": "tanh", "actor.weight": "", "critic.weight": ""}


def test_entries_that_are_replaced_in_place() -> None:
    def replaced(x: Tensor) -> Tensor:
        x[x < 0] = 0
        return x

    assert names(Net(replaced))["hidden.weight"] == "relu"
