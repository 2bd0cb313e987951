"""`initialize_` on the models people bring, with every generic initializer of conf/init."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor, nn

import initsuite
from initsuite.data.torchvision_import import import_torchvision
from initsuite.errors import ConfigError
from initsuite.models.describe.describe import Description, examine
from initsuite.spec import Probe

CONF = Path(__file__).parents[2] / "conf" / "init"
TREES = [yaml.safe_load(path.read_text()) for path in sorted(CONF.glob("*.yaml")) if path.stem != "custom"]
DATA_DEPENDENT = {"lsuv", "data_dependent", "metainit", "gradinit"}
"""These run the model forward and backward, and have tests of their own."""
GENERIC = [tree["name"] for tree in TREES if not tree.get("requires") and tree["name"] not in DATA_DEPENDENT]
FAST = {"he"}
"""Tried on the large models in the fast suite too."""
HUGE = {"vit_b_16", "swin_t"}
"""Seconds for each test: only in the slow suite."""
SIGMAS = 5
"""Bound in sampling errors of a std: one tensor in two million is outside by chance."""
MANY = 1000
"""Entries from which a sample std is nearly normal, with an error of at most a few per cent."""
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2**-8}
"""Relative error of one cast and of the sums: bfloat16 keeps 8 bits."""


SWIN_TABLES = frozenset({"relative_position_index", "relative_position_bias_table"})


class Case(NamedTuple):
    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]
    is_large: bool
    lost: frozenset[str] = frozenset()
    """What the model computes itself and no law is for: it is lost on the meta device."""


def zoo(name: str, **options: Any) -> nn.Module:
    import_torchvision()
    from torchvision import models

    return getattr(models, name)(weights=None, **options)


def vgg11() -> nn.Module:
    """Without its 120 million weights in two linear layers; they are of the same kind as the one that is left."""
    with torch.device("meta"):
        model = zoo("vgg11")
    model.classifier = nn.Sequential(nn.Linear(512 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 10))
    return model


def image(size: int = 64) -> tuple[Tensor, ...]:
    return (torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)),)


def sequences(count: int) -> tuple[Tensor, ...]:
    return torch.randn(count, 5, 2, 64, generator=torch.Generator().manual_seed(0)).unbind()


CASES = {
    "resnet18": Case(lambda: zoo("resnet18"), image, is_large=True),
    "vgg11": Case(vgg11, image, is_large=True),
    "vit_b_16": Case(lambda: zoo("vit_b_16"), lambda: image(224), is_large=True),
    "mobilenet_v3_small": Case(lambda: zoo("mobilenet_v3_small"), image, is_large=True),
    "swin_t": Case(lambda: zoo("swin_t"), image, is_large=True, lost=SWIN_TABLES),
    "lstm": Case(lambda: nn.LSTM(64, 48, num_layers=2), lambda: sequences(1), is_large=False),
    "transformer": Case(lambda: nn.Transformer(64, 4, 2, 2, 256, dropout=0.0), lambda: sequences(2), is_large=False),
}
REFUSED: dict[str, tuple[str, set[str]]] = {
    "siren": ("Expected a sine after every hidden layer", set(CASES)),
    "irnn": ("no recurrent weight in the", set(CASES) - {"lstm"}),
    **dict.fromkeys(
        ["gpt2", "ds_init", "lm_depth", "mitchell", "small_init", "zero_closing"],
        ("no layer that closes a residual branch", {"vgg11", "lstm"}),
    ),
    **dict.fromkeys(
        ["complete_p", "depth_mup"],
        ("no layer that closes a residual|that ends a branch", {"resnet18", "vgg11", "mobilenet_v3_small", "lstm"}),
    ),
    "chrono": ("no bias of a forget_gate or input_gate or update_gate", set(CASES) - {"lstm"}),
    "focal_prior": ("no head with a bias", {"lstm", "transformer"}),
    "kan_power": ("no layer of learned functions", set(CASES)),
    **dict.fromkeys(["lora", "pissa"], ("no low-rank adapter", set(CASES))),
    "icnr": ("no sub-pixel convolution", set(CASES)),
    "mimetic": ("no attention layer", {"resnet18", "vgg11", "mobilenet_v3_small", "lstm"}),
    "random_walk": (
        "the paper has a formula for: identity, relu",
        {"vit_b_16", "mobilenet_v3_small", "swin_t", "lstm"},
    ),
    **dict.fromkeys(
        ["critical", "isometric"], ("no critical point for `activation`='hardsigmoid'", {"mobilenet_v3_small"})
    ),
}
"""The message with which a law refuses, and the models that it is not for. Every other pair must work."""


SLOW_IF_HUGE = [pytest.param(name, marks=[pytest.mark.slow] if name in HUGE else []) for name in CASES]


@functools.lru_cache(maxsize=1)
def model_of(name: str) -> nn.Module:
    """Built once and initialized many times: each initializer overwrites the one before."""
    model = CASES[name].build()
    return model.to_empty(device="cpu") if next(model.parameters()).is_meta else model


@functools.lru_cache(maxsize=1)
def description_of(name: str, **options: Any) -> Description:
    """Recorded once for all initializers: it depends neither on them nor on values."""
    return examine(model_of(name), **options)


def initialized(model: nn.Module, init: str, **options: Any) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(keep|kept|meta device)")  # tested in the unit tests
        return initsuite.initialize_(model, init, **options)


def outputs_of(model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    model.eval()
    with torch.no_grad():
        outputs = model(*inputs)
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def wrong_stds(model: nn.Module, table: pd.DataFrame, slack: float = ROUNDING[torch.float32]) -> list[str]:
    """Tensors whose entries are not of the std that their law declares.

    The std of n independent entries is known to sqrt((k - 1) / 4n), k the kurtosis (3 for the normal law); its mean,
    which is taken out, to 1 / sqrt(n), which lowers it by up to SIGMAS^2 / 2n.
    """
    wrong = []
    for row in table[table["expected_std"].notna()].to_dict("records"):
        values = model.get_parameter(row["tensor"]).detach().double()
        if row["expected_std"] == 0:
            is_right = row["realised_std"] == 0 and (values == values.flatten()[0]).all()
        elif values.numel() < MANY:
            continue
        else:
            n, kurtosis = values.numel(), float(((values - values.mean()) / values.std()).pow(4).mean())
            bound = SIGMAS * math.sqrt((kurtosis - 1) / (4 * n)) + SIGMAS**2 / (2 * n) + slack
            is_right = abs(row["realised_std"] / row["expected_std"] - 1) < bound
        if not is_right:
            wrong.append(f"{row['tensor']}: {row['realised_std']:.4g}, declared {row['expected_std']:.4g}")
    return wrong


def pairs() -> list[Any]:
    """Every model with every generic initializer; the fast suite tries few on the large models (see `marks`)."""
    return [
        pytest.param(name, init, marks=marks(name, init), id=f"{name}-{init}") for name in CASES for init in GENERIC
    ]


def marks(name: str, init: str) -> list[pytest.MarkDecorator]:
    if not CASES[name].is_large:
        return []
    if init in FAST:
        return [pytest.mark.slow] if name in HUGE else []
    # every law meets each kind of layer on mobilenet, the LSTM and the Transformer
    return [pytest.mark.slow] if name == "mobilenet_v3_small" else [pytest.mark.slow, pytest.mark.exhaustive]


@pytest.mark.parametrize(("name", "init"), pairs())
def test_every_generic_initializer_on_every_model(name: str, init: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(name)
    monkeypatch.setattr("initsuite.apply.initialize.examine", lambda model, **options: description_of(name, **options))
    reason, refused = REFUSED.get(init, ("", set()))
    if name in refused:
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with pytest.raises(ConfigError, match=reason):
            initialized(model, init)
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        return
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)  # so that a forgotten tensor is noticed
    table = initialized(model, init, seed=1).set_index("tensor", drop=False)
    assert list(table["tensor"]) == list(before)
    for key, parameter in model.named_parameters():
        if table.loc[key, "how"] == "kept":
            assert parameter.isnan().all()
            with torch.no_grad():
                parameter.copy_(before[key])
        assert parameter.isfinite().all()
    assert wrong_stds(model, table) == []
    assert outputs_of(model, CASES[name].inputs()).isfinite().all()


def test_a_wrong_std_is_found() -> None:
    model = model_of("lstm")
    table = initialized(model, "he")
    off = 1 + 6 / math.sqrt(2 * 4 * 48 * 64)  # 4 gates of 48 units on 64 inputs: 6 sigmas, 4 %
    with torch.no_grad():
        model.get_parameter("weight_ih_l0").mul_(off)
    table["realised_std"] *= [off, *[1.0] * (len(table) - 1)]
    (found,) = wrong_stds(model, table)
    assert found.startswith("weight_ih_l0: ")


@pytest.mark.parametrize("name", SLOW_IF_HUGE)
def test_all_of_he_is_drawn_and_declared(name: str) -> None:
    model = model_of(name)
    table = initialized(model, "he")
    drawn = table[table["how"] == "drawn"]
    assert drawn["expected_std"].notna().all()
    weights = drawn[drawn["role"].isin(["weight", "recurrent"])]
    assert weights["gain"].tolist() == pytest.approx([math.sqrt(2)] * len(weights))
    in_weights = sum(math.prod(shape) for shape in weights["shape"])
    assert in_weights > 0.9 * sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("init", ["he", "orthogonal", "torch_default"])
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "lstm", "transformer"])
def test_in_bfloat16(name: str, init: str) -> None:
    reference = CASES[name].build()
    initialized(reference, init)
    model = CASES[name].build().to(torch.bfloat16)
    table = initialized(model, init)
    placed = table.loc[table["how"] == "drawn", "tensor"]
    for key in placed:
        assert torch.equal(model.get_parameter(key), reference.get_parameter(key).to(torch.bfloat16))
    assert wrong_stds(model, table, ROUNDING[torch.bfloat16]) == []
    assert outputs_of(model, tuple(x.bfloat16() for x in CASES[name].inputs())).isfinite().all()


@pytest.mark.parametrize("name", SLOW_IF_HUGE)
def test_under_the_meta_device(name: str) -> None:
    with torch.device("meta"):
        model = CASES[name].build()
    built = model_of(name)
    initialized(built, "he")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        initsuite.initialize_(model, "he")
    lost = [key for key, tensor in (*model.named_parameters(), *model.named_buffers()) if tensor.is_meta]
    for key, parameter in built.named_parameters():
        assert key in lost or torch.equal(model.get_parameter(key), parameter)
    if CASES[name].lost:
        assert {key.rpartition(".")[2] for key in lost} == CASES[name].lost
        assert any("no value for tensors on the meta device" in str(warning.message) for warning in caught)
    else:
        assert not lost
        assert outputs_of(model, CASES[name].inputs()).isfinite().all()


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "lstm", "transformer"])
def test_the_seed_decides_alone(name: str) -> None:
    def drawn(seed: int) -> dict[str, Tensor]:
        model = CASES[name].build()
        table = initialized(model, "he", seed=seed)
        weights = table.loc[(table["how"] == "drawn") & (table["realised_std"] > 0), "tensor"]
        return {key: model.get_parameter(key).detach() for key in weights}

    first, again, other = drawn(0), drawn(0), drawn(1)
    assert first
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)


def test_no_two_layers_of_a_transformer_are_alike() -> None:
    """nn.TransformerEncoder copies one layer, values and all."""
    model = CASES["transformer"].build()
    initialized(model, "torch_default")
    first, second = (model.get_parameter(f"encoder.layers.{index}.linear1.weight") for index in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("init", [tree["name"] for tree in TREES if tree.get("requires")])
def test_one_for_a_special_model_says_why_it_refuses_a_plain_one(init: str) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2))
    before = model[0].weight.detach().clone()  # type: ignore[operator, union-attr]
    with pytest.raises(ConfigError, match=r"cannot initialize this model: it has no .* Expected "):
        initsuite.initialize_(model, init)
    assert torch.equal(model.get_parameter("0.weight"), before)


@pytest.mark.parametrize("init", sorted(DATA_DEPENDENT))
def test_data_dependent_ones_ask_for_a_probe_and_use_it(init: str) -> None:
    model = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2)).to(torch.bfloat16)
    with pytest.raises(ConfigError, match=r"no `probe`.*initialize_\(\.\.\., probe=Probe"):
        initsuite.initialize_(model, init)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(64, 8, generator=generator), torch.randint(2, (64,), generator=generator)
    table = initsuite.initialize_(model, init, probe=Probe(inputs.bfloat16(), targets, nn.CrossEntropyLoss()))
    assert (table["realised_std"][table["role"] == "weight"] > 0).all()
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())


@pytest.mark.parametrize("init", [*GENERIC, *sorted(DATA_DEPENDENT)])
def test_torchs_defaults_change_nothing(init: str) -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 10))

    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(64, 8, generator=generator), torch.randint(10, (64,), generator=generator)
    probe = Probe(inputs, targets, nn.CrossEntropyLoss())
    quick = {"steps": 2} if init in ("metainit", "gradinit") else {}
    usual, unusual = build(), build()
    try:
        initsuite.initialize_(usual, init, probe=probe, **quick)
    except ConfigError:
        pytest.skip("not for this model")
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            initsuite.initialize_(unusual, init, probe=probe, **quick)
    finally:
        torch.set_default_dtype(torch.float32)
    for name, parameter in usual.named_parameters():
        assert torch.equal(parameter, unusual.get_parameter(name)), name
