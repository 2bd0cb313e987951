"""`describe` on torchvision's models, against what their sources say."""

from functools import cache

import pytest
import torch
from torch import nn
from torch.nn.init import _calculate_fan_in_and_fan_out  # type: ignore[attr-defined]

from initsuite.data.torchvision_import import import_torchvision
from initsuite.models.describe.describe import Description, examine, unplaced
from initsuite.models.describe.layers import NORMS
from initsuite.spec import ParamSpec, Role

HEADS = {
    "resnet18": "fc",
    "vgg11": "classifier.6",
    "vit_b_16": "heads.head",
    "mobilenet_v3_small": "classifier.3",
    "swin_t": "head",
}


@cache
def zoo(name: str) -> nn.Module:
    with torch.device("meta"):
        return import_torchvision().models.get_model(name, weights=None)


@cache
def description_of(name: str) -> Description:
    return examine(zoo(name), frozen="draw")


@cache
def specs_of(name: str) -> dict[str, ParamSpec]:
    return {spec.name: spec for spec in description_of(name).specs}


def followers(name: str) -> dict[str, str | None]:
    weights = {key: spec for key, spec in specs_of(name).items() if spec.role is Role.WEIGHT}
    return {key: spec.nonlinearity and spec.nonlinearity.name for key, spec in weights.items()}


pytestmark = pytest.mark.filterwarnings("ignore:describe. cannot place parameters `features.1.0.attn.relative_position")


@pytest.mark.parametrize("name", HEADS)
def test_every_parameter_is_placed_or_listed(name: str) -> None:
    model, specs = zoo(name), specs_of(name)
    names = [key for key, _ in model.named_parameters()]
    left = unplaced(model)
    assert sorted([*specs, *left]) == sorted(names)
    assert left == [key for key in names if key.endswith("relative_position_bias_table")]
    assert bool(left) == (name == "swin_t")


@pytest.mark.parametrize("name", HEADS)
def test_roles_and_fans_follow_from_the_modules(name: str) -> None:
    model = zoo(name)
    plain = 0
    for key, spec in specs_of(name).items():
        owner, _, local = key.rpartition(".")
        module = model.get_submodule(owner)
        if isinstance(module, NORMS):
            assert spec.role is {"weight": Role.NORM_SCALE, "bias": Role.NORM_SHIFT}[local]
        elif isinstance(module, (nn.Linear, nn.Conv2d)) and local == "weight":
            assert spec.role is Role.WEIGHT
            if len(spec.blocks) == 0:
                assert (spec.fan_in, spec.fan_out) == _calculate_fan_in_and_fan_out(module.weight)
                plain += 1
    assert plain >= 11  # those of vgg11, the smallest


@pytest.mark.parametrize("name", HEADS)
def test_heads(name: str) -> None:
    weights = [spec for spec in specs_of(name).values() if spec.role is Role.WEIGHT]
    assert [spec.name for spec in weights if spec.is_head] == [f"{HEADS[name]}.weight"]
    assert [spec.layer for spec in weights] == list(range(weights[0].num_layers))


@pytest.mark.parametrize("name", HEADS)
def test_a_pass_of_all_of_them_can_be_recorded(name: str) -> None:
    assert description_of(name).recording is not None


@pytest.mark.parametrize(
    ("name", "count"), [("resnet18", 8), ("vgg11", 0), ("vit_b_16", 24), ("mobilenet_v3_small", 6), ("swin_t", 24)]
)
def test_closing_layers_are_counted(name: str, count: int) -> None:
    specs = specs_of(name)
    closes = [key for key, spec in specs.items() if spec.closes_residual and spec.role is Role.WEIGHT]
    assert len(closes) == count
    assert {spec.branches for spec in specs.values()} == {count}
    if name == "resnet18":
        assert all(key.endswith("conv2.weight") for key in closes)
        norms = [key for key, spec in specs.items() if spec.closes_residual and spec.role is Role.NORM_SCALE]
        assert norms == [key.replace("conv2", "bn2") for key in closes]


def test_resnet_has_relu_everywhere_but_after_the_head() -> None:
    found = followers("resnet18")
    assert found.pop("fc.weight") is None
    assert set(found.values()) == {"relu"}


def test_vgg() -> None:
    found = list(followers("vgg11").values())
    assert found == ["relu"] * 10 + [None]


def test_mobilenet_v3() -> None:
    """Block 4: expansion and depthwise with hardswish, squeeze with relu, excitation hardsigmoid, projection linear."""
    found = {key: value for key, value in followers("mobilenet_v3_small").items() if "features.4." in key}
    assert list(found.values()) == ["hardswish", "hardswish", "relu", "hardsigmoid", None]
    assert followers("mobilenet_v3_small")["classifier.0.weight"] == "hardswish"


def test_vit() -> None:
    specs, found = specs_of("vit_b_16"), followers("vit_b_16")
    assert {key for key, value in found.items() if value} == {key for key in found if key.endswith("mlp.0.weight")}
    assert set(found.values()) == {None, "gelu"}
    assert (specs["class_token"].role, specs["class_token"].parts) == (Role.EMBEDDING, ("token",))
    assert (specs["encoder.pos_embedding"].role, specs["encoder.pos_embedding"].parts) == (
        Role.EMBEDDING,
        ("position",),
    )
    packed = specs["encoder.layers.encoder_layer_3.self_attention.in_proj_weight"]
    assert (packed.blocks, packed.fan_in, packed.fan_out) == ((768,) * 3, 768, 768)
    assert {spec.parts for key, spec in specs.items() if ".mlp." in key and spec.role is Role.WEIGHT} == {("mlp",)}


def test_swin() -> None:
    specs, found = specs_of("swin_t"), followers("swin_t")
    assert {key for key, value in found.items() if value} == {key for key in found if key.endswith("mlp.0.weight")}
    qkv = specs["features.3.1.attn.qkv.weight"]
    assert (qkv.parts, qkv.fan_in, qkv.fan_out) == (("query", "key", "value"), 192, 192)
    assert specs["features.3.1.attn.proj.weight"].parts == ("attention_out",)
