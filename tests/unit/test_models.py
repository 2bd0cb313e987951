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
from initsuite.errors import ConfigError
from initsuite.init import TorchDefault
from initsuite.models import Cnn, Mlp
from initsuite.models.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Params

RELU = activation("relu")
CONF = Path(__file__).parents[2] / "conf" / "model"
STACKED = 1e-9
"""Relative and absolute: float64 sums in another order, 1e-16 a term, over 20 examples and three layers."""


def mlp(**options: Any) -> Mlp:
    return Mlp((1, 8, 8), 10, RELU, **options)


def cnn(**options: Any) -> Cnn:
    return Cnn((3, 9, 8), 10, RELU, **options)


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
    ],
    ids=lambda value: str(value)[:12],
)
def test_models_have_a_label_and_outputs(model: Any, label: str) -> None:
    assert model.label == label
    shape = (3, 9, 8) if isinstance(model, Cnn) else (1, 8, 8)
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


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_files_hold_the_defaults(name: str) -> None:
    tree = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert tree.pop("name") == name
    model = get_object(tree.pop("_target_"))((3, 8, 8), 10, RELU, **tree)
    default = {"mlp": Mlp, "cnn": Cnn}[name]((3, 8, 8), 10, RELU)
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


def test_inputs_and_outputs_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"`input_shape`=\(64,\). Expected \[channel, height, width\]. Use model=mlp"):
        Cnn((64,), 10, RELU)
    for kind in (Mlp, Cnn):
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
    ],
    ids=["mlp-bn", "cnn", "cnn-bn"],
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
