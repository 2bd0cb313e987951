"""Magneto's law for sub-LayerNorm: the factor of each matrix, and the models that it is for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import SubLn
from initsuite.models import Transformer, Vit
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import ParamSpec, Role
from support.laws import FALSE_ALARM, chi_square_p
from support.networks import WIDTH, spec_of, transformer

GELU = activation("gelu")


def with_norms(blocks: int, attentions: int = 1) -> list[ParamSpec]:
    """A norm after the first layer of each branch, over the inputs of its last one."""
    specs = transformer(blocks, attentions)
    closing = [spec for spec in specs if spec.closes_residual and spec.role is Role.WEIGHT]
    facts = [{"layer": each.layer - 1, "branch": each.branch, "branch_layers": 2} for each in closing]
    norms = zip(closing, facts, strict=True)
    return [*specs, *(spec_of(f"{each.name}.norm", (each.fan_in,), Role.NORM_SCALE, **own) for each, own in norms)]


@pytest.mark.parametrize("blocks", [2, 12])
def test_the_value_path_is_scaled_by_the_root_of_the_log(blocks: int) -> None:
    params = SubLn()(nn.Module(), with_norms(blocks), seed=0).params
    gamma = math.sqrt(math.log(2 * blocks))  # torchscale's words: math.sqrt(math.log(args.encoder_layers * 2))
    square, wide = 2 / (2 * WIDTH), 2 / (5 * WIDTH)
    query, key, value = params["1.0.qkv"].split(WIDTH)
    expected = [(query, square), (key, square), (value, gamma**2 * square), (params["head"], square)]
    expected += [(params[f"1.{name}"], gamma**2 * wide) for name in ("up", "down")]
    for values, variance in [*expected, (params["1.0.out"], gamma**2 * square)]:
        assert chi_square_p(values, variance) > FALSE_ALARM


@pytest.mark.parametrize("build", [Vit, Transformer])
@pytest.mark.parametrize("norm", ["pre", "sub", "post", "none"])
def test_it_is_for_models_with_a_norm_before_each_last_layer(build: Any, norm: str) -> None:
    shape = (1, 8, 8) if build is Vit else (8,)
    model = skeleton(lambda: build(shape, 10, GELU, depth=2, width=16, heads=2, norm=norm))
    specs = describe(model)
    if norm == "sub":
        assert all(value.isfinite().all() for value in SubLn()(model, specs, seed=0).params.values())
    else:
        with pytest.raises(
            ConfigError, match=r"no norm layer before `blocks.attention1.*Use model.norm=sub, or init=dee"
        ):
            SubLn()(model, specs, seed=0)


def test_scaling_up_before_the_norm_leaves_the_branch() -> None:
    """What the law multiplies before the inner norm changes nothing there, up to the epsilon of the norm."""
    model: Any = Vit((1, 8, 8), 10, GELU, depth=1, width=16, heads=2, norm="sub")
    attention = model.blocks.attention1.branch.attention
    tokens = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = attention.norm(attention.qkv(tokens)[..., 32:])
        attention.qkv.weight[32:] *= 3
        attention.qkv.bias[32:] *= 3
        torch.testing.assert_close(attention.norm(attention.qkv(tokens)[..., 32:]), before, atol=1e-3, rtol=0)


def test_an_encoder_and_a_decoder_together_are_refused() -> None:
    def moved(spec: ParamSpec) -> ParamSpec:
        return replace(spec, name=f"decoder.{spec.name}", layer=spec.layer + 50, branch=spec.branch + 50)

    decoder = [moved(spec) for spec in with_norms(2, attentions=2)]
    with pytest.raises(
        ConfigError, match=r"it has an encoder and a decoder. Expected one of them.*each of them on its"
    ):
        SubLn()(nn.Module(), [*with_norms(2), *decoder], seed=0)
    assert SubLn()(nn.Module(), decoder, seed=0)


def test_a_network_without_branches_or_attention_is_refused() -> None:
    with pytest.raises(ConfigError, match="no attention layer"):
        SubLn()(nn.Module(), [spec_of("w", (4, 4))], seed=0)
    with pytest.raises(ConfigError, match="no layer that closes a residual branch"):
        SubLn()(nn.Module(), [spec_of("w", (4, 4), parts=("attention_out",))], seed=0)
