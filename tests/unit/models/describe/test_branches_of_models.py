"""Branches and heads of the suite's models, torch's and torchvision's: a recorded pass against the names of modules."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from initsuite.activations import activation
from initsuite.data.torchvision_import import import_torchvision
from initsuite.models import Cnn, Gru, Lstm, Mlp, ResidualMlp, ResNet, Rnn, Siren, Transformer, Vit
from initsuite.models.describe.describe import describe
from initsuite.spec import Role
from support.recorded import seen

RELU = activation("relu")
IMAGE = (3, 8, 8)
OURS = {
    "mlp": (lambda: Mlp((6,), 3, RELU, widths=[5, 4]), torch.ones(2, 6)),
    "cnn": (lambda: Cnn(IMAGE, 3, RELU, channels=[4, 6]), torch.ones(2, *IMAGE)),
    "resnet": (lambda: ResNet(IMAGE, 3, RELU, depth=8, width=4), torch.ones(2, *IMAGE)),
    "resnet-fixup": (lambda: ResNet(IMAGE, 3, RELU, depth=8, width=4, norm="none", fixup=True), torch.ones(2, *IMAGE)),
    "resnet-scaled": (
        lambda: ResNet(IMAGE, 3, RELU, depth=8, width=4, norm="none", branch_scale=True),
        torch.ones(2, *IMAGE),
    ),
    "residual-mlp": (lambda: ResidualMlp((6,), 3, RELU, depth=2, width=5, branch_scale=True), torch.ones(2, 6)),
    "vit": (lambda: Vit(IMAGE, 3, RELU, depth=2, width=8, heads=2, pool="class"), torch.ones(2, *IMAGE)),
    "vit-deepnorm": (
        lambda: Vit(IMAGE, 3, RELU, depth=2, width=8, heads=2, norm="post", deepnorm=True),
        torch.ones(2, *IMAGE),
    ),
    "transformer": (
        lambda: Transformer((6,), 9, RELU, depth=2, width=8, heads=2),
        torch.zeros(2, 6, dtype=torch.long),
    ),
    "siren": (lambda: Siren((2,), 3, activation("sine"), depth=3, width=8), torch.ones(2, 2)),
    "rnn": (lambda: Rnn((3, 4, 4), 3, activation("tanh"), depth=2, width=5), torch.ones(2, 3, 4, 4)),
    "lstm": (lambda: Lstm((3, 4, 4), 3, activation("tanh"), depth=2, width=5), torch.ones(2, 3, 4, 4)),
    "gru": (lambda: Gru((3, 4, 4), 3, activation("tanh"), depth=2, width=5), torch.ones(2, 3, 4, 4)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16), torch.ones(5, 2, 8)),
    "decoder": (lambda: nn.TransformerDecoderLayer(8, 2, 16), torch.ones(5, 2, 8), torch.ones(6, 2, 8)),
}

MORE = (
    "convnext_tiny",
    "vgg11",
    "densenet121",
    "resnet50",
    "swin_t",
    "efficientnet_v2_s",
    "vit_b_32",
    "googlenet",
    "mnasnet1_0",
)


def by_names(model: nn.Module) -> tuple[set[frozenset[tuple[str, bool]]], list[str]]:
    """The layers of each branch, with whether they close it, and the heads, as names and types of modules show them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = [spec for spec in describe(model) if spec.role in (Role.WEIGHT, Role.RECURRENT)]
    found: dict[int, set[tuple[str, bool]]] = {}
    for spec in weights:
        if spec.branch_layers:
            found.setdefault(spec.branch, set()).add((spec.name.removesuffix(".weight"), spec.closes_residual))
    return set(map(frozenset, found.values())), [spec.name.removesuffix(".weight") for spec in weights if spec.is_head]


def by_graph(model: nn.Module, *inputs: Tensor) -> tuple[set[frozenset[tuple[str, bool]]], list[str]]:
    got = seen(model, *inputs)
    pairs = zip(got.branches, got.closing, strict=True)
    return {frozenset((name, name in closing) for name in inside) for inside, closing in pairs}, got.heads


@pytest.mark.parametrize("name", OURS)
def test_the_graph_shows_what_the_modules_of_known_blocks_show(name: str) -> None:
    build, *inputs = OURS[name]
    model = build()
    assert by_graph(model, *inputs) == by_names(model)


def test_the_order_and_the_factors_of_deepnorms_shortcuts() -> None:
    got = seen(Vit(IMAGE, 3, RELU, depth=2, width=8, heads=2, norm="post", deepnorm=True), torch.ones(2, *IMAGE))
    assert [found.shortcut_factor for found in got.found] == pytest.approx([math.sqrt(2)] * 4)  # (2 depth)^(1/4)
    first = ["blocks.attention1.branch", "blocks.mlp1.branch", "blocks.attention2.branch", "blocks.mlp2.branch"]
    assert all(inside[0].startswith(name) for inside, name in zip(got.branches, first, strict=True))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_torchvisions_models(name: str) -> None:
    model = getattr(import_torchvision().models, name)(weights=None).eval()
    assert by_graph(model, torch.ones(1, 3, 64, 64)) == by_names(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
def test_more_of_torchvisions_models(name: str) -> None:
    size = 224 if name == "vit_b_32" else 64
    model = getattr(import_torchvision().models, name)(weights=None).eval()
    assert by_graph(model, torch.ones(1, 3, size, size)) == by_names(model)


def test_a_regnet_has_sixteen_branches_of_sixteen() -> None:
    model = import_torchvision().models.regnet_y_400mf(weights=None).eval()
    got = seen(model, torch.ones(1, 3, 64, 64))
    assert len(got.found) == 16
    assert sum(bool(found.shortcut) for found in got.found) == 4
    assert all(name.endswith(".f.c.0") for (name,) in got.closing)
