"""GPT-2, T-Fixup and DeepNorm: which matrices of a transformer are scaled, and by how much."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.func import functional_call

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import DeepNorm, Gpt2, TFixup, VarianceScaling, as_initializer
from initsuite.models import Mlp, Transformer, Vit
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initializer, Params, ParamSpec, Role

FALSE_ALARM = 1e-4
"""Of a two-sided chi-square test. At n = 16,384 it rejects an error of the std of 4 % in 99.9 % of draws."""
WIDTH = 128
GELU = activation("gelu")
PACKED: dict[str, Any] = {"blocks": (WIDTH,) * 3, "parts": ("query", "key", "value")}
XAVIER = {
    name: as_initializer(VarianceScaling(gain=1.0, fan="fan_avg", distribution=name)) for name in ("uniform", "normal")
}


def variance_p(values: Tensor, variance: float) -> float:
    """Two-sided p value of sum(x^2) / variance; conservative for the uniform law."""
    n = values.numel()
    assert n >= 10_000
    statistic = float((values.double() ** 2).sum()) / variance
    return 2 * float(min(stats.chi2.cdf(statistic, n), stats.chi2.sf(statistic, n)))


def spec_of(name: str, shape: tuple[int, ...], role: Role = Role.WEIGHT, **facts: Any) -> ParamSpec:
    facts = {"nonlinearity": None, "layer": 1, "num_layers": 9, **facts}
    return ParamSpec(name, shape, role, facts.pop("fan_in", shape[-1]), facts.pop("fan_out", shape[0]), **facts)


def network(blocks: int, norm: bool = False, attentions: int = 1, shortcut: float = 1.0) -> list[ParamSpec]:
    """An embedding, blocks of attention (one or two) and a two-layer network, and a head."""
    branches = blocks * (attentions + 1)
    inside: dict[str, Any] = {"branches": branches, "branch_layers": 2, "shortcut": shortcut}
    specs = [spec_of("token", (200, WIDTH), Role.EMBEDDING, parts=("token",), fan_in=1, fan_out=WIDTH)]
    for block in range(blocks):
        for number in range(attentions):
            name = f"{block}.{number}"
            specs.append(spec_of(f"{name}.qkv", (3 * WIDTH, WIDTH), fan_out=WIDTH, **PACKED, **inside))
            closing: dict[str, Any] = {"parts": ("attention_out",), "closes_residual": True}
            specs.append(spec_of(f"{name}.out", (WIDTH, WIDTH), **closing, **inside))
        specs.append(spec_of(f"{block}.up", (4 * WIDTH, WIDTH), parts=("mlp",), **inside))
        specs.append(spec_of(f"{block}.down", (WIDTH, 4 * WIDTH), parts=("mlp",), closes_residual=True, **inside))
        if norm:
            specs.append(spec_of(f"{block}.norm", (WIDTH,), Role.NORM_SCALE))
    return [*specs, spec_of("head", (WIDTH, WIDTH), is_head=True), spec_of("head.bias", (WIDTH,), Role.BIAS)]


def start(initializer: Initializer, specs: list[ParamSpec]) -> Params:
    return initializer(nn.Module(), specs, seed=0).params


def ratios(params: Params, plain: Params, specs: list[ParamSpec]) -> dict[str, float]:
    """Factor of each matrix over the unscaled draw of the same stream, by its part; each is checked to be one."""
    found: dict[str, float] = {}
    for spec in specs:
        if spec.role is not Role.WEIGHT:
            continue
        rows = spec.blocks or (spec.shape[0],)
        parts = spec.parts or (spec.name,)
        for part, own, other in zip(parts, params[spec.name].split(rows), plain[spec.name].split(rows), strict=True):
            ratio = float((own / other).median())
            torch.testing.assert_close(own, other * ratio)
            assert found.setdefault(part, ratio) == pytest.approx(ratio)
    return found


def test_gpt2_divides_what_closes_a_branch_by_the_root_of_the_number_of_branches() -> None:
    params = start(Gpt2(), network(12))
    closing = (0.02 / math.sqrt(2 * 12)) ** 2  # nanoGPT's words: 0.02 / sqrt(2 * n_layer)
    for name, variance in {
        "token": 0.02**2,
        "3.0.qkv": 0.02**2,
        "3.up": 0.02**2,
        "head": 0.02**2,
        "3.0.out": closing,
        "3.down": closing,
    }.items():
        assert variance_p(params[name], variance) > FALSE_ALARM
    assert variance_p(params["3.down"], 0.02**2) < FALSE_ALARM
    assert not params["head.bias"].any()
    assert variance_p(start(Gpt2(std=0.5), network(1))["0.up"], 0.25) > FALSE_ALARM


def test_gpt2_refuses_a_model_in_which_nothing_would_be_scaled() -> None:
    """A name pattern that matches nothing went unnoticed for years in a famous library."""
    model = skeleton(lambda: Mlp((64,), 10, GELU))
    with pytest.raises(ConfigError, match=r"no layer that closes a residual branch.*models.branch.Branch.*init=he"):
        Gpt2()(model, describe(model), seed=0)


@pytest.mark.parametrize("blocks", [1, 6])
def test_t_fixup_scales_the_value_path_of_an_encoder(blocks: int) -> None:
    specs = network(blocks)
    params = start(TFixup(), specs)
    scaled = 0.67 * blocks ** (-1 / 4)
    assert ratios(params, start(XAVIER["uniform"], specs), specs) == pytest.approx(
        {"query": 1, "key": 1, "value": scaled, "attention_out": scaled, "mlp": scaled, "head": 1}
    )
    assert variance_p(params["token"], (9 * blocks) ** (-1 / 2) / WIDTH) > FALSE_ALARM
    assert not params["head.bias"].any()


def test_t_fixup_shrinks_tokens_and_not_positions() -> None:
    """The authors' arithmetic: N(0, d^(-1/2)) for both, (9N)^(-1/4) for tokens; sqrt(d) at the look-up."""
    model = skeleton(lambda: Transformer((256,), 128, GELU, depth=3, width=128, norm="none", scale_tokens=True))
    params = TFixup()(model, describe(model), seed=0).params
    assert variance_p(params["position.weight"], 1 / 128) > FALSE_ALARM
    assert variance_p(params["token.weight"], 27**-0.5 / 128) > FALSE_ALARM
    looked_up = functional_call(model.get_submodule("token"), {"weight": params["token.weight"]}, torch.arange(128))
    assert variance_p(looked_up, 27**-0.5) > FALSE_ALARM


