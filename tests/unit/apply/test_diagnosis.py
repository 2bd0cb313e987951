"""The planted illnesses are found with the right name and layer; a model is left as it was; bad input is one line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import initsuite
from initsuite.activations import activation
from initsuite.data.torchvision_import import import_torchvision
from initsuite.errors import ConfigError, InitsuiteError
from initsuite.init import Constant, Normal, PerTensor, VarianceScaling
from initsuite.models.mlp import Mlp
from initsuite.models.transformer import Transformer

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(64, 64, generator=GENERATOR), torch.randint(0, 10, (64,), generator=GENERATOR)
IDS = torch.randint(0, 65, (8, 16), generator=GENERATOR)


def mlp(depth: int = 8, width: int = 64, phi: str = "relu") -> nn.Module:
    return Mlp((64,), 10, activation(phi), depth=depth, width=width)


def found(model: Any, example: Any = (X, Y), **options: Any) -> list[tuple[str, str]]:
    """The illnesses, each with the layer where it begins."""
    table = initsuite.diagnose(model, example, **{"draws": 4, **options}).verdicts
    return [(f"{row.verdict} {row.direction}".strip(), row.layer) for row in table.itertuples()]


class Attention(nn.Module):
    """One block of attention whose logits are scaled, written with torch's function or by hand."""

    def __init__(self, factor: float, by_hand: bool) -> None:
        super().__init__()
        self.norm, self.qkv, self.out, self.head = (
            nn.LayerNorm(64),
            nn.Linear(64, 192),
            nn.Linear(64, 64),
            nn.Linear(64, 10),
        )
        self.factor, self.by_hand = factor, by_hand
        nn.init.normal_(self.qkv.weight, std=64**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each.unflatten(-1, (4, 16)).transpose(1, 2) for each in self.qkv(self.norm(x)).chunk(3, -1))
        q = q * self.factor
        mixed = (q @ k.mT / 4).softmax(-1) @ v if self.by_hand else functional.scaled_dot_product_attention(q, k, v)
        return self.head((x + self.out(mixed.transpose(1, 2).flatten(2))).mean(1))


