"""Which nonlinearity follows a layer, and which layer is the head: traced, by order, or given."""

import operator
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import ActivationLayer, activation
from initsuite.errors import ConfigError
from initsuite.init.theory.gains import forward_gain
from initsuite.models import Rnn
from initsuite.models.describe.describe import describe, recorded
from initsuite.spec import Activation, ParamSpec

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")


class Net(nn.Module):
    """Two layers and a given function between them."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        # not registered in the order of use
        self.head, self.hidden = nn.Linear(4, 2), nn.Linear(4, 4)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.between(self.hidden(x)))


def after_hidden(model: nn.Module, **options: Any) -> Activation | None:
    return {spec.name: spec for spec in describe(model, **options)}["hidden.weight"].nonlinearity


CALLED = [
    (torch.relu, activation("relu")),
    (functional.relu, activation("relu")),
    (torch.relu_, activation("relu")),
    (lambda x: x.relu(), activation("relu")),
    (lambda x: x.tanh_(), activation("tanh")),
    (torch.tanh, activation("tanh")),
    (functional.gelu, activation("gelu")),
    (functional.silu, activation("silu")),
    (lambda x: functional.leaky_relu(x, 0.3), activation("leaky_relu", negative_slope=0.3)),
    (lambda x: functional.leaky_relu(x, negative_slope=0.3), activation("leaky_relu", negative_slope=0.3)),
    (lambda x: functional.elu(x, alpha=0.5), activation("elu", alpha=0.5)),
    (lambda x: functional.hardtanh(x, -2.0, 2.0), activation("hardtanh", min_val=-2.0, max_val=2.0)),
    (lambda x: torch.sin(30 * x), activation("sine", omega=30.0)),
    (torch.sin, activation("sine", omega=1.0)),
    (lambda x: x * torch.sigmoid(x), activation("silu")),
    (lambda x: (x * 1).sigmoid(), activation("sigmoid")),
    (lambda x: functional.dropout(functional.layer_norm(x, (4,)).reshape(-1, 4), 0.1).tanh(), activation("tanh")),
    (lambda x: functional.linear(x, torch.eye(4)).relu(), activation("relu")),
    (lambda x: x, None),
    (lambda x: (x @ x.T).softmax(-1) @ x.relu(), activation("relu")),
    (lambda x: functional.relu((x @ x.T) @ x), None),
]


@pytest.mark.parametrize(("between", "expected"), CALLED)
def test_functions_are_seen_as_called(between: Callable[[Tensor], Tensor], expected: Activation | None) -> None:
    model = Net(between)
    assert after_hidden(model) == expected
    assert {spec.name for spec in describe(model) if spec.is_head} == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("between", "name"),
    [
        (functional.hardswish, "hardswish"),
        (functional.hardsigmoid, "hardsigmoid"),
        (functional.logsigmoid, "logsigmoid"),
        (functional.celu, "celu"),
        (lambda x: functional.gelu(x, approximate="tanh"), "gelu_tanh"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_torchs_other_functions_are_taken_as_they_are(between: Callable[[Tensor], Tensor], name: str) -> None:
    found = after_hidden(Net(between))
    assert found is not None
    assert found.name == name
    assert forward_gain(found) == pytest.approx(forward_gain(Activation(name, between)))


@pytest.mark.parametrize(
    "module",
    [nn.ReLU(), nn.ELU(0.5), nn.Hardtanh(-2, 2), nn.Softplus(2.0), nn.Hardswish(), nn.GELU("tanh"), nn.LogSigmoid()],
    ids=str,
)
def test_a_module_and_its_function_are_the_same_nonlinearity(module: nn.Module) -> None:
    """Traced as a module and, through a class of our own, as what its forward calls."""
    inner = type("Own", (nn.Module,), {"forward": lambda self, x: type(module).forward(module, x)})()
    assert after_hidden(Net(module)) == after_hidden(Net(inner))
    assert after_hidden(Net(module)) is not None


def test_a_users_function_of_the_same_name_is_not_torchs() -> None:
    def relu(x: Tensor) -> Tensor:
        return x.tanh()

    assert after_hidden(Net(relu)) == activation("tanh")


class Particular(Net):
    """A forward that takes what cannot be guessed."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) != 7:
            raise ValueError
        return super().forward(x)


