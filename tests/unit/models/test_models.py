"""Plain networks: shapes, labels, refusals; and what every file of conf/model holds."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from torch.nn import functional

from initsuite import models
from initsuite.activations import activation
from initsuite.engine.loop import train_stack
from initsuite.engine.stack import Member, start_of
from initsuite.errors import ConfigError
from initsuite.models import Cnn, Mlp, Rnn
from initsuite.models.describe.describe import describe
from initsuite.models.options import check_switch
from initsuite.spec import Role, Stage

RELU = activation("relu")
CONF = Path(__file__).parents[3] / "conf" / "model"
REORDERED = 1e-9
"""Relative and absolute: float64 sums in another order, 1e-16 a term, over hundreds of terms and a few layers."""
STACKED_RUN = 1e-9
"""Absolute, for losses of order 1 after a run in float64, at learning rates that train."""


def mlp(**options: Any) -> Mlp:
    return Mlp((1, 8, 8), 10, RELU, **options)


def cnn(**options: Any) -> Cnn:
    return Cnn((3, 9, 8), 10, RELU, **options)


def rnn(**options: Any) -> Rnn:
    return Rnn((3, 9, 8), 10, activation("tanh"), **options)


@pytest.mark.parametrize(
    ("model", "label"),
    [
        (mlp(), "mlp-2x64"),
        (mlp(depth=30, width=100), "mlp-30x100"),
        (mlp(widths=[128, 64]), "mlp-128-64"),
        (mlp(norm="batch"), "mlp-2x64-bn"),
        (mlp(norm="layer"), "mlp-2x64-ln"),
        (cnn(), "cnn-16-32"),
        (cnn(channels=[4], norm="batch"), "cnn-4-bn"),
        (cnn(kernel_size=5, stride=1), "cnn-16-32-k5-s1"),
        (cnn(stride=[1, 2]), "cnn-16-32-s1.2"),
        (cnn(channels=[4, 4, 8, 8], stride=1, pool=[2, 4], padding="circular"), "cnn-4-4-8-8-s1-circular-p2.4"),
        (rnn(), "rnn-1x64"),
        (rnn(depth=2, width=32), "rnn-2x32"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_models_have_a_label_and_outputs(model: Any, label: str) -> None:
    assert model.label == label
    shape = (1, 8, 8) if isinstance(model, Mlp) else (3, 9, 8)
    assert model(torch.zeros(5, *shape)).shape == (5, 10)


def test_an_mlp_has_the_layers_it_says() -> None:
    shapes = {spec.name: spec.shape for spec in describe(mlp(widths=[256, 32], norm="batch"))}
    assert shapes["layers.linear1.weight"] == (256, 64)
    assert shapes["layers.norm1.weight"] == (256,)
    assert shapes["layers.linear2.weight"] == (32, 256)
    assert shapes["layers.head.weight"] == (10, 32)
    specs = describe(mlp(depth=5))
    assert {spec.num_layers for spec in specs} == {6}
    assert [spec.name for spec in specs if spec.is_head] == ["layers.head.weight", "layers.head.bias"]
    assert {spec.nonlinearity for spec in specs if not spec.is_head} == {RELU}


def test_a_cnn_has_the_layers_it_says() -> None:
    shapes = {spec.name: spec.shape for spec in describe(cnn(channels=[4, 6]))}
    assert shapes["layers.conv1.weight"] == (4, 3, 3, 3)
    assert shapes["layers.conv2.weight"] == (6, 4, 3, 3)
    assert shapes["layers.head.weight"] == (10, 6 * 3 * 2)


def test_an_rnn_has_the_layers_it_says() -> None:
    specs = {spec.name: spec for spec in describe(rnn(depth=2, width=16))}
    expected = {  # (outputs, inputs), the order of use; images are read row by row: 3 channels x 8 pixels at a time
        "layers.input1.weight": (16, 24),
        "layers.recurrent1.weight": (16, 16),
        "layers.input2.weight": (16, 16),
        "layers.recurrent2.weight": (16, 16),
        "layers.head.weight": (10, 16),
    }
    weights = {name: spec for name, spec in specs.items() if spec.role in (Role.WEIGHT, Role.RECURRENT)}
    assert {name for name, spec in specs.items() if spec.role is Role.RECURRENT} == {
        "layers.recurrent1.weight",
        "layers.recurrent2.weight",
    }
    assert {name: spec.shape for name, spec in weights.items()} == expected
    assert [(spec.fan_out, spec.fan_in) for spec in weights.values()] == list(expected.values())
    assert [spec.layer for spec in weights.values()] == [0, 1, 2, 3, 4]
    assert {spec.nonlinearity for spec in specs.values() if not spec.is_head} == {activation("tanh")}
    assert [name for name, spec in specs.items() if spec.role is Role.BIAS] == [
        "layers.input1.bias",
        "layers.input2.bias",
        "layers.head.bias",
    ]


def test_an_mlp_normalises_each_example_on_its_own() -> None:
    """LayerNorm before the activation; against the formula."""
    model: Any = mlp(depth=1, norm="layer").double()
    inputs = torch.randn(5, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    hidden = functional.linear(inputs, model.layers.linear1.weight, model.layers.linear1.bias)
    centred = hidden - hidden.mean(1, keepdim=True)
    normed = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    expected = functional.linear(normed.relu(), model.layers.head.weight, model.layers.head.bias)
    torch.testing.assert_close(model(inputs.view(5, 1, 8, 8)), expected, rtol=REORDERED, atol=REORDERED)


def test_a_deep_linear_network_is_one_matrix() -> None:
    model = Mlp((6,), 3, activation("identity"), depth=4, width=8).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    weights = [parameter for name, parameter in model.named_parameters() if name.endswith("weight")]
    product = torch.linalg.multi_dot(weights[::-1])
    inputs = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(inputs), inputs @ product.T, rtol=REORDERED, atol=REORDERED)


def test_a_residual_mlp_adds_its_branches_to_the_stream() -> None:
    """Against the formula, with a norm and a scale."""
    model: Any = models.ResidualMlp((3, 2), 4, RELU, depth=2, width=8, norm="layer", branch_scale=True).double()
    assert model.label == "residual-mlp-2x8-ln-scaled"
    inputs = torch.randn(5, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    stream = functional.linear(inputs.flatten(1), model.stem.weight, model.stem.bias)
    for number, factor in enumerate((0.5, 2.0)):
        block = model.blocks[number]
        block.branch_scale.data.fill_(factor)
        branch = block.branch
        hidden = functional.linear(functional.layer_norm(stream, (8,)), branch.linear1.weight, branch.linear1.bias)
        stream = stream + factor * functional.linear(hidden.relu(), branch.linear2.weight, branch.linear2.bias)
    expected = functional.linear(stream.relu(), model.head.weight, model.head.bias)
    torch.testing.assert_close(model(inputs), expected, rtol=REORDERED, atol=REORDERED)
    specs = {spec.name: spec for spec in describe(model)}
    closing = [name for name, spec in specs.items() if spec.closes_residual and spec.role is Role.WEIGHT]
    assert closing == ["blocks.residual1.branch.linear2.weight", "blocks.residual2.branch.linear2.weight"]


def test_a_cnn_like_vgg_has_the_sizes_it_says() -> None:
    model: Any = Cnn((3, 28, 20), 10, RELU, channels=[4, 4, 6], stride=[1, 1, 2], pool=[2])
    assert model.layers.head.in_features == 6 * 7 * 5  # 28x20, pooled 14x10, stride 2 in the last layer
    assert [name for name, _ in model.layers.named_children()][3:7] == ["activation2", "pool2", "conv3", "activation3"]
    assert model(torch.zeros(2, 3, 28, 20)).shape == (2, 10)


def test_circular_padding_treats_every_pixel_alike() -> None:
    """Rolling the image rolls the features; zeros beyond the edge break that."""
    image = torch.randn(1, 3, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for padding in ("circular", "zeros"):
        features = cnn(channels=[4, 4], stride=1, padding=padding).double().layers[:4]
        rolled, then = features(image.roll((2, 3), (2, 3))), features(image).roll((2, 3), (2, 3))
        assert torch.allclose(rolled, then, rtol=REORDERED, atol=REORDERED) == (padding == "circular")


KINDS: dict[str, tuple[Any, tuple[int, ...], str]] = {
    "mlp": (models.Mlp, (3, 8, 8), "relu"),
    "cnn": (models.Cnn, (3, 8, 8), "relu"),
    "resnet": (models.ResNet, (3, 8, 8), "relu"),
    "residual_mlp": (models.ResidualMlp, (3, 8, 8), "relu"),
    "rnn": (models.Rnn, (3, 8, 8), "tanh"),
    "lstm": (models.Lstm, (3, 8, 8), "tanh"),
    "gru": (models.Gru, (3, 8, 8), "tanh"),
    "vit": (models.Vit, (3, 8, 8), "gelu"),
    "transformer": (models.Transformer, (6,), "gelu"),
    "siren": (models.Siren, (2,), "sine"),
    "torchvision": (models.TorchvisionModel, (3, 8, 8), "relu"),
}


def test_every_model_has_a_file() -> None:
    assert {path.stem for path in CONF.glob("*.yaml")} == {*KINDS, "custom"}
    assert {kind.__name__ for kind, _, _ in KINDS.values()} == set(models.__all__)


@pytest.mark.parametrize("name", KINDS)
def test_files_hold_the_defaults(name: str) -> None:
    tree = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"), resolve=True)
    assert isinstance(tree, dict)
    assert tree.pop("name") == ("resnet18" if name == "torchvision" else name)  # that of the architecture
    tree.pop("defaults", None)  # what the model chooses in other groups
    kind, shape, phi = KINDS[name]
    assert get_object(tree.pop("_target_")) is kind
    parameters = list(inspect.signature(kind).parameters.values())
    assert tree.keys() == {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    chosen, default = kind(shape, 10, activation(phi), **tree), kind(shape, 10, activation(phi))
    assert (repr(chosen), chosen.label) == (repr(default), default.label)


@pytest.mark.parametrize("name", KINDS)
def test_files_say_the_range_of_every_option(name: str) -> None:
    lines = [line for line in (CONF / f"{name}.yaml").read_text().splitlines() if line[0] != "#"]
    assert all("  # " in line for line in lines if line.partition(":")[0] not in ("name", "_target_", "defaults"))


@pytest.mark.parametrize("name", KINDS)
def test_outputs_and_sizes_are_checked(name: str) -> None:
    kind, shape, phi = KINDS[name]
    for outputs in (0, 2.0, True):
        with pytest.raises(ConfigError, match=rf"{kind.__name__}: .*`num_outputs`={outputs}. Expected a whole number"):
            kind(shape, outputs, activation(phi))
    with pytest.raises(ConfigError, match=rf"{kind.__name__}: .*`input_shape`=0. Expected a whole number from 1"):
        kind((*shape[:-1], 0), 10, activation(phi))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "`depth`=0. Expected a whole number from 1.*use depth=1 or more"),
        ({"depth": 2.0}, "`depth`=2.0. Expected a whole number"),
        ({"width": 0}, "`width`=0. Expected a whole number from 1"),
        ({"width": True}, "`width`=True. Expected a whole number"),
        ({"widths": []}, r"`widths`=\[\].*Example: model.widths=\[128,64\]"),
        ({"widths": 64}, r"`widths`=64.*Example: model.widths=\[128,64\]"),
        ({"widths": "64"}, r"`widths`='64'.*Example"),
        ({"widths": [64, 0]}, "`widths`=0. Expected a whole number from 1"),
        ({"norm": "group"}, "`norm`='group'. Expected one of: none, batch, layer"),
    ],
    ids=str,
)
def test_an_mlp_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Mlp: .*{message}"):
        mlp(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": []}, r"`channels`=\[\].*Example: model.channels=\[16,32\]"),
        ({"channels": 16}, r"`channels`=16.*Example: model.channels=\[16,32\]"),
        ({"channels": [16, -1]}, "`channels`=-1. Expected a whole number from 1"),
        ({"kernel_size": 4}, "`kernel_size`=4. Expected an odd whole number"),
        ({"kernel_size": 0}, "`kernel_size`=0. Expected a whole number from 1"),
        ({"stride": 0}, "`stride`=0. Expected a whole number from 1"),
        ({"stride": [1]}, r"`stride`=\[1\]. Expected one number, or a list with that of each of the 2 convolutions"),
        ({"stride": [1, 0]}, "`stride`=0. Expected a whole number from 1"),
        ({"stride": "2"}, "`stride`='2'. Expected a whole number from 1"),
        ({"padding": "reflect"}, "`padding`='reflect'. Expected one of: zeros, circular"),
        ({"padding": "circular", "kernel_size": 11}, "`kernel_size`=11. Expected at most 9: layer 2 .* 5x4 pixels"),
        ({"pool": 2}, r"`pool`=2. Expected a list.*Example: model.pool=\[2,4\]"),
        ({"pool": [0]}, "`pool`=0. Expected a whole number from 1"),
        ({"pool": [3]}, "`pool`=3. Expected the number of a layer, 1 to 2"),
        ({"channels": [4] * 4, "pool": [4]}, "`pool`=4. Expected a layer after which two pixels.*layer 4 leaves 1x1"),
        ({"norm": "layer"}, "`norm`='layer'. Expected one of: none, batch"),
    ],
    ids=str,
)
def test_a_cnn_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Cnn: .*{message}"):
        cnn(**options)


def test_inputs_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"`input_shape`=\(64,\). Expected \[time, feature\] or .* Use model=mlp"):
        Rnn((64,), 10, RELU)
    with pytest.raises(ConfigError, match=r"`input_shape`=\(64,\). Expected \[channel, height, width\]. Use model=mlp"):
        Cnn((64,), 10, RELU)


def test_a_switch_is_true_or_false() -> None:
    check_switch("Net", first=True, second=False)
    for value in (1, 0, "yes", None):
        with pytest.raises(ConfigError, match=rf"Net: bad value `tied`={value!r}. Expected true or false"):
            check_switch("Net", tied=value)


def test_a_stack_of_recurrent_trials_equals_each_of_them_alone(make_job) -> None:
    """A whole run in float64, from the configuration: two seeds, one of them at another lr."""
    job = make_job("model=rnn", "model.width=32", "activation=tanh", "max_steps=60", "eval_every=20")
    workload, initializer = job.cell.workload, job.cell.initializer
    assert job.cell.axes["model"] == "rnn-1x32"
    members = [
        Member(job.cell, job.cell.trial(lr, seed, Stage.SCORE), *start_of(workload, initializer, seed))
        for lr, seed in ((0.05, 0), (0.02, 1))
    ]
    together = train_stack(members, dtype=torch.float64)
    for result, member in zip(together, members, strict=True):
        (alone,) = train_stack([member], dtype=torch.float64)
        assert result.curve.val_loss == pytest.approx(alone.curve.val_loss, abs=STACKED_RUN)
        assert result.test_score == alone.test_score
        assert result.curve.val_score[-1] > 0.5  # it trains