class Tied(nn.Module):
    """A table of tokens, N(0, 1), that is the head as well."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm, self.hidden = nn.Embedding(65, 64), nn.LayerNorm(64), nn.Linear(64, 64)
        self.head = nn.Linear(64, 65, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        h = self.table(ids)
        return self.head(self.norm(h + torch.relu(self.hidden(h))))


def test_zero_and_constant_weights_are_symmetric_from_the_first_layer() -> None:
    assert found(mlp(), init="zero") == [("symmetric", "layers.linear1")]
    assert found(mlp(), init=Constant(0.1))[0] == ("symmetric", "layers.linear1")


def test_small_weights_make_a_deep_network_vanish_both_ways() -> None:
    diagnosis = initsuite.diagnose(mlp(30), (X, Y), init=Normal(0.0, 0.01), draws=4)
    forward, backward = (diagnosis.verdicts.iloc[number] for number in range(2))
    assert (forward["verdict"], forward["direction"], forward["layer"]) == ("vanishing", "forward", "layers.linear1")
    assert (backward["verdict"], backward["direction"], backward["layer"]) == (
        "vanishing",
        "backward",
        "layers.linear30",
    )
    # theory: 64 x 0.01^2 / 2 a layer
    assert forward["rate"] == pytest.approx(0.0032, rel=0.2)
    assert forward["float16"] < forward["float32"] == forward["bfloat16"] < 40


def test_large_weights_explode_from_the_first_layer() -> None:
    illnesses = found(mlp(4, 512), init=Normal(0.0, 1.0))
    assert illnesses[0] == ("exploding forward", "layers.linear1")
    assert ("exploding backward", "layers.linear4") in illnesses


def test_a_bias_of_minus_10_kills_a_layer() -> None:
    everywhere = PerTensor(weight=VarianceScaling(gain=2**0.5), bias=Constant(-10.0))
    assert found(mlp(), init=everywhere)[0] == ("dead", "layers.linear1")
    model = mlp()
    initsuite.initialize_(model, "he")
    nn.init.constant_(model.get_parameter("layers.linear4.bias"), -10.0)
    assert found(model) == [("dead", "layers.linear4")]


def test_a_sigmoid_of_gain_10_is_saturated() -> None:
    assert found(mlp(4, phi="sigmoid"), init=VarianceScaling(gain=10.0))[0] == ("saturated", "layers.linear1")


def test_one_bad_layer_in_a_healthy_resnet() -> None:
    torch.manual_seed(1)
    model = import_torchvision().models.resnet18()
    images = torch.randn(4, 3, 64, 64, generator=GENERATOR)
    assert found(model, images) == [("healthy", "")]
    nn.init.constant_(model.layer3[0].bn1.bias, -10.0)
    assert found(model, images) == [("dead", "layer3.0.conv1")]
    nn.init.zeros_(model.layer3[0].bn1.bias)
    with torch.no_grad():
        model.layer3[0].conv1.weight.mul_(1e-4)
    assert found(model, images) == [("vanishing forward", "layer3.0.conv1")]
    nn.init.zeros_(model.layer3[0].conv1.weight)
    assert found(model, images) == [("symmetric", "layer3.0.conv1")]


def test_a_tied_table_of_n_0_1_makes_the_first_loss_large() -> None:
    diagnosis = initsuite.diagnose(Tied, (IDS, IDS.roll(1, 1)), draws=4)
    assert (diagnosis.verdicts["verdict"][0], diagnosis.verdicts["layer"][0]) == ("exploding", "table")
    whole = diagnosis.whole.set_index("measure")["value"]
    assert whole["uniform_loss"] == pytest.approx(np.log(65))
    assert whole["loss"] > 3 * whole["uniform_loss"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_attention_logits_times_30_are_one_hot_and_times_0_uniform(by_hand: bool) -> None:
    tokens = torch.randn(8, 16, 64, generator=GENERATOR), Y[:8]
    assert found(lambda: Attention(1.0, by_hand), tokens) == [("healthy", "")]
    assert found(lambda: Attention(30.0, by_hand), tokens) == [("attention one-hot", "qkv")]
    assert found(lambda: Attention(0.0, by_hand), tokens) == [("attention uniform", "qkv")]


def test_masks_of_attention_count() -> None:
    """Behind a mask that leaves each query one other key beside itself, uniform attention is that over two."""

    class Masked(Attention):
        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (each.unflatten(-1, (4, 16)).transpose(1, 2) for each in self.qkv(self.norm(x)).chunk(3, -1))
            mask = torch.eye(16, dtype=torch.bool) | torch.eye(16, dtype=torch.bool).roll(1, 0)
            mixed = functional.scaled_dot_product_attention(q * 0, k, v, attn_mask=mask)
            return self.head((x + self.out(mixed.transpose(1, 2).flatten(2))).mean(1))

    layers = initsuite.diagnose(Masked(0.0, False), torch.randn(8, 16, 64)).layers.set_index("layer")
    assert layers["attention_collision"]["qkv"] == pytest.approx(1 / 2)
    assert layers["attention_entropy"]["qkv"] == pytest.approx(1)


def test_torchs_biases_make_a_deep_relu_network_independent_of_its_input() -> None:
    assert found(lambda: mlp(30))[0] == ("input-independent", "layers.linear1")


def test_a_head_that_prefers_a_class_is_biased() -> None:
    model = mlp(2)
    initsuite.initialize_(model, "he")
    with torch.no_grad():
        model.get_parameter("layers.head.bias")[3] = 8.0
    assert ("biased to one class", "layers.head") in found(model)


def test_healthy_networks() -> None:
    assert found(mlp(), init="he") == [("healthy", "")]
    assert found(mlp(30, phi="tanh"), init="orthogonal_auto") == [("healthy", "")]
    decoder = Transformer((16,), 65, activation("gelu"), depth=4)
    assert found(decoder, (IDS, IDS), init="gpt2") == [("healthy", "")]


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(288, 10)
    )
    model[1].eval()
    calls: list[int] = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(4, 3, 8, 8)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    kept = images.clone()
    for init in (None, "he"):
        initsuite.diagnose(model, (images, Y[:4]), init=init, draws=2, jacobian=True, curvature=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert [module.training for module in model] == [True, False, True, True, True]
    assert not calls
    assert len(model[0]._forward_hooks) == 1
    assert torch.equal(images, kept)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()  # noqa: NPY002


def test_the_audit_says_what_the_law_promised_and_what_changed_since() -> None:
    model = mlp(2)
    initsuite.initialize_(model, "he")
    with torch.no_grad():
        model.get_parameter("layers.linear2.weight").mul_(2)
    audit = initsuite.diagnose(model, (X, Y)).audit.set_index("tensor")
    assert list(audit.index[audit["changed"]]) == ["layers.linear2.weight"]
    assert audit["expected_std"]["layers.linear1.weight"] == pytest.approx((2 / 64) ** 0.5)
    assert audit["realised_std"]["layers.linear1.weight"] == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    fresh = initsuite.diagnose(mlp(2), (X, Y)).audit
    assert fresh["expected_std"].isna().all()
    assert set(fresh["how"]) == {"as it is"}
    slopes = nn.Sequential(nn.Linear(64, 16), nn.PReLU(), nn.Linear(16, 10))
    drawn = initsuite.diagnose(slopes, (X, Y), init="he", draws=1).audit.set_index("tensor")
    assert drawn["how"].to_dict()["1.weight"] == "kept"  # no law touches it


def test_what_is_drawn_is_what_initialize_draws() -> None:
    model = mlp(2)
    initsuite.initialize_(model, "he", seed=0)
    own = initsuite.diagnose(model, (X, Y)).points
    drawn = initsuite.diagnose(mlp(2), (X, Y), init="he", draws=2).points
    assert own["q"].tolist() == drawn.loc[drawn["draw"] == 0, "q"].tolist()


def test_the_pass_is_that_of_the_model() -> None:
    """The loss and the gradients are those that the model itself has."""
    model = import_torchvision().models.resnet18()
    for parameter in model.parameters():
        assert parameter.grad is None
    images, labels = torch.randn(4, 3, 64, 64, generator=GENERATOR), torch.tensor([1, 2, 3, 4])
    diagnosis = initsuite.diagnose(model, (images, labels))
    model.train()
    loss = functional.cross_entropy(model(images), labels)
    loss.backward()
    assert diagnosis.whole.set_index("measure")["value"]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    ratios = diagnosis.layers.set_index("layer")["gradient_to_weight"]
    for name in ("conv1", "layer3.0.downsample.0", "fc"):
        weight = model.get_parameter(f"{name}.weight")
        assert weight.grad is not None
        assert ratios[name] == pytest.approx(float(weight.grad.norm() / weight.detach().norm()), rel=1e-3)


def test_the_tables_are_json_and_words() -> None:
    diagnosis = initsuite.diagnose(mlp(30), (X, Y), init="xavier", draws=2)
    read = json.loads(diagnosis.to_json())
    assert read["is_healthy"] is False
    assert read["verdicts"][0]["layer"] == "layers.linear1"
    assert len(read["layers"]) == 31
    assert len(read["points"]) == 62
    assert "Vanishing forward from `layers.linear1`" in str(diagnosis)
    assert "float16 after" in str(diagnosis)
    assert "<li>Vanishing" in diagnosis._repr_html_()


def test_assert_healthy_reads_like_a_remark() -> None:
    initsuite.assert_healthy(mlp(), (X, Y), init="he", draws=2)
    with pytest.raises(AssertionError, match=r"Mlp will be hard to train as it starts. Vanishing forward from"):
        initsuite.assert_healthy(mlp(30), (X, Y), init="xavier", draws=2)


class Returns(nn.Module):
    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.make = nn.Linear(64, 10), make

    def forward(self, x: Tensor) -> Any:
        return self.make(self.layer(x))


def test_one_of_several_outputs_is_picked() -> None:
    model = Returns(lambda y: {"scores": y, "features": y * 2})
    assert found(model, (X, Y), output="scores") == [("healthy", "")]
    with pytest.raises(ConfigError, match=r"returns 2 tensors: 'scores', 'features'.*output='scores'"):
        initsuite.diagnose(model, (X, Y))
    with pytest.raises(ConfigError, match=r"unknown `output`='logits'. Expected one of: 'scores', 'features'"):
        initsuite.diagnose(model, (X, Y), output="logits")
    with pytest.raises(ConfigError, match="Returns returns no tensor of real numbers"):
        initsuite.diagnose(Returns(lambda y: y.argmax(-1)), X)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (X[:0], r"bad value `example`=\(0, 64\). Expected at least one example"),
        ((X, Y[:9]), "unequal length: 9 targets for 64 examples"),
        (X.masked_fill(X > 2, torch.nan), "numbers are NaN or infinite"),
        (X[:, :5], r"Mlp does not take the example, \[64, 5\] float32: RuntimeError: mat1 and mat2"),
        ((X, Y + 5), "labels out of range: `1[0-4]`.* from 0 to 9 for 10 outputs"),
        ((X, torch.zeros(64, 3)), r"targets of shape \(64, 3\) do not fit outputs of shape \(64, 10\)"),
        ("digits", "bad value `example`='str'. Expected a tensor"),
        ((X.long(), Y), "the forward pass fails at .*: RuntimeError: .*. Expected inputs that the model computes with"),
        ((X, ["a"] * 64), "an array of <U1"),
        (({"a": 1},), "Expected a batch with a tensor in it"),
    ],
)
def test_a_bad_batch_is_one_clear_line(example: Any, message: str) -> None:
    with pytest.raises(InitsuiteError, match=message) as raised:
        initsuite.diagnose(mlp(2), example)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (3, {}, "bad value `model`='int'. Expected a torch.nn.Module"),
        (nn.Linear, {}, "`model`='Linear'. Expected a class or function that needs no arguments"),
        (lambda: 3, {}, "a function that returns int"),
        (mlp(2), {"draws": 0}, "`draws`=0. Expected a whole number from 1"),
        (mlp(2), {"lr": 0.0}, "`lr`=0.0. Expected a finite number above 0"),
        (mlp(2), {"init": "hee"}, "Did you mean `he`"),
        (mlp(2).to("meta"), {}, "parameters on the meta device"),
    ],
)
def test_a_bad_model_or_option_is_one_clear_line(model: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        initsuite.diagnose(model, (X, Y), **options)


def test_lists_of_numbers_are_an_example() -> None:
    one, other = (initsuite.diagnose(mlp(2), each).whole for each in ((X, Y), (X.tolist(), Y.tolist())))
    assert list(one["measure"]) == list(other["measure"])


def test_curvature_needs_targets() -> None:
    with pytest.raises(ConfigError, match=r"no targets, so that no curvature is known"):
        initsuite.diagnose(mlp(2), X, curvature=True)
