"""The residual network: its layers, its shortcuts, and what Fixup and SkipInit need of it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.models import ResNet
from initsuite.models.branch import Branch, Residual
from initsuite.models.resnet import PaddedShortcut

REORDERED = 1e-9
"""Relative and absolute: float64 sums in another order, 1e-16 a term, over hundreds of terms."""
RELU = activation("relu")


def resnet(**options: Any) -> ResNet:
    return ResNet((3, 9, 8), 10, RELU, **options)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("depth", [8, 14, 20, 56])
@pytest.mark.parametrize("options", [{}, {"norm": "none"}, {"norm": "none", "fixup": True}], ids=str)
def test_the_depth_counts_the_layers_with_weights(depth: int, options: dict[str, Any]) -> None:
    model = resnet(depth=depth, width=2, **options)
    layers = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth
    branches = [module for module in model.modules() if isinstance(module, Branch)]
    assert len(branches) == (depth - 2) // 2
    for branch in branches:
        assert sum(isinstance(module, nn.Conv2d) for module in branch.modules()) == 2
    assert model(torch.zeros(2, 3, 9, 8)).shape == (2, 10)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_it_has_as_many_parameters_as_the_paper_says(depth: int, millions: float) -> None:
    """He et al. 2015, table 6."""
    count = sum(parameter.numel() for parameter in ResNet((3, 32, 32), 10, RELU, depth=depth).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.05 if millions == 1.7 else 0.005)


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "resnet-20"),
        ({"depth": 56, "width": 32}, "resnet-56-w32"),
        ({"norm": "none"}, "resnet-20-nonorm"),
        ({"norm": "none", "fixup": True}, "resnet-20-fixup"),
        ({"branch_scale": True}, "resnet-20-scaled"),
    ],
    ids=str,
)
def test_it_has_a_label(options: dict[str, Any], label: str) -> None:
    assert resnet(**options).label == label


def test_a_shortcut_takes_every_second_pixel_and_pads_channels() -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4)
    assert PaddedShortcut(2, 1)(image).tolist() == [[[[0.0, 2.0], [8.0, 10.0]], [[0.0, 0.0], [0.0, 0.0]]]]
    stages = [module for module in resnet(depth=20, width=4).modules() if isinstance(module, PaddedShortcut)]
    assert [(shortcut.stride, shortcut.channels) for shortcut in stages] == [(2, 4), (2, 8)]


def test_with_closed_branches_the_shortcuts_are_all() -> None:
    """Zero in the last convolutions: the features are phi of the stem, subsampled and padded (ReLU twice is ReLU)."""
    model: Any = resnet(depth=14, width=4, norm="none").double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "conv2" in name:
                parameter.zero_()
    images = noise(2, 3, 9, 8)
    kept = functional.conv2d(images, model.stem.conv.weight, model.stem.conv.bias, padding=1).relu()[..., ::4, ::4]
    pixels = kept.mean((2, 3))
    expected = functional.linear(pixels, model.head.weight[:, :4], model.head.bias)
    torch.testing.assert_close(model(images), expected, rtol=REORDERED, atol=REORDERED)


def test_without_norm_or_fixup_convolutions_have_biases() -> None:
    def with_bias(**options: Any) -> set[bool]:
        return {m.bias is not None for m in resnet(depth=8, **options).modules() if isinstance(m, nn.Conv2d)}

    assert with_bias(norm="none") == {True}
    assert with_bias() == with_bias(norm="none", fixup=True) == {False}


def test_fixup_has_its_scalars() -> None:
    model = resnet(depth=14, width=4, norm="none", fixup=True)
    scalars = {name: parameter for name, parameter in model.named_parameters() if parameter.shape == (1,)}
    names = ["bias1a", "bias1b", "bias2a", "bias2b", "multiplier"]
    branches = [f"blocks.residual{number}.branch.{name}" for number in range(1, 7) for name in names]
    assert sorted(scalars) == sorted(["bias1", "bias2", *branches])
    assert all(scalar.item() == ("multiplier" in name) for name, scalar in scalars.items())


def test_a_fixup_block_is_that_of_the_paper() -> None:
    """Zhang et al. 2019, figure 1 (right), written out, with every scalar drawn."""
    model: Any = resnet(depth=8, width=4, norm="none", fixup=True).double()
    values = iter(noise(100))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.shape == (1,):
                parameter.fill_(next(values))
    x = images = noise(2, 3, 9, 8)
    x = (functional.conv2d(images, model.stem.conv.weight, padding=1) + model.bias1).relu()
    for number, (stride, padded) in enumerate([(1, 0), (2, 4), (2, 8)], start=1):
        branch: Any = getattr(model.blocks, f"residual{number}").branch
        y = functional.conv2d(x + branch.bias1a, branch.conv1.weight, stride=stride, padding=1)
        y = (y + branch.bias1b).relu() + branch.bias2a
        y = functional.conv2d(y, branch.conv2.weight, padding=1) * branch.multiplier + branch.bias2b
        shortcut = x[:, :, ::stride, ::stride]
        zeros = torch.zeros(2, padded, *shortcut.shape[2:], dtype=torch.float64)
        x = (torch.cat([shortcut, zeros], dim=1) + y).relu()
    expected = functional.linear(x.mean((2, 3)) + model.bias2, model.head.weight, model.head.bias)
    torch.testing.assert_close(model(images), expected, rtol=REORDERED, atol=REORDERED)


def test_a_branch_scale_of_zero_closes_the_branch() -> None:
    residual = Residual(Branch(nn.Linear(4, 4)), branch_scale=True).double()
    inputs = noise(3, 4)
    assert residual.branch_scale is not None
    assert residual.branch_scale.tolist() == [1]
    open_branch = residual(inputs) - inputs
    with torch.no_grad():
        residual.branch_scale.fill_(0.25)
        torch.testing.assert_close(residual(inputs) - inputs, open_branch / 4, rtol=REORDERED, atol=REORDERED)
        residual.branch_scale.zero_()
        assert torch.equal(residual(inputs), inputs)


def test_without_options_a_residual_has_no_parameter_of_its_own() -> None:
    assert [name for name, _ in Residual(Branch(nn.Linear(4, 4))).named_parameters()] == [
        "branch.0.weight",
        "branch.0.bias",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 2}, "`depth`=2. Expected a whole number from 8"),
        ({"depth": 18}, r"`depth`=18. Expected 6n \+ 2 layers.*The nearest are 14 and 20"),
        ({"width": 0}, "`width`=0. Expected a whole number from 1"),
        ({"norm": "layer"}, "`norm`='layer'. Expected one of: none, batch"),
        ({"fixup": 1, "norm": "none"}, "`fixup`=1. Expected true or false"),
        ({"branch_scale": "yes"}, "`branch_scale`='yes'. Expected true or false"),
        ({"fixup": True}, "`norm`='batch'. Expected none.*Set model.norm=none"),
        ({"fixup": True, "norm": "none", "branch_scale": True}, "`branch_scale`=True. Expected false with fixup"),
    ],
    ids=str,
)
def test_it_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"ResNet: .*{message}"):
        resnet(**options)


def test_it_refuses_inputs_that_are_not_images() -> None:
    with pytest.raises(ConfigError, match=r"ResNet: .*Expected \[channel, height, width\]. Use model=mlp"):
        ResNet((64,), 10, RELU)