@pytest.mark.filterwarnings("ignore:describe. no forward pass")
def test_where_no_pass_is_recorded_the_order_of_the_modules_counts() -> None:
    model = Particular(nn.Tanh())
    assert recorded(model) is None
    assert after_hidden(model) is None  # the last layer that is registered counts as the head
    assert after_hidden(model, example=torch.zeros(7, 4)) == activation("tanh")
    layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    unrecorded = type("Unrecorded", (nn.Sequential,), {"forward": Particular.forward})(*layers)
    by_order = [replace(spec, described_by="order") for spec in describe(layers)]
    assert describe(unrecorded) == by_order


def test_a_trace_leaves_no_trace() -> None:
    calls: list[object] = []

    class Storing(Net):
        def forward(self, x: Tensor) -> Tensor:
            self.last = self.hidden(x)
            self.count += torch.rand(1) + 1
            return self.head(self.last.relu())

    model = Storing(torch.relu)
    model.register_buffer("count", torch.zeros(1))
    model.hidden.register_forward_hook(lambda *_: calls.append(1))
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    before = torch.get_rng_state()
    assert after_hidden(model) == activation("relu")
    assert calls == []
    assert not hasattr(model, "last")
    assert torch.equal(model.get_buffer("count"), torch.zeros(1))
    assert torch.equal(before, torch.get_rng_state())
    assert len(model._forward_pre_hooks) == len(model.hidden._forward_hooks) == 1


def test_optional_arguments_take_their_defaults() -> None:
    class Optional(Net):
        def forward(self, x: Tensor, mask: Tensor | None = None, flip: bool = False) -> Tensor:
            if mask is not None or flip:
                raise ValueError
            return super().forward(x)

    model = Optional(torch.tanh)
    assert recorded(model) is not None
    assert after_hidden(model) == activation("tanh")


def test_weights_that_are_used_as_arguments_are_layers_too() -> None:
    class Functional(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(functional.linear(x, self.hidden.weight, self.hidden.bias).relu())

    assert after_hidden(Functional(torch.tanh)) == activation("relu")


def test_a_weight_that_forward_changes_first_is_kept_with_the_reason() -> None:
    class Centred(Net):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.hidden.weight - self.hidden.weight.mean()
            return self.head(functional.linear(x, weight, self.hidden.bias).relu())

    with pytest.warns(UserWarning, match=r"`hidden.weight`.*`mean` changes it before it is used"):
        names = [spec.name for spec in describe(Centred(torch.tanh))]
    assert sorted(names) == ["head.bias", "head.weight", "hidden.bias"]


@pytest.mark.parametrize("kind", [nn.TransformerEncoderLayer, nn.TransformerDecoderLayer])
@pytest.mark.parametrize(
    ("given", "expected"),
    [("gelu", "gelu"), (functional.silu, "silu"), (nn.Tanh(), "tanh"), (ActivationLayer(activation("elu")), "elu")],
    ids=["name", "function", "module", "ours"],
)
def test_the_activation_of_a_transformer_layer_follows_its_first_linear(kind: Any, given: Any, expected: str) -> None:
    specs = {spec.name: spec for spec in describe(kind(8, 2, 16, activation=given))}
    found = {name: spec.nonlinearity for name, spec in specs.items() if spec.nonlinearity is not None}
    assert found == dict.fromkeys(("linear1.weight", "linear1.bias"), activation(expected))


def test_transformers_inside_of_a_traced_model_are_read_by_type() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu")
    specs = {spec.name: spec for spec in describe(nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Linear(8, 3)))}
    assert specs["0.layers.1.linear1.weight"].nonlinearity == activation("gelu")
    assert specs["1.weight"].is_head


# ---- the head -------------------------------------------------------------------------------------------------------