def test_t_fixup_counts_two_attentions_for_a_block_of_a_decoder() -> None:
    specs = network(4, attentions=2)
    factors = ratios(start(TFixup("decoder"), specs), start(XAVIER["uniform"], specs), specs)
    assert factors["value"] == factors["mlp"] == pytest.approx(0.40825, abs=1e-5)  # 36^(-1/4), by hand
    assert factors["query"] == factors["key"] == 1


def test_packed_projections_get_the_variance_of_separate_ones() -> None:
    """torch's own Xavier of the packed matrix has half of it (torch issue 166378)."""
    query, key, value = start(TFixup(), network(1))["0.0.qkv"].split(WIDTH)
    for values, factor in ((query, 1), (key, 1), (value, 0.67)):
        assert variance_p(values, factor**2 * 2 / (WIDTH + WIDTH)) > FALSE_ALARM
    assert variance_p(nn.init.xavier_uniform_(torch.empty(3 * WIDTH, WIDTH)), 1 / WIDTH) < FALSE_ALARM


def test_deepnorm_scales_the_value_path_for_its_weighted_shortcuts() -> None:
    specs = network(8, norm=True, shortcut=2.0)  # alpha = (2 * 8)^(1/4) = 2, by hand
    params = start(DeepNorm(), specs)
    beta = 0.3535534  # 64^(-1/4) = 1 / sqrt(8), by hand
    assert ratios(params, start(XAVIER["normal"], specs), specs) == pytest.approx(
        {"query": 1, "key": 1, "value": beta, "attention_out": beta, "mlp": beta, "head": 1}
    )
    assert (params["3.norm"] == 1).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: start(TFixup(), network(0)), r"no attention layer.*model=vit or model=transformer"),
        (lambda: start(TFixup(), network(2, norm=True)), r"a norm layer \(`0.norm`\).*model.norm=none; .*nn.Identity"),
        (lambda: start(DeepNorm(), network(0)), r"no attention layer"),
        (lambda: start(DeepNorm(), network(8)), r"factors \[1.0\].*\(2N\)\^\(1/4\) = 2.*deepnorm=true"),
        (lambda: start(DeepNorm(), network(8)[:6] + network(8, shortcut=2.0)[6:]), r"with factors \[1.0, 2.0\]"),
    ],
)
def test_a_model_that_lacks_what_a_law_needs_is_refused(call: Callable[[], Params], message: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot initialize this model: it has .*{message}"):
        call()


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`std`=0.*above 0"):
        Gpt2(std=0)
    with pytest.raises(ConfigError, match=r"unknown `part`='both'.*encoder, decoder"):
        TFixup(part="both")


def vit(**options: Any) -> nn.Module:
    return Vit((1, 8, 8), 10, GELU, depth=3, width=16, heads=2, **options)


def text(**options: Any) -> nn.Module:
    return Transformer((8,), 30, GELU, depth=3, width=16, heads=2, **options)


@pytest.mark.parametrize("build", [vit, text])
@pytest.mark.parametrize(
    ("law", "plain", "options", "factor"),
    [
        (TFixup(), "uniform", {"norm": "none", "scale_tokens": True}, 0.67 * 3**-0.25),
        (DeepNorm(), "normal", {"norm": "post", "deepnorm": True}, 24**-0.25),
    ],
    ids=["t_fixup", "deepnorm"],
)
def test_our_transformers_have_all_that_is_scaled(
    build: Callable[..., nn.Module], law: Initializer, plain: str, options: dict[str, Any], factor: float
) -> None:
    model = skeleton(lambda: build(**options))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        specs = describe(model)
    found = ratios(law(model, specs, seed=0).params, XAVIER[plain](model, specs, seed=0).params, specs)
    scaled = ("value", "attention_out", "mlp")
    assert found == pytest.approx({part: factor if part in scaled else 1 for part in found})
    assert {*scaled, "query", "key", "head.weight"} <= found.keys()


@pytest.mark.parametrize("build", [vit, text])
def test_gpt2_finds_the_two_closing_layers_of_each_block(build: Callable[..., nn.Module]) -> None:
    model = skeleton(build)
    specs = describe(model)
    assert {spec.branches for spec in specs if spec.closes_residual} == {6}
    closing = [spec.name for spec in specs if spec.closes_residual and spec.role is Role.WEIGHT]
    assert [name.rpartition(".branch.")[2] for name in closing] == ["attention.out.weight", "linear2.weight"] * 3
