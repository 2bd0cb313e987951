"""Biases of gates: chrono, and forget_bias as an option of every initializer."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import initsuite
from initsuite.activations import activation
from initsuite.config import catalogue
from initsuite.errors import ConfigError
from initsuite.init import Chrono, ForgetBias, Lsuv, Mup, as_initializer
from initsuite.models import Gru, Lstm
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Probe
from support.laws import FALSE_ALARM

UNITS = 2000
"""A Kolmogorov-Smirnov test on so many draws of u finds a shift of its range by 10 %."""


def gates(layer: nn.Module, suffix: str = "_ih_l0", count: int = 4) -> tuple[Tensor, ...]:
    return layer.get_parameter(f"bias{suffix}").detach().chunk(count)


def test_chrono_spreads_the_memories_of_an_lstm_up_to_the_longest() -> None:
    layer = nn.LSTM(2, UNITS)
    initsuite.initialize_(layer, "chrono", max_time=50)
    take, keep, cell, out = gates(layer)
    assert torch.equal(take, -keep)
    assert not cell.any()
    assert not out.any()
    assert not layer.bias_hh_l0.any()
    u = keep.exp().numpy()
    assert stats.kstest(u, stats.uniform(1, 48).cdf).pvalue > FALSE_ALARM  # U(1, 49), by hand
    assert stats.kstest(u, stats.uniform(1, 53).cdf).pvalue < FALSE_ALARM


def test_a_unit_of_chrono_forgets_in_its_time() -> None:
    """With inputs and state at 0 a cell decays by u / (1 + u) a step: run through torch's own LSTM."""
    layer = nn.LSTM(1, 64)
    initsuite.initialize_(layer, "chrono", max_time=20)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()  # so that the state does not matter
        start = torch.ones(1, 1, 64)
        _, (_, cell) = layer(torch.zeros(5, 1, 1), (torch.zeros_like(start), start))
    u = gates(layer)[1].exp()
    torch.testing.assert_close(cell[0, 0], (u / (1 + u)) ** 5)


def test_a_unit_of_a_gru_keeps_its_state_as_long() -> None:
    layer = nn.GRU(1, 64)
    initsuite.initialize_(layer, "chrono", max_time=20)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
        _, state = layer(torch.zeros(5, 1, 1), torch.ones(1, 1, 64))
    u = gates(layer, count=3)[1].exp()
    assert float(u.min()) >= 1
    assert float(u.max()) <= 19
    torch.testing.assert_close(state[0, 0], (u / (1 + u)) ** 5)


@pytest.mark.parametrize("build", [Lstm, Gru])
def test_layers_of_our_models_are_found_and_differ(build: Any) -> None:
    model = skeleton(lambda: build((5, 8), 3, activation("tanh"), depth=2, width=16))
    params = Chrono()(model, describe(model), seed=0).params
    first, second = (params[f"layers.input{number}.bias"][16:32] for number in (1, 2))
    assert first.min() >= 0
    assert not torch.equal(first, second)


def names_of_law() -> list[str]:
    """Those for one tensor, for a model, with a probe, with lr factors, and with drawn biases."""
    return ["he", "normal", "keras_default", "orthogonal", "torch_default", "mup", "lsuv", "data_dependent"]


@pytest.mark.parametrize("name", names_of_law())
def test_forget_bias_is_an_option_of_any_law_and_changes_nothing_else(name: str) -> None:
    model = skeleton(lambda: Lstm((5, 8), 3, activation("tanh"), depth=2, width=16))
    draws = torch.Generator().manual_seed(0)
    probe = Probe(torch.randn(32, 5, 8, generator=draws), torch.zeros(32).long(), nn.functional.cross_entropy)
    plain = as_initializer(catalogue.build(name, {}))(model, describe(model), seed=3, probe=probe)
    start = catalogue.build(name, {"forget_bias": 1.5})(model, describe(model), seed=3, probe=probe)
    assert list(start.params) == list(plain.params)
    assert start.lr_factors == plain.lr_factors
    for key, value in start.params.items():
        if key in ("layers.input1.bias", "layers.input2.bias"):
            before, gate, after = value.split((16, 16, 32))
            assert (gate == 1.5).all()
            assert torch.equal(torch.cat([before, after]), torch.cat([plain.params[key][:16], plain.params[key][32:]]))
        else:
            assert torch.equal(value, plain.params[key])


def test_the_two_biases_of_torchs_lstm_add_up_to_it() -> None:
    layer = nn.LSTM(8, 6, num_layers=2, bidirectional=True)
    table = initsuite.initialize_(layer, "torch_default", forget_bias=2).set_index("tensor")
    for suffix in ("_l0", "_l0_reverse", "_l1", "_l1_reverse"):
        assert (gates(layer, f"_ih{suffix}")[1] == 2).all()
        assert not gates(layer, f"_hh{suffix}")[1].any()
        assert gates(layer, f"_hh{suffix}")[0].all()  # drawn, as torch does
        assert math.isnan(table.loc[f"bias_ih{suffix}", "expected_std"])
        assert table.loc[f"weight_ih{suffix}", "expected_std"] == pytest.approx(1 / math.sqrt(3 * 6))


def test_what_is_declared_of_an_initializer_without_laws_of_its_own_stays() -> None:
    layer = nn.LSTM(8, 6)
    table = initsuite.initialize_(layer, "critical", forget_bias=1).set_index("tensor")
    other = initsuite.initialize_(nn.LSTM(8, 6), "critical").set_index("tensor")
    assert table.loc["weight_ih_l0", "expected_std"] == other.loc["weight_ih_l0", "expected_std"]


def test_a_class_with_an_option_of_that_name_keeps_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "forgetful.py").write_text(
        "class Own:\n    def __init__(self, forget_bias):\n        self.got = forget_bias\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from initsuite.config.wrapped import built_initializer

    assert built_initializer({"name": "own", "_target_": "forgetful.Own", "forget_bias": 3}).got == 3


def test_models_without_such_gates_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"ForgetBias: .* it has no bias of a forget_gate. Expected LSTM layers with"):
        initsuite.initialize_(nn.GRU(3, 3), "he", forget_bias=1)
    with pytest.raises(ConfigError, match=r"Chrono: .* Expected LSTM or GRU layers with biases. Use model=lstm"):
        initsuite.initialize_(nn.LSTM(3, 3, bias=False), "chrono")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Chrono(max_time=2), r"Chrono: bad value `max_time`=2. Expected a finite number above 2"),
        (lambda: Chrono(inside="xavier"), r"unknown `inside`='xavier'. Expected one of: he, lecun, normal, keras"),
        (lambda: ForgetBias(Mup(), math.inf), r"ForgetBias: bad value `forget_bias`=inf"),
        (lambda: catalogue.build("he", {"forget_bias": None}), r"ForgetBias: bad value `forget_bias`=None"),
    ],
)
def test_bad_options_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_it_prints_as_its_configuration() -> None:
    assert repr(ForgetBias(Lsuv(), 1)).startswith("ForgetBias(inside=Lsuv(")