def heads(model: nn.Module) -> list[str]:
    return [spec.name for spec in describe(model) if spec.is_head and spec.role == "weight"]


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value, self.body, self.policy = nn.Linear(4, 1), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.body(x).tanh()
        return {"policy": self.policy(hidden).softmax(-1), "value": self.value(hidden)}


def test_every_output_has_its_head() -> None:
    assert heads(TwoHeads()) == ["value.weight", "policy.weight"]


def test_models_without_a_head() -> None:
    for model in (
        nn.LSTM(3, 4),
        nn.Transformer(8, 2, 1, 1, 16),
        nn.Sequential(nn.Conv1d(3, 8, 1), nn.TransformerEncoderLayer(8, 2, 16)),
        nn.Sequential(nn.Embedding(4, 3)),
    ):
        assert heads(model) == []


# ---- what the user says ---------------------------------------------------------------------------------------------


def given(nonlinearity: Any) -> dict[str, str | None]:
    model = nn.Sequential(
        nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2)
    )
    specs: list[ParamSpec] = describe(model, nonlinearity=nonlinearity)
    return {spec.name: spec.nonlinearity and spec.nonlinearity.name for spec in specs if not spec.name.endswith("bias")}


FOUND = {"0.weight": None, "1.weight": "relu", "2.weight": "relu", "4.weight": None, "5.weight": None}


@pytest.mark.parametrize("value", ["tanh", activation("tanh")], ids=["name", "activation"])
def test_one_nonlinearity_for_all_layers_but_embeddings_and_the_head(value: str | Activation) -> None:
    assert given(None) == FOUND
    assert given(value) == {**FOUND, "1.weight": "tanh", "2.weight": "tanh", "4.weight": "tanh"}
    assert set(given("identity").values()) == {None}


def test_nonlinearities_by_name() -> None:
    mine = Activation("mine", torch.cos)
    assert given({"1": mine}) == {**FOUND, "1.weight": "mine", "2.weight": "mine"}
    assert given({"1": mine, "2": "tanh", "5.weight": "gelu"}) == {
        **FOUND,
        "1.weight": "mine",
        "2.weight": "tanh",
        "5.weight": "gelu",
    }
    assert given({"1": None}) == {**FOUND, "1.weight": None, "2.weight": None}


def test_the_longest_name_counts() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), nn.Linear(4, 2))
    specs = describe(model, nonlinearity={"0": "relu", "0.1": "gelu", "0.1.bias": "tanh"})
    found = [spec.nonlinearity and spec.nonlinearity.name for spec in specs]
    assert found == ["relu", "relu", "gelu", "tanh", None, None]


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"7": "relu"}, r"`nonlinearity`='7'. Expected the name of a parameter, or of a module"),
        ({"3": "relu"}, r"`nonlinearity`='3'.*See model.named_parameters"),
        ("rleu", "Did you mean `relu`"),
        ({"1": "rleu"}, "Did you mean `relu`"),
        (torch.relu, "Expected a name of initsuite.activations.FUNCTIONS, an Activation, or a mapping"),
        (operator.add, "an Activation"),
    ],
    ids=["no module", "no parameters", "name", "name in mapping", "function", "builtin"],
)
def test_a_nonlinearity_that_is_not_there_is_refused(value: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        given(value)


class _Particular(nn.Module):
    """What takes only inputs that cannot be guessed, with a nonlinearity that no module shows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        if len(inputs) != 7:
            raise ValueError
        return self.second(functional.relu(self.first(inputs)))


def test_a_model_that_cannot_be_recorded_and_shows_nothing_is_named_at_the_users_line() -> None:
    with pytest.warns(
        UserWarning, match="no forward pass of _Particular could be recorded.*nonlinearity='relu'"
    ) as caught:
        assert describe(_Particular())[0].nonlinearity is None
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = describe(_Particular(), nonlinearity="relu")[0].nonlinearity
    assert found is not None
    assert found.name == "relu"


def test_recurrent_models_of_ours_with_the_identity_need_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        describe(Rnn((5, 3), 2, activation("identity"), width=4))
