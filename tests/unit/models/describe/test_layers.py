"""Roles, fans and blocks of each type of layer."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.init import _calculate_fan_in_and_fan_out  # type: ignore[attr-defined]

from initsuite.activations import activation
from initsuite.models.attention import PartEmbedding
from initsuite.models.describe.describe import describe, examine, unplaced
from initsuite.models.describe.graph import reading
from initsuite.models.describe.graph.matrices import placed
from initsuite.models.recurrent import GatedLinear
from initsuite.spec import ParamSpec, Role

LSTM_GATES = ("input_gate", "forget_gate", "cell", "output_gate")
GRU_GATES = ("reset_gate", "update_gate", "new")


def specs_of(model: nn.Module) -> dict[str, ParamSpec]:
    return {spec.name: spec for spec in describe(model, strict=True)}


def fans(spec: ParamSpec) -> tuple[int, int]:
    return spec.fan_in, spec.fan_out


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(64, 256),
        nn.Conv1d(3, 5, 7),
        nn.Conv2d(6, 8, (3, 5), stride=2),
        nn.Conv3d(2, 4, 3),
        nn.Bilinear(5, 3, 4),
    ],
    ids=str,
)
def test_fans_of_plain_layers_are_torchs(layer: Any) -> None:
    assert fans(specs_of(layer)["weight"]) == _calculate_fan_in_and_fan_out(layer.weight)


def test_fans_of_a_transposed_convolution_are_not_torchs() -> None:
    layer = nn.ConvTranspose2d(4, 6, 3)
    spec = specs_of(layer)["weight"]
    assert fans(spec) == (4 * 9, 6 * 9) == _calculate_fan_in_and_fan_out(layer.weight)[::-1]
    assert spec.is_transposed
    assert spec.shape == (4, 6, 3, 3)
    assert not specs_of(layer)["bias"].is_transposed


def test_groups_of_a_transposed_convolution_are_blocks_of_its_inputs() -> None:
    spec = specs_of(nn.ConvTranspose1d(8, 12, 5, groups=4))["weight"]
    assert (fans(spec), spec.blocks) == ((10, 15), (2, 2, 2, 2))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_a_bilinear_layer_sums_over_products() -> None:
    """With all weights 1 and the second input 1: derivatives by the first input, counted."""
    layer = nn.Bilinear(5, 3, 4)
    nn.init.ones_(layer.weight)
    jacobian: torch.Tensor = torch.func.jacrev(layer)(torch.zeros(5), torch.ones(3))  # type: ignore[assignment]
    assert fans(specs_of(layer)["weight"]) == (int(jacobian[0].sum()), int(jacobian[:, 0].sum()))


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_embeddings(kind: Any) -> None:
    spec = specs_of(nn.ModuleList([kind(10, 4, padding_idx=0), nn.Linear(4, 2)]))["0.weight"]
    assert (spec.role, fans(spec), spec.parts) == (Role.EMBEDDING, (1, 4), ())


def test_modules_may_say_themselves_what_they_are_for() -> None:
    gates = GatedLinear(5, 6, parts=GRU_GATES, is_recurrent=True)
    specs = specs_of(nn.ModuleList([PartEmbedding(3, 5, "position"), gates, nn.Linear(2, 2)]))
    assert specs["0.weight"].parts == ("position",)
    weight, bias = specs["1.weight"], specs["1.bias"]
    assert (weight.role, fans(weight)) == (Role.RECURRENT, (5, 2))
    assert weight.blocks == bias.blocks == (2, 2, 2)
    assert weight.parts == bias.parts == GRU_GATES


@pytest.mark.parametrize(
    ("kind", "parts"), [(nn.RNN, ()), (nn.LSTM, LSTM_GATES), (nn.GRU, GRU_GATES)], ids=["rnn", "lstm", "gru"]
)
def test_recurrent_layers(kind: Any, parts: tuple[str, ...]) -> None:
    specs = specs_of(kind(5, 7, num_layers=2, bidirectional=True))
    assert len(specs) == 16
    blocks = (7,) * len(parts)
    for number, suffix in enumerate(("l0", "l0_reverse", "l1", "l1_reverse")):
        inputs = 5 if number < 2 else 14
        for source, role, fan_in in (("ih", Role.WEIGHT, inputs), ("hh", Role.RECURRENT, 7)):
            weight, bias = specs[f"weight_{source}_{suffix}"], specs[f"bias_{source}_{suffix}"]
            assert (weight.role, bias.role) == (role, Role.BIAS)
            assert fans(weight) == fans(bias) == (fan_in, 7)
            assert weight.blocks == bias.blocks == blocks
            assert weight.parts == bias.parts == parts
            assert weight.layer == bias.layer == number
            assert weight.shape == (7 * max(1, len(parts)), fan_in)
    assert {spec.num_layers for spec in specs.values()} == {4}
    assert {spec.nonlinearity for spec in specs.values()} == {activation("tanh")}
    assert not any(spec.is_head for spec in specs.values())


def test_gates_stand_in_torchs_order() -> None:
    """The block called forget_gate is the one that forgets: with only its bias at -100, the cell is overwritten."""
    lstm = nn.LSTM(1, 3)
    bias = specs_of(lstm)["bias_ih_l0"]
    start = sum(bias.blocks[: bias.parts.index("forget_gate")])
    memory = (torch.zeros(1, 3), torch.full((1, 3), 50.0))
    for value in (-100.0, 100.0):
        with torch.no_grad():
            lstm.get_parameter("bias_ih_l0")[start : start + 3] = value
            cell = lstm(torch.zeros(1, 1), memory)[1][1]
        assert (cell > 49).all() if value > 0 else (cell.abs() <= 1).all()


def test_a_projected_lstm() -> None:
    specs = specs_of(nn.LSTM(5, 7, num_layers=2, proj_size=3))
    assert fans(specs["weight_hr_l0"]) == (7, 3)
    assert specs["weight_hr_l0"].role is Role.WEIGHT
    assert fans(specs["weight_hh_l0"]) == fans(specs["weight_ih_l1"]) == (3, 7)


@pytest.mark.parametrize(
    ("cell", "parts"),
    [(nn.RNNCell(5, 7, nonlinearity="relu"), ()), (nn.LSTMCell(5, 7), LSTM_GATES), (nn.GRUCell(5, 7), GRU_GATES)],
    ids=["rnn", "lstm", "gru"],
)
def test_cells(cell: nn.Module, parts: tuple[str, ...]) -> None:
    specs = specs_of(cell)
    assert {name: (spec.role, fans(spec)) for name, spec in specs.items()} == {
        "weight_ih": (Role.WEIGHT, (5, 7)),
        "weight_hh": (Role.RECURRENT, (7, 7)),
        "bias_ih": (Role.BIAS, (5, 7)),
        "bias_hh": (Role.BIAS, (7, 7)),
    }
    assert {spec.parts for spec in specs.values()} == {parts}
    assert {spec.layer for spec in specs.values()} == {0}


def test_the_nonlinearity_of_a_plain_recurrent_layer_is_its_own() -> None:
    model = nn.ModuleList([nn.RNN(5, 7, nonlinearity="relu"), nn.Tanh(), nn.Linear(7, 2)])
    assert {spec.nonlinearity for spec in describe(model) if not spec.is_head} == {activation("relu")}


def test_packed_attention_is_three_matrices() -> None:
    specs = specs_of(nn.MultiheadAttention(8, 2))
    weight, bias = specs["in_proj_weight"], specs["in_proj_bias"]
    assert (weight.role, weight.shape, fans(weight)) == (Role.WEIGHT, (24, 8), (8, 8))
    assert weight.blocks == bias.blocks == (8, 8, 8)
    assert weight.parts == bias.parts == ("query", "key", "value")
    out = specs["out_proj.weight"]
    assert (fans(out), out.parts, out.blocks, out.layer, out.num_layers) == ((8, 8), ("attention_out",), (), 1, 2)


def test_a_weight_that_a_batch_repeats_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Repeated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.w = nn.Linear(6, 8), nn.Parameter(torch.zeros(8, 24))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.bmm(self.first(x), self.w.expand(len(x), 8, 24))

    looked_at: list[torch.Size] = []
    monkeypatch.setattr(reading, "placed", lambda matrix: looked_at.append(matrix.shape) or placed(matrix))
    description = examine(Repeated(), example=torch.zeros(50, 3, 6))
    (weight,) = (spec for spec in description.specs if spec.name == "w")
    assert (weight.described_by, fans(weight), looked_at) == ("graph", (8, 24), [(24, 8)])


def test_separate_attention_inputs_have_their_own_fans() -> None:
    specs = specs_of(nn.MultiheadAttention(8, 2, kdim=5, vdim=6, add_bias_kv=True))
    found = {name: (fans(specs[f"{name}_proj_weight"]), specs[f"{name}_proj_weight"].parts) for name in "qkv"}
    assert found == {"q": ((8, 8), ("query",)), "k": ((5, 8), ("key",)), "v": ((6, 8), ("value",))}
    assert {(specs[name].role, specs[name].parts) for name in ("bias_k", "bias_v")} == {
        (Role.BIAS, ("key",)),
        (Role.BIAS, ("value",)),
    }
    assert {specs[f"{name}_proj_weight"].layer for name in "qkv"} == {0}


def test_a_fused_linear_layer_is_known_by_name_and_shape() -> None:
    attention = nn.ModuleDict({"qkv": nn.Linear(8, 24), "proj": nn.Linear(8, 8)})
    specs = specs_of(nn.ModuleDict({"attention": attention, "qkv": nn.Linear(8, 16), "proj": nn.Linear(16, 8)}))
    weight = specs["attention.qkv.weight"]
    assert (fans(weight), weight.blocks, weight.parts) == ((8, 8), (8, 8, 8), ("query", "key", "value"))
    assert fans(specs["qkv.weight"]) == (8, 16)
    assert specs["qkv.weight"].parts == ()


NORMS = [
    *(
        nn.BatchNorm1d(4),
        nn.BatchNorm2d(4),
        nn.BatchNorm3d(4),
        nn.SyncBatchNorm(4),
        nn.LayerNorm(4),
        nn.GroupNorm(2, 4),
    ),
    *(nn.InstanceNorm1d(4, affine=True), nn.InstanceNorm2d(4, affine=True), nn.InstanceNorm3d(4, affine=True)),
    nn.RMSNorm(4),
]


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_norms(norm: nn.Module) -> None:
    specs = specs_of(nn.Sequential(nn.Linear(3, 4), norm, nn.ReLU(), nn.Linear(4, 2)))
    roles = {name: spec.role for name, spec in specs.items() if name.startswith("1.")}
    assert roles == {
        f"1.{name}": Role(f"norm_{kind}")
        for name, kind in (("weight", "scale"), ("bias", "shift"))
        if getattr(norm, name, None) is not None
    }
    assert (fans(specs["1.weight"]), specs["1.weight"].nonlinearity) == ((3, 4), activation("relu"))


def test_a_norm_without_parameters_is_passed_over() -> None:
    between = (nn.LocalResponseNorm(2), nn.InstanceNorm1d(4))
    specs = specs_of(nn.Sequential(nn.Linear(3, 4), *between, nn.Tanh(), nn.Linear(4, 2)))
    assert specs["0.weight"].nonlinearity == activation("tanh")


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 6))
        self.patch = nn.Conv2d(3, 6, 2)
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 6))
        self.head = nn.Linear(6, 2)


def test_bare_embeddings_are_known_by_name() -> None:
    specs = specs_of(Tokens())
    for name, part in (("cls_token", "token"), ("pos_embed", "position")):
        spec = specs[name]
        assert (spec.role, fans(spec), spec.parts, spec.nonlinearity) == (Role.EMBEDDING, (1, 6), (part,), None)
        assert not spec.is_head
    assert specs["patch.weight"].layer == 0


class TwiceTied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.second.weight = self.third.weight = self.first.weight


def test_tied_weights_are_described_once_by_the_first_layer() -> None:
    specs = describe(TwiceTied())
    assert [(spec.name, spec.layer) for spec in specs] == [("first.weight", 0), ("first.bias", 0), ("second.bias", 1)]
    assert {spec.num_layers for spec in specs} == {2}


MODELS = [
    nn.Linear(3, 2),
    nn.ConvTranspose2d(3, 2, 3, groups=1),
    nn.LSTM(3, 4, num_layers=2, proj_size=2, bidirectional=True),
    nn.GRUCell(3, 4, bias=False),
    nn.MultiheadAttention(8, 2, bias=False, kdim=3, add_bias_kv=True),
    nn.Transformer(8, 2, 1, 1, 16),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_every_parameter_of_torchs_layers_is_placed_and_none_is_touched(model: nn.Module) -> None:
    before = copy.deepcopy(model.state_dict())
    specs = describe(model, strict=True)
    assert [spec.name for spec in specs] == [name for name, _ in model.named_parameters()]
    assert unplaced(model) == []
    for spec in specs:
        assert spec.shape == tuple(model.get_parameter(spec.name).shape)
        assert not spec.blocks or sum(spec.blocks) == spec.shape[0]
        assert spec.fan_in >= 1 <= spec.fan_out
        if spec.role in (Role.WEIGHT, Role.RECURRENT):  # each weight is one of fan_in inputs of an output unit
            units = spec.shape[1] if spec.is_transposed else spec.shape[0]
            assert math.prod(spec.shape) == units * spec.fan_in
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
