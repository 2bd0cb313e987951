"""Residual branches: which layers are part of one, and which one closes it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from initsuite.activations import activation
from initsuite.models.branch import Branch, Residual
from initsuite.models.describe.describe import describe, recorded
from initsuite.models.resnet import ResNet
from initsuite.models.vit import Vit
from initsuite.spec import ParamSpec, Role


def specs_of(model: nn.Module) -> dict[str, ParamSpec]:
    return {spec.name: spec for spec in describe(model)}


def closing(model: nn.Module) -> list[str]:
    return [spec.name for spec in describe(model) if spec.closes_residual and spec.role is Role.WEIGHT]


class Sums(nn.Module):
    def __init__(self, block: Callable[["Sums", Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.one, self.norm, self.two = nn.Linear(4, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4)
        self.skip, self.drop, self.head = nn.Identity(), nn.Dropout(), nn.Linear(4, 2)
        self.gamma = nn.Parameter(torch.ones(4))
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self, self.stem(x)))

    def branch(self, x: Tensor) -> Tensor:
        return self.two(self.norm(self.one(x)).relu())


def _in_place(model: Sums, x: Tensor) -> Tensor:
    y = model.branch(x)
    y += x
    return y


SUMS = [
    lambda model, x: x + model.branch(x),
    lambda model, x: model.branch(x) + x,
    lambda model, x: torch.add(x, model.branch(x)),
    lambda model, x: x.add(model.drop(model.branch(x))),
    lambda model, x: model.skip(x) + model.gamma * model.branch(x),
    lambda model, x: 1.5 * x + model.branch(x),
    lambda model, x: model.branch(x) + x * 1.5,
    _in_place,
]


@pytest.mark.filterwarnings("ignore:describe. cannot place parameter `gamma`")
@pytest.mark.parametrize("block", SUMS)
def test_a_trace_shows_sums_of_a_tensor_and_one_computed_from_it(block: Callable[[Sums, Tensor], Tensor]) -> None:
    specs = specs_of(Sums(block))
    assert {name for name, spec in specs.items() if spec.closes_residual} == {"two.weight", "two.bias"}
    inside = {name for name, spec in specs.items() if spec.branch_layers}
    assert inside == {f"{layer}.{local}" for layer in ("one", "norm", "two") for local in ("weight", "bias")}
    assert {specs[name].branch_layers for name in inside} == {2}
    assert {spec.branches for spec in specs.values()} == {1}


NO_BRANCHES = [
    lambda model, x: model.branch(x),
    lambda model, x: model.branch(x) + model.gamma,
    lambda model, x: model.one(x) + model.two(x),  # two paths from one tensor, neither computed from the other
    lambda model, x: model.branch(x) + x.shape[0],
    lambda model, x: x + model.branch(torch.ones(4, device=x.device)),  # this uses only the device of x
    lambda model, x: model.branch(x) * x,
    lambda model, x: model.branch(x + x.relu()),  # a branch without a layer
]


@pytest.mark.filterwarnings("ignore:describe. cannot place parameter `gamma`")
@pytest.mark.parametrize("block", NO_BRANCHES)
def test_other_sums_are_no_branches(block: Callable[[Sums, Tensor], Tensor]) -> None:
    model = Sums(block)
    assert recorded(model) is not None
    assert {(spec.branches, spec.closes_residual) for spec in describe(model)} == {(0, False)}


def _nested(model: Sums, x: Tensor) -> Tensor:
    return x + model.two(x + model.one(x))


@pytest.mark.filterwarnings("ignore:describe. cannot place parameter `gamma`")
def test_a_branch_within_a_branch_keeps_its_layers() -> None:
    specs = specs_of(Sums(_nested))
    assert [name for name, spec in specs.items() if spec.closes_residual and spec.role is Role.WEIGHT] == [
        "one.weight",
        "two.weight",
    ]
    assert (specs["one.weight"].branches, specs["one.weight"].branch_layers) == (2, 1)


def test_a_marked_branch_with_a_shortcut_of_its_own() -> None:
    branch = Branch(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6))
    shortcut = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6))
    specs = specs_of(nn.Sequential(Residual(branch, shortcut), nn.Flatten(), nn.Linear(6, 2)))
    assert {name for name, spec in specs.items() if spec.closes_residual} == {
        "0.branch.3.weight", "0.branch.3.bias",
        "0.branch.4.weight", "0.branch.4.bias",  # the norm that ends the branch, for zero_gamma
    }  # fmt: skip
    assert {spec.branch_layers for name, spec in specs.items() if "branch" in name} == {2}
    assert {spec.branch_layers for name, spec in specs.items() if "branch" not in name} == {0}


def test_the_scalars_of_the_suites_residual_networks_have_roles() -> None:
    fixup = specs_of(ResNet((3, 8, 8), 2, activation("relu"), depth=8, norm="none", fixup=True))
    assert fixup["blocks.residual1.branch.multiplier"].role is Role.MULTIPLIER
    assert fixup["bias1"].role is fixup["blocks.residual1.branch.bias2a"].role is Role.BIAS
    assert not fixup["bias2"].is_head
    scaled = specs_of(ResNet((3, 8, 8), 2, activation("relu"), depth=8, norm="none", branch_scale=True))
    scales = {name: spec.layer for name, spec in scaled.items() if spec.role is Role.BRANCH_SCALE}
    assert scales == {f"blocks.residual{number}.branch_scale": 2 * number for number in (1, 2, 3)}
    assert closing(ResNet((3, 8, 8), 2, activation("relu"), depth=14)) == [
        f"blocks.residual{number}.branch.conv2.weight" for number in range(1, 7)
    ]


def test_the_suites_vit() -> None:
    specs = specs_of(Vit((3, 8, 8), 2, activation("gelu"), depth=2, width=8, heads=2))
    closes = [spec.name for spec in specs.values() if spec.closes_residual and spec.role is Role.WEIGHT]
    parts = ("attention_out", "mlp") * 2
    assert tuple(specs[name].parts[0] for name in closes) == parts
    assert {spec.branches for spec in specs.values()} == {4}
    assert [name for name, spec in specs.items() if spec.is_head] == ["head.weight", "head.bias"]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_torchs_transformer() -> None:
    specs = specs_of(nn.Transformer(8, 2, num_encoder_layers=2, num_decoder_layers=1, dim_feedforward=16))
    assert [name for name, spec in specs.items() if spec.closes_residual and spec.role is Role.WEIGHT] == [
        "encoder.layers.0.self_attn.out_proj.weight", "encoder.layers.0.linear2.weight",
        "encoder.layers.1.self_attn.out_proj.weight", "encoder.layers.1.linear2.weight",
        "decoder.layers.0.self_attn.out_proj.weight",
        "decoder.layers.0.multihead_attn.out_proj.weight", "decoder.layers.0.linear2.weight",
    ]  # fmt: skip
    weights = {name: spec for name, spec in specs.items() if spec.role is Role.WEIGHT}
    assert {name for name, spec in weights.items() if spec.parts == ("mlp",)} == {
        name for name in weights if "linear" in name
    }
    assert {(spec.branches, spec.branch_layers) for spec in weights.values()} == {(7, 2)}
    # the norms of these layers are outside of the branches
    assert not any(spec.closes_residual for spec in specs.values() if spec.role is Role.NORM_SCALE)
