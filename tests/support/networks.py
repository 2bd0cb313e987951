"""The facts about networks that no module stands for, written by hand."""

from __future__ import annotations

from typing import Any

from initsuite.spec import ParamSpec, Role

WIDTH = 128


def spec_of(name: str, shape: tuple[int, ...], role: Role = Role.WEIGHT, **facts: Any) -> ParamSpec:
    """A tensor whose fans are those of a linear layer, unless given."""
    facts = {"nonlinearity": None, "layer": 1, "num_layers": 9, **facts}
    return ParamSpec(name, shape, role, facts.pop("fan_in", shape[-1]), facts.pop("fan_out", shape[0]), **facts)


def transformer(blocks: int, attentions: int = 1, width: int = WIDTH) -> list[ParamSpec]:
    """A look-up, blocks of attention (one or two) and an MLP four times as wide, and a head.

    The layers are in the order of use; the branches are numbered backwards, which laws must not rely on.
    """
    branches = blocks * (attentions + 1)
    inside: dict[str, Any] = {"branches": branches, "branch_layers": 2}
    specs = [spec_of("token", (200, width), Role.EMBEDDING, parts=("token",), fan_in=1, fan_out=width, layer=0)]
    layer, branch = 1, branches - 1
    for block in range(blocks):
        for number in range(attentions):
            name, packed = f"{block}.{number}", ("query", "key", "value")
            here = {**inside, "branch": branch}
            qkv = {"blocks": (width,) * 3, "parts": packed, "fan_out": width, "layer": layer}
            specs.append(spec_of(f"{name}.qkv", (3 * width, width), **qkv, **here))
            out: dict[str, Any] = {"parts": ("attention_out",), "closes_residual": True, "layer": layer + 1}
            specs.append(spec_of(f"{name}.out", (width, width), **out, **here))
            layer, branch = layer + 2, branch - 1
        here = {**inside, "branch": branch, "parts": ("mlp",)}
        specs.append(spec_of(f"{block}.up", (4 * width, width), layer=layer, **here))
        closes: dict[str, Any] = {"closes_residual": True, "layer": layer + 1}
        specs.append(spec_of(f"{block}.down", (width, 4 * width), **closes, **here))
        specs.append(spec_of(f"{block}.down.bias", (width,), Role.BIAS, **closes, **here))
        layer, branch = layer + 2, branch - 1
    head = {"is_head": True, "layer": layer}
    return [*specs, spec_of("head", (width, width), **head), spec_of("head.bias", (width,), Role.BIAS, **head)]


def plain_blocks(blocks: int, width: int = WIDTH) -> list[ParamSpec]:
    """A first layer, blocks of one residual branch with two layers each, and a head."""
    inside: dict[str, Any] = {"branches": blocks, "branch_layers": 2}
    specs = [spec_of("first", (width, 96), layer=0)]
    for block in range(blocks):
        here = {**inside, "branch": block}
        specs.append(spec_of(f"{block}.up", (width, width), layer=2 * block + 1, **here))
        specs.append(spec_of(f"{block}.down", (width, width), layer=2 * block + 2, closes_residual=True, **here))
    return [*specs, spec_of("head", (width, width), is_head=True, layer=2 * blocks + 1)]
