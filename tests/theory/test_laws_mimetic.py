"""Mimetic initialization: products of a layer's projections against their targets, by numpy and by forward passes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from initsuite import rng
from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import Mimetic
from initsuite.models import Vit
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Params, ParamSpec, Role

FALSE_ALARM = 1e-4
"""Of a two-sided chi-square test. At n = 16,384 it rejects an error of the std of 4 % in 99.9 % of draws."""
ROUNDING = 1e-5
"""Of products of 128 float32 entries of size 1."""
WIDTH = 128


def variance_p(values: Tensor, variance: float) -> float:
    """Two-sided p value of sum(x^2) / variance, chi-square of n degrees of freedom."""
    n = values.numel()
    assert n >= 10_000
    statistic = float((values.double() ** 2).sum()) / variance
    return 2 * float(min(stats.chi2.cdf(statistic, n), stats.chi2.sf(statistic, n)))


def spec_of(
    name: str, shape: tuple[int, ...], parts: tuple[str, ...], role: Role = Role.WEIGHT, head_width: int = 0
) -> ParamSpec:
    facts: dict[str, Any] = {"blocks": (shape[0] // len(parts),) * len(parts) if len(parts) > 1 else ()}
    return ParamSpec(name, shape, role, shape[-1], shape[-1], None, 0, 4, parts=parts, head_width=head_width, **facts)


def attention(heads: int, width: int = WIDTH) -> tuple[nn.Module, list[ParamSpec]]:
    """torch's attention inside of a model, with its facts written by hand."""
    model = nn.ModuleDict({"mix": nn.MultiheadAttention(width, heads, bias=False, batch_first=True)})
    parts = ("query", "key", "value")
    packed = spec_of("mix.in_proj_weight", (3 * width, width), parts, head_width=width // heads)
    return model, [packed, spec_of("mix.out_proj.weight", (width, width), ("attention_out",))]


def start(heads: int, law: Mimetic | None = None, seed: int = 0) -> tuple[nn.Module, Params]:
    model, specs = attention(heads)
    return model, (law or Mimetic())(model, specs, seed=seed).params


def projections(params: Params) -> tuple[Tensor, ...]:
    return (*params["mix.in_proj_weight"].split(WIDTH), params["mix.out_proj.weight"])


def targets(heads: int, seed: int = 0) -> list[NDArray[np.float64]]:
    """alpha Z + beta I of each head's queries and keys, then of values and outputs, from the layer's stream."""
    generator = rng.generator(seed, "init", "mix")
    factors = [(0.7, 0.7)] * heads + [(0.4, -0.4)]
    drawn = [torch.empty(WIDTH, WIDTH).normal_(0, WIDTH**-0.5, generator=generator) for _ in factors]
    return [a * z.double().numpy() + b * np.eye(WIDTH) for z, (a, b) in zip(drawn, factors, strict=True)]


@pytest.mark.parametrize("heads", [1, 4])
def test_queries_and_keys_of_a_head_are_the_best_low_rank_part_of_the_target(heads: int) -> None:
    query, key, *_ = projections(start(heads)[1])
    size = WIDTH // heads
    for head, target in enumerate(targets(heads)[:-1]):
        rows = slice(head * size, (head + 1) * size)
        product = query[rows].T.double() @ key[rows].double()  # W_Q W_K^T of the paper, whose rows are inputs
        u, s, vh = np.linalg.svd(target)
        best = (u[:, :size] * s[:size]) @ vh[:size]
        np.testing.assert_allclose(product.numpy(), best, atol=ROUNDING)
        for half in (query, key):  # split evenly
            np.testing.assert_allclose(np.linalg.svd(half[rows].numpy())[1], np.sqrt(s[:size]), atol=ROUNDING)


def test_with_one_head_the_products_have_the_laws_of_the_paper() -> None:
    query, key, value, out = projections(start(1)[1])
    identity = torch.eye(WIDTH)
    assert variance_p((query.T @ key - 0.7 * identity) / 0.7, 1 / WIDTH) > FALSE_ALARM
    assert variance_p((value.T @ out.T + 0.4 * identity) / 0.4, 1 / WIDTH) > FALSE_ALARM


def test_a_single_token_goes_through_torchs_attention_as_the_target_says() -> None:
    """Alone in its sequence a token attends to itself: out = x W_V W_O. Here a forgotten transpose would show."""
    model, params = start(heads=4)
    model.load_state_dict(params)
    tokens = torch.randn(50, 1, WIDTH, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        output = model["mix"](tokens, tokens, tokens, need_weights=False)[0]  # type: ignore[index]
    expected = tokens[:, 0].double().numpy() @ targets(4)[-1]
    np.testing.assert_allclose(output[:, 0].numpy(), expected, atol=10 * ROUNDING)
    assert not np.allclose(expected, tokens[:, 0].double().numpy() @ targets(4)[-1].T, atol=0.1)


def test_tokens_attend_to_their_like() -> None:
    query, key, *_ = projections(start(heads=2)[1])
    tokens = torch.randn(40, WIDTH, generator=torch.Generator().manual_seed(5))
    for rows in (slice(0, 64), slice(64, 128)):
        scores = tokens @ query[rows].T @ (tokens @ key[rows].T).T / math.sqrt(64)
        assert (scores.argmax(-1) == torch.arange(40)).all()


def test_without_noise_the_products_are_identities() -> None:
    law = Mimetic(query_key_noise=0, value_noise=0, query_key_identity=0.5, value_identity=2)
    query, key, value, out = projections(start(1, law)[1])
    torch.testing.assert_close(query.T @ key, 0.5 * torch.eye(WIDTH), atol=ROUNDING, rtol=0)
    torch.testing.assert_close(value.T @ out.T, -2 * torch.eye(WIDTH), atol=ROUNDING, rtol=0)


def test_separate_projections_are_drawn_as_packed_ones() -> None:
    model, packed = start(heads=4)
    names = {"query": "mix.q", "key": "mix.k", "value": "mix.v", "attention_out": "mix.o"}
    specs = [spec_of(name, (WIDTH, WIDTH), (part,), head_width=WIDTH // 4) for part, name in reversed(names.items())]
    for name in "qkvo":
        model["mix"].register_parameter(name, None)  # type: ignore[index]
    params = Mimetic()(model, specs, seed=0).params
    assert list(params) == [spec.name for spec in specs]
    for name, expected in zip(names.values(), projections(packed), strict=True):
        assert torch.equal(params[name], expected)


def test_layers_and_seeds_differ_and_all_else_is_normal() -> None:
    first, second = nn.MultiheadAttention(64, 2), nn.MultiheadAttention(64, 2)
    model = nn.ModuleDict({"first": first, "second": second})
    specs = [spec_of("table", (200, 64), ("token",), Role.EMBEDDING), spec_of("mlp", (160, 64), ("mlp",))]
    for name in model:
        specs.append(spec_of(f"{name}.in_proj_weight", (192, 64), ("query", "key", "value"), head_width=32))
        specs.append(spec_of(f"{name}.out_proj.weight", (64, 64), ("attention_out",)))
    params = Mimetic()(model, specs, seed=0).params
    assert not torch.equal(params["first.in_proj_weight"], params["second.in_proj_weight"])
    assert not torch.equal(
        params["first.in_proj_weight"], Mimetic()(model, specs, seed=1).params["first.in_proj_weight"]
    )
    for name in ("table", "mlp"):
        assert variance_p(params[name], 0.02**2) > FALSE_ALARM


def refused(model: nn.Module, specs: list[ParamSpec], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Mimetic()(model, specs, seed=0)


def test_models_without_such_an_attention_are_refused() -> None:
    model, specs = attention(2)
    refused(model, specs[:1], r"no attention layer.*model=vit or model=transformer")
    refused(
        model, specs[1:], r"layer around `mix.out_proj.weight` with attention_out of sizes.*Expected query, key, value"
    )
    wide = spec_of("mix.in_proj_weight", (3 * WIDTH, 2 * WIDTH), ("query", "key", "value"))
    refused(model, [wide, specs[1]], r"of one square size. Use init=xavier")
    unknown = [replace(spec, head_width=0) for spec in specs]
    refused(model, unknown, r"unknown number of heads of `mix.in_proj_weight`.*num_heads.*example=")


@pytest.mark.parametrize("name", ["query_key_noise", "query_key_identity", "value_noise", "value_identity"])
def test_bad_options_are_refused(name: str) -> None:
    options: dict[str, Any] = {name: -0.1}
    with pytest.raises(ConfigError, match=rf"`{name}`=-0.1.*from 0"):
        Mimetic(**options)
    with pytest.raises(ConfigError, match=r"`std`=0.*above 0"):
        Mimetic(std=0)


def test_every_layer_of_our_vit_gets_its_products() -> None:
    model = skeleton(lambda: Vit((1, 8, 8), 10, activation("gelu"), depth=2, width=32, heads=1))
    params = Mimetic(query_key_noise=0, value_noise=0)(model, describe(model), seed=0).params
    for number in (1, 2):
        name = f"blocks.attention{number}.branch.attention"
        query, key, value = params[f"{name}.qkv.weight"].split(32)
        torch.testing.assert_close(query.T @ key, 0.7 * torch.eye(32), atol=ROUNDING, rtol=0)
        product = params[f"{name}.out.weight"] @ value
        torch.testing.assert_close(product, -0.4 * torch.eye(32), atol=ROUNDING, rtol=0)
