"""The networks: shapes, labels, refusals, and stacks under vmap."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import get_object
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional

from initsuite.activations import activation
from initsuite.engine.loop import train_stack
from initsuite.engine.stack import Member, start_of
from initsuite.errors import ConfigError
from initsuite.init import TorchDefault
from initsuite.models import Cnn, Mlp, Rnn
from initsuite.models.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Params, Role, Stage

RELU = activation("relu")
CONF = Path(__file__).parents[2] / "conf" / "model"
STACKED = 1e-9
"""Relative and absolute: float64 sums in another order, 1e-16 a term, over 20 examples and three layers."""
STACKED_RUN = 1e-9
"""Of losses of order 1 after a run in float64, at learning rates that train."""


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
        (cnn(), "cnn-16-32"),
        (cnn(channels=[4], norm="batch"), "cnn-4-bn"),
        (cnn(kernel_size=5, stride=1), "cnn-16-32-k5-s1"),
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
    expected = {  # (outputs, inputs), the order of use; images are read row by row: 3 channels x 8 pixels a time
        "layers.input1.weight": (16, 24),
        "layers.recurrent1.weight": (16, 16),
        "layers.input2.weight": (16, 16),
        "layers.recurrent2.weight": (16, 16),
        "layers.head.weight": (10, 16),
    }
    weights = {name: spec for name, spec in specs.items() if spec.role is Role.WEIGHT}
    assert {name: spec.shape for name, spec in weights.items()} == expected
    assert [(spec.fan_out, spec.fan_in) for spec in weights.values()] == list(expected.values())
    assert [spec.layer for spec in weights.values()] == [0, 1, 2, 3, 4]
    assert {spec.nonlinearity for spec in specs.values() if not spec.is_head} == {activation("tanh")}
    assert [name for name, spec in specs.items() if spec.role is Role.BIAS] == [
        "layers.input1.bias",
        "layers.input2.bias",
        "layers.head.bias",
    ]


@pytest.mark.parametrize("depth", [1, 2])
def test_an_rnn_is_torchs_own(depth: int) -> None:
    """Against nn.RNN with the same weights and its second bias at 0, on images and on sequences."""
    ours = rnn(depth=depth, width=16).double()
    theirs = nn.RNN(24, 16, num_layers=depth, batch_first=True, dtype=torch.float64)
    layers = dict(ours.layers.named_parameters())
    with torch.no_grad():
        for number in range(depth):
            getattr(theirs, f"weight_ih_l{number}").copy_(layers[f"input{number + 1}.weight"])
            getattr(theirs, f"bias_ih_l{number}").copy_(layers[f"input{number + 1}.bias"])
            getattr(theirs, f"weight_hh_l{number}").copy_(layers[f"recurrent{number + 1}.weight"])
            getattr(theirs, f"bias_hh_l{number}").zero_()
    images = torch.randn(5, 3, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = torch.cat(list(images.unbind(1)), dim=-1)  # [example, height, channel x width]
    expected = functional.linear(theirs(rows)[0][:, -1], layers["head.weight"], layers["head.bias"])
    torch.testing.assert_close(ours(images), expected, rtol=STACKED, atol=STACKED)
    sequences = Rnn((9, 24), 10, activation("tanh"), depth=depth, width=16).double()
    sequences.load_state_dict(ours.state_dict())
    torch.testing.assert_close(sequences(rows), expected, rtol=STACKED, atol=STACKED)
    assert not torch.allclose(ours(images.flip(2)), expected)  # the order of the rows matters


@pytest.mark.parametrize("name", ["mlp", "cnn", "rnn"])
def test_files_hold_the_defaults(name: str) -> None:
    tree = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert tree.pop("name") == name
    model = get_object(tree.pop("_target_"))((3, 8, 8), 10, RELU, **tree)
    default = {"mlp": Mlp, "cnn": Cnn, "rnn": Rnn}[name]((3, 8, 8), 10, RELU)
    assert repr(model) == repr(default)


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
        ({"norm": "layer"}, "`norm`='layer'. Expected one of: none, batch"),
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
        ({"norm": "layer"}, "`norm`='layer'. Expected one of: none, batch"),
    ],
    ids=str,
)
def test_a_cnn_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Cnn: .*{message}"):
        cnn(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "`depth`=0. Expected a whole number from 1"),
        ({"width": 2.5}, "`width`=2.5. Expected a whole number from 1"),
    ],
    ids=str,
)
def test_an_rnn_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Rnn: .*{message}"):
        rnn(**options)


def test_inputs_and_outputs_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"`input_shape`=\(64,\). Expected \[time, feature\] or .* Use model=mlp"):
        Rnn((64,), 10, RELU)
    with pytest.raises(ConfigError, match=r"`input_shape`=\(64,\). Expected \[channel, height, width\]. Use model=mlp"):
        Cnn((64,), 10, RELU)
    for kind in (Mlp, Cnn, Rnn):
        with pytest.raises(ConfigError, match=r"`input_shape`=0. Expected a whole number from 1"):
            kind((1, 0, 8), 10, RELU)
        with pytest.raises(ConfigError, match=r"`num_outputs`=0. Expected a whole number from 1"):
            kind((1, 8, 8), 0, RELU)


def random_stack(model: nn.Module, size: int) -> Params:
    """Parameters of `size` trials, float64, each tensor with a leading [trial] axis."""
    starts = [TorchDefault()(model, describe(model), seed=seed).params for seed in range(size)]
    return {name: torch.stack([params[name] for params in starts]).double() for name in starts[0]}


@pytest.mark.parametrize(
    "build",
    [
        lambda: Mlp((3, 8, 8), 10, activation("tanh"), widths=[32, 16], norm="batch"),
        lambda: Cnn((3, 8, 8), 10, RELU, channels=[4, 6]),
        lambda: Cnn((3, 8, 8), 10, activation("gelu"), channels=[4, 6], norm="batch"),
        lambda: Rnn((3, 8, 8), 10, activation("tanh"), depth=2, width=16),
    ],
    ids=["mlp-bn", "cnn", "cnn-bn", "rnn"],
)
def test_a_stack_of_three_equals_one_by_one(build: Callable[[], nn.Module]) -> None:
    model = skeleton(build)
    inputs = torch.randn(3, 20, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(20) % 10
    params = random_stack(model, 3)
    buffers = {
        name: (value.double() if value.is_floating_point() else value).expand(3, *value.shape)
        for name, value in model.named_buffers()
    }

    def loss(params: Params, buffers: Params, inputs: Tensor) -> tuple[Tensor, Params]:
        buffers = {name: value.clone() for name, value in buffers.items()}
        return functional.cross_entropy(functional_call(model, (params, buffers), (inputs,)), targets), buffers

    step = grad_and_value(loss, has_aux=True)
    stacked = vmap(step)(params, buffers, inputs)
    for trial in range(3):

        def of_trial(tree: Params, trial: int = trial) -> Params:
            return {name: value[trial] for name, value in tree.items()}

        grads, (value, after) = step(of_trial(params), of_trial(buffers), inputs[trial])
        torch.testing.assert_close(of_trial(stacked[0]), grads, rtol=STACKED, atol=STACKED)
        torch.testing.assert_close(stacked[1][0][trial], value, rtol=STACKED, atol=STACKED)
        torch.testing.assert_close(of_trial(stacked[1][1]), after, rtol=STACKED, atol=STACKED)
        for name, buffer in after.items():  # BatchNorm was in training mode
            assert not torch.equal(buffer, buffers[name][trial])


def test_a_stack_of_recurrent_trials_equals_them_one_by_one(make_job) -> None:
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
        assert result.test_accuracy == alone.test_accuracy
        assert result.curve.val_accuracy[-1] > 0.5  # it trains
