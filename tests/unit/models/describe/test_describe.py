"""The facts about parameters, and skeletons without values."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import ActivationLayer, activation
from initsuite.errors import ConfigError, InitsuiteError
from initsuite.init.theory.gains import forward_gain
from initsuite.models.describe.describe import describe, unplaced
from initsuite.models.skeleton import skeleton
from initsuite.spec import Activation, ParamSpec, Role

RELU = activation("relu")


def by_name(*modules: nn.Module) -> dict[str, ParamSpec]:
    return {spec.name: spec for spec in describe(nn.Sequential(*modules))}


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (nn.Linear(64, 256), (64,)),
        (nn.Linear(256, 64), (256,)),
        (nn.Conv1d(8, 12, 5, groups=2, padding=2), (8, 11)),
        (nn.Conv2d(8, 12, 3, groups=4, padding=1), (8, 7, 7)),
        (nn.Conv2d(6, 6, (3, 5), groups=6, padding=(1, 2)), (6, 9, 9)),
        (nn.Conv3d(2, 4, 3, padding=1), (2, 5, 5, 5)),
        (nn.ConvTranspose1d(8, 12, 5, groups=2, padding=2), (8, 11)),
        (nn.ConvTranspose2d(8, 12, 3, groups=4, padding=1), (8, 7, 7)),
        (nn.ConvTranspose3d(2, 4, 3, padding=1), (2, 5, 5, 5)),
    ],
    ids=str,
)
def test_fans_are_the_connections_that_gradients_see(layer: Any, inputs: tuple[int, ...]) -> None:
    """With all weights 1, d output / d input is 1 on each connection: counted in the middle, away from the border."""
    nn.init.ones_(layer.weight)
    jacobian = torch.func.jacrev(layer)(torch.zeros(inputs))
    outputs = jacobian.shape[: jacobian.ndim - len(inputs)]
    middle_output = (0, *(size // 2 for size in outputs[1:]))
    middle_input = (0, *(size // 2 for size in inputs[1:]))
    spec = by_name(layer)["0.weight"]
    assert spec.fan_in == int(jacobian[middle_output].sum())
    assert spec.fan_out == int(jacobian[(..., *middle_input)].sum())


def test_every_fact_of_a_small_network() -> None:
    specs = describe(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)))
    conv = {"fan_in": 27, "fan_out": 72, "nonlinearity": RELU, "layer": 0, "num_layers": 2}
    head = {"fan_in": 8, "fan_out": 2, "nonlinearity": None, "layer": 1, "num_layers": 2, "is_head": True}
    assert specs == [
        ParamSpec("0.weight", (8, 3, 3, 3), Role.WEIGHT, **conv),
        ParamSpec("0.bias", (8,), Role.BIAS, **conv),
        ParamSpec("1.weight", (8,), Role.NORM_SCALE, **conv),
        ParamSpec("1.bias", (8,), Role.NORM_SHIFT, **conv),
        ParamSpec("4.weight", (2, 8), Role.WEIGHT, **head),
        ParamSpec("4.bias", (2,), Role.BIAS, **head),
    ]


def test_an_embedding_sums_over_one_row() -> None:
    specs = by_name(nn.Embedding(100, 16), nn.LayerNorm(16), nn.Linear(16, 100, bias=False))
    assert (specs["0.weight"].role, specs["0.weight"].fan_in, specs["0.weight"].fan_out) == (Role.EMBEDDING, 1, 16)
    assert specs["1.weight"].role is Role.NORM_SCALE
    assert specs["2.weight"].is_head
    assert not specs["0.weight"].is_head


def test_a_norm_before_all_layers_belongs_to_the_first() -> None:
    specs = by_name(nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    assert {specs[name].layer for name in ("0.weight", "1.bias", "2.weight")} == {0}
    assert specs["0.weight"].fan_in == 8


def test_groups_are_blocks() -> None:
    specs = by_name(nn.Conv2d(8, 12, 3, groups=4), nn.Conv2d(12, 2, 1))
    assert specs["0.weight"].blocks == (3, 3, 3, 3)
    assert specs["0.bias"].blocks == specs["1.weight"].blocks == ()


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (ActivationLayer(activation("leaky_relu", negative_slope=0.3)), "leaky_relu"),
        (nn.ReLU(), "relu"),
        (nn.LeakyReLU(0.3), "leaky_relu"),
        (nn.Tanh(), "tanh"),
        (nn.Sigmoid(), "sigmoid"),
        (nn.GELU(), "gelu"),
    ],
    ids=str,
)
def test_known_activations_are_recognised(module: nn.Module, expected: str) -> None:
    options = {"negative_slope": 0.3} if expected == "leaky_relu" else {}
    specs = by_name(nn.Linear(4, 4), module, nn.Linear(4, 4))
    assert specs["0.weight"].nonlinearity == specs["0.bias"].nonlinearity == activation(expected, **options)


def test_torchs_other_activations_are_taken_as_functions() -> None:
    for module, name in ((nn.ELU(0.5), "elu"), (nn.SiLU(), "silu"), (nn.GELU("tanh"), "gelu_tanh")):
        found = by_name(nn.Linear(4, 4), module, nn.Linear(4, 4))["0.weight"].nonlinearity
        assert found is not None
        assert found.name == name
        assert forward_gain(found) == pytest.approx(forward_gain(Activation(name, module)))
    assert by_name(nn.Linear(4, 4), nn.ELU(0.5), nn.Linear(4, 4))["0.weight"].nonlinearity == Activation(
        "elu", functional.elu, (("alpha", 0.5),)
    )


@pytest.mark.parametrize(
    "between",
    [
        [],
        [nn.Dropout(), nn.Flatten()],
        [nn.Identity()],
        [nn.Softmax(-1)],
        [ActivationLayer(activation("identity"))],
    ],
    ids=str,
)
def test_where_nothing_follows_the_nonlinearity_is_none(between: list[nn.Module]) -> None:
    specs = by_name(nn.Linear(4, 4), *between, nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    assert specs["0.weight"].nonlinearity is None


def test_what_stands_between_is_passed_over() -> None:
    between = [nn.BatchNorm2d(4), nn.Identity(), nn.MaxPool2d(2), nn.Dropout()]
    specs = by_name(nn.Conv2d(3, 4, 3), *between, nn.Tanh(), nn.ReLU(), nn.Flatten(), nn.Linear(4, 4))
    assert specs["0.weight"].nonlinearity == activation("tanh")


def test_a_shared_activation_is_seen_wherever_it_follows() -> None:
    relu = nn.ReLU()
    specs = by_name(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 4))
    assert specs["0.weight"].nonlinearity == specs["2.weight"].nonlinearity == RELU


def test_after_the_head_comes_nothing() -> None:
    assert by_name(nn.Linear(4, 1), nn.Sigmoid())["0.weight"].nonlinearity is None


def test_a_layer_used_twice_is_described_once() -> None:
    layer = nn.Linear(4, 4)
    specs = describe(nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(4, 2)))
    assert [spec.name for spec in specs] == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert {spec.num_layers for spec in specs} == {2}


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.factor = nn.Parameter(torch.ones(3))


def test_a_parameter_that_cannot_be_placed_is_left_out_and_named_once() -> None:
    model = nn.Sequential(nn.Linear(3, 4), Scaled(), nn.ReLU(), Scaled(), nn.Linear(3, 2))
    with pytest.warns(UserWarning, match=r"`1.factor` \(3,\) of a Scaled, `3.factor`.*keeps its own") as caught:
        specs = describe(model)
    assert len(caught) == 1
    left = {name for name, _ in model.named_parameters()} - {spec.name for spec in specs}
    assert left == set(unplaced(model)) == {"1.factor", "3.factor"}


def test_strictly_a_parameter_that_cannot_be_placed_is_an_error() -> None:
    expected = (
        r"cannot place parameter `factor` \(3,\) of a Scaled: .* Expected weights, biases.* give inputs as example="
    )
    with pytest.raises(InitsuiteError, match=expected):
        describe(Scaled(), strict=True)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", [nn.PReLU, lambda: ActivationLayer(activation("prelu"))], ids=["torch", "ours"])
def test_the_slope_of_a_prelu_is_the_models_own(make: Callable[[], nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), make(), nn.Linear(2, 2))
    specs = describe(model, strict=True)
    assert unplaced(model) == ["1.weight"]
    assert specs[0].nonlinearity == activation("prelu", negative_slope=0.25)


def test_an_empty_placeholder_is_refused() -> None:
    layer = nn.Linear(3, 2)
    layer.weight = nn.Parameter(torch.empty(0))
    with pytest.raises(InitsuiteError, match=r"`0.weight` of shape \(0,\) has no entries.*before the model is sharded"):
        describe(nn.Sequential(layer))


def test_a_lazy_layer_needs_a_forward_pass() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(InitsuiteError, match=r"`0.weight` has no shape yet.*Run one forward pass first"):
        describe(model)
    model(torch.zeros(1, 5))
    assert describe(model)[0].fan_in == 5


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(InitsuiteError, match=r"the model has no layer with weights"):
        describe(nn.Sequential(nn.LayerNorm(3)))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10)
        self.head.weight = self.embedding.weight
        self.head.bias.requires_grad_(False)
        self.register_buffer("mask", torch.rand(3))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embedding(tokens))


def test_a_skeleton_has_shapes_but_no_values() -> None:
    model = skeleton(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    assert all(parameter.is_meta for parameter in model.parameters())
    assert [tuple(parameter.shape) for parameter in model.parameters()] == [(4, 3, 3, 3), (4,), (4,), (4,)]
    assert torch.equal(dict(model.named_buffers())["1.running_var"], torch.ones(4))


def test_a_skeleton_keeps_ties_and_frozen_parameters() -> None:
    model = skeleton(Tied)
    assert isinstance(model, Tied)
    assert model.head.weight is model.embedding.weight
    weight, bias = describe(model)
    assert (weight.name, bias.name) == ("embedding.weight", "head.bias")
    # both are of the head: the tied matrix makes the outputs
    assert (weight.role, weight.fan_in, weight.fan_out, weight.is_head) == (Role.WEIGHT, 4, 10, True)
    assert weight.num_layers == 1
    assert (bias.fan_in, bias.is_head) == (4, True)
    assert model.head.weight.requires_grad
    assert not model.head.bias.requires_grad


def test_a_skeleton_leaves_the_random_state_and_repeats_random_buffers() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = skeleton(Tied)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(dict(first.named_buffers())["mask"], dict(skeleton(Tied).named_buffers())["mask"])


def test_a_skeleton_of_something_else_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"bad model of type int. Expected a torch.nn.Module"):
        skeleton(lambda: 3)  # type: ignore[arg-type, return-value]
