"""Laws that shrink by the place of a block, or by the width: the std of each matrix by hand, and what they promise."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import DsInit, LmDepth, Mitchell, SmallGamma, SmallInit, VarianceScaling, ZeroClosing
from initsuite.init.base.blocks import branches_so_far, residual_blocks, stacks
from initsuite.models import Transformer, Vit
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initializer, Params, ParamSpec, Role
from support.laws import FALSE_ALARM, chi_square_p
from support.networks import WIDTH, plain_blocks, spec_of, transformer


def start(law: Initializer, specs: list[ParamSpec]) -> Params:
    return law(nn.Module(), specs, seed=0).params


def check_stds(params: Params, expected: dict[str, float]) -> None:
    """Each tensor has 10,000 entries and more: an error of the std of 5 % is found in 99.8 % of draws."""
    for name, std in expected.items():
        assert chi_square_p(params[name], std**2) > FALSE_ALARM, name
        assert chi_square_p(params[name], (1.1 * std) ** 2) < FALSE_ALARM, name


def test_blocks_are_those_of_the_architecture_whatever_the_branches_are_numbered() -> None:
    assert residual_blocks(transformer(3)) == [[5, 4], [3, 2], [1, 0]]
    assert residual_blocks(transformer(2, attentions=2)) == [[5, 4, 3], [2, 1, 0]]
    assert residual_blocks(plain_blocks(3)) == [[0], [1], [2]]
    only_attention = [spec for spec in transformer(3) if not spec.name.endswith(("up", "down", "down.bias"))]
    assert residual_blocks(only_attention) == [[5], [3], [1]]
    assert branches_so_far(transformer(2)) == {3: 2, 2: 2, 1: 4, 0: 4}
    assert branches_so_far(plain_blocks(2)) == {0: 1, 1: 2}


def test_a_decoder_is_counted_apart_from_its_encoder() -> None:
    model = skeleton(lambda: nn.Transformer(64, 4, 2, 3, 128))
    specs = describe(model)
    assert [[len(block) for block in stack] for stack in stacks(specs)] == [[2, 2], [3, 3, 3]]
    assert set(branches_so_far(specs).values()) == {2, 4, 3, 6, 9}
    laws = LmDepth().laws(model, specs)
    for name, count in {
        "encoder.layers.1.linear2": 4,
        "decoder.layers.0.linear2": 3,
        "decoder.layers.2.linear2": 9,
    }.items():
        law, spec = laws[f"{name}.weight"]
        assert law.declared_std(spec) == pytest.approx(0.02 / math.sqrt(count))  # type: ignore[attr-defined]
    law, spec = SmallInit().laws(model, specs)["decoder.layers.1.multihead_attn.out_proj.weight"]
    assert law.declared_std(spec) == pytest.approx(2 / 3 / math.sqrt(64))  # type: ignore[attr-defined]


def test_attention_and_mlp_in_parallel_count_as_two_branches_of_one_block() -> None:
    """Each block of GPT-J is one sum: x + attention(x) + mlp(x)."""
    parallel = [
        replace(spec, branch=int(spec.name[0]), branch_layers=4) if spec.branch_layers else spec
        for spec in transformer(3)
    ]
    assert residual_blocks(parallel) == [[0], [1], [2]]
    assert branches_so_far(parallel) == {0: 2, 1: 4, 2: 6}
    check_stds(start(LmDepth(), parallel), {"1.0.out": 0.01, "1.down": 0.01})
    check_stds(start(SmallInit(), parallel), {"1.down": 2 / 3 / math.sqrt(WIDTH)})


@pytest.mark.parametrize("build", [Vit, Transformer])
def test_our_transformers_have_blocks_of_two(build: Any) -> None:
    shape = (1, 8, 8) if build is Vit else (8,)
    model = skeleton(lambda: build(shape, 10, activation("gelu"), depth=3, width=16, heads=2))
    specs = describe(model)
    blocks = residual_blocks(specs)
    assert [len(block) for block in blocks] == [2, 2, 2]
    first = {spec.branch for spec in specs if spec.branch_layers and "attention1" in spec.name}
    assert first < set(blocks[0])


def test_lm_depth_divides_by_the_root_of_twice_the_number_of_the_block() -> None:
    params = start(LmDepth(), transformer(4))
    check_stds(params, {"token": 0.02, "2.0.qkv": 0.02, "2.up": 0.02, "head": 0.02})
    for block in range(4):  # torchtitan's words: 0.02 / (2 * (layer_id + 1)) ** 0.5
        std = 0.02 / (2 * (block + 1)) ** 0.5
        check_stds(params, {f"{block}.0.out": std, f"{block}.down": std})
    assert not params["head.bias"].any()
    check_stds(start(LmDepth(std=0.5), plain_blocks(3)), {"0.down": 0.5, "2.down": 0.5 / math.sqrt(3), "2.up": 0.5})


def test_the_last_block_of_lm_depth_is_that_of_gpt2() -> None:
    params = start(LmDepth(), transformer(12))
    check_stds(params, {"11.down": 0.02 / math.sqrt(2 * 12), "0.down": 0.02 / math.sqrt(2)})


def test_mitchell_follows_the_fan_in_and_the_block() -> None:
    params = start(Mitchell(), transformer(3))
    check_stds(params, {"token": WIDTH**-0.5, "head": WIDTH**-0.5, "1.0.qkv": WIDTH**-0.5, "1.up": WIDTH**-0.5})
    for block in range(3):
        check_stds(
            params,
            {
                f"{block}.0.out": 1 / math.sqrt(2 * WIDTH * (block + 1)),
                f"{block}.down": 1 / math.sqrt(2 * 4 * WIDTH * (block + 1)),
            },
        )
    largest = float(params["1.up"].abs().max()) * math.sqrt(WIDTH)
    assert 2.9 < largest <= 3 / 0.98658  # 65,536 entries cut at 3; std of N(0, 1) cut there, by hand


def test_ds_init_divides_xavier_by_the_root_of_the_block() -> None:
    specs = transformer(4)
    params = start(DsInit(), specs)
    square, wide = math.sqrt(2 / (2 * WIDTH)), math.sqrt(2 / (5 * WIDTH))
    check_stds(params, {"head": square})
    for block in range(4):
        root = math.sqrt(block + 1)
        check_stds(params, {f"{block}.0.qkv": square / root, f"{block}.up": wide / root, f"{block}.down": wide / root})
    assert float(params["1.up"].abs().max()) <= math.sqrt(
        6 / (5 * WIDTH) / 2
    )  # the paper's bound gamma alpha / sqrt(l)
    half = start(DsInit(alpha=0.5), specs)
    torch.testing.assert_close(half["2.up"], params["2.up"] / 2)
    torch.testing.assert_close(half["head"], params["head"])


def test_small_init_goes_by_the_width_of_the_stream() -> None:
    small = math.sqrt(2 / (5 * WIDTH))
    params = start(SmallInit(), transformer(8))
    check_stds(params, dict.fromkeys(("token", "3.0.qkv", "3.up", "head"), small))
    check_stds(params, dict.fromkeys(("3.0.out", "3.down"), 2 / 8 / math.sqrt(WIDTH)))  # gpt-neox: 2 / n_layers / sqrt
    check_stds(start(SmallInit("small"), transformer(8)), {"3.0.out": small, "3.down": small})
    check_stds(start(SmallInit(), plain_blocks(5)), {"3.down": 2 / 5 / math.sqrt(WIDTH)})


def test_small_init_is_xavier_in_an_mlp_four_times_as_wide() -> None:
    xavier = VarianceScaling(gain=1.0, fan="fan_avg")
    up = spec_of("up", (4 * WIDTH, WIDTH))
    laws = SmallInit("small").laws(nn.Module(), transformer(1))
    for name, shape in (("0.up", up.shape), ("0.down", up.shape[::-1])):
        law, spec = laws[name]
        assert law.declared_std(spec) == pytest.approx(xavier.declared_std(spec_of(name, shape)))  # type: ignore[attr-defined]


@pytest.mark.parametrize("gamma", [0.5, 0.8])
def test_small_gamma_is_a_power_of_the_inputs(gamma: float) -> None:
    params = start(SmallGamma(gamma), transformer(2))
    expected = {"token": 200**-gamma, "1.up": WIDTH**-gamma, "1.down": (4 * WIDTH) ** -gamma, "head": WIDTH**-gamma}
    check_stds(params, expected)


@functools.cache
def vit() -> tuple[nn.Module, list[ParamSpec]]:
    model = skeleton(lambda: Vit((1, 8, 8), 10, activation("gelu"), depth=2, width=16, heads=2))
    return model, describe(model)


@pytest.mark.parametrize("inside", ["he", "lecun", "normal", "torch_default"])
def test_zero_closing_makes_every_branch_zero_and_the_rest_as_inside(inside: str) -> None:
    model, specs = vit()
    params = ZeroClosing(inside)(model, specs, seed=0).params
    zeroed = {name for name, value in params.items() if name.endswith("weight") and not value.any()}
    assert zeroed == {spec.name for spec in specs if spec.closes_residual and spec.role is Role.WEIGHT}
    assert len(zeroed) == 4
    inputs = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    seen = []
    block = model.get_submodule("blocks.mlp2")
    handle = block.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    functional_call(model, params, (inputs,))
    handle.remove()
    torch.testing.assert_close(seen[0][0], seen[0][1], rtol=0, atol=0)
    std = {"he": 8**-0.5, "lecun": 0.25, "normal": 0.02, "torch_default": 1 / math.sqrt(3 * 16)}[inside]
    up = torch.stack(
        [ZeroClosing(inside)(model, specs, seed=seed).params["blocks.mlp1.branch.linear1.weight"] for seed in range(10)]
    )
    assert chi_square_p(up, std**2) > FALSE_ALARM


@pytest.mark.parametrize("law", [LmDepth(), Mitchell(), DsInit(), SmallInit(), ZeroClosing()])
def test_a_model_without_branches_is_refused(law: Initializer) -> None:
    with pytest.raises(ConfigError, match=r"no layer that closes a residual branch.*Use init=he"):
        start(law, [spec_of("only", (128, 128))])


@pytest.mark.parametrize(
    ("law", "options", "message"),
    [
        (LmDepth, {"std": 0}, r"LmDepth: bad value `std`=0. Expected a finite number above 0"),
        (DsInit, {"alpha": 0}, r"DsInit: bad value `alpha`=0"),
        (SmallInit, {"closing": "gpt2"}, r"SmallInit: unknown `closing`='gpt2'. Expected one of: wang, small"),
        (SmallGamma, {"gamma": -1}, r"SmallGamma: bad value `gamma`=-1"),
        (
            ZeroClosing,
            {"inside": "xaver"},
            r"ZeroClosing: unknown `inside`='xaver'. Expected one of: he, lecun, normal",
        ),
    ],
)
def test_bad_options_are_refused(law: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        law(**options)
