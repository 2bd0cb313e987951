"""Laws of Kolmogorov-Arnold layers and of diagonal recurrences, by hand and by running them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import nn

from initsuite.errors import ConfigError
from initsuite.init import KanPower, LruRing, S4dReal
from initsuite.spec import Role
from support.laws import FALSE_ALARM, chi_square_p
from support.networks import spec_of

STATES = spec_of("states", (20_000,), Role.RECURRENT, fan_in=1)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kan(functions: int = 8, residual: bool = True) -> list[Any]:
    """A layer of 96 inputs, 128 outputs and 8 functions, in the two orders of axes that are in use, and a head."""
    facts = {"fan_in": 96 * functions, "fan_out": 128 * functions}
    specs = [
        spec_of("1.spline_weight", (128, 96, functions), **facts),
        spec_of("2.coef", (96, 128, functions), **facts),
    ]
    if residual:
        specs += [spec_of("1.base_weight", (128, 96)), spec_of("2.scale_base", (96, 128), fan_in=96, fan_out=128)]
    return [*specs, spec_of("head", (100, 128))]


@pytest.mark.parametrize("residual", [True, False])
def test_kan_power_goes_by_the_number_of_terms(residual: bool) -> None:
    law = KanPower(basis_power=0.75, residual_power=0.25)
    laws = law.laws(nn.Module(), kan(residual=residual))
    params = law(nn.Module(), kan(residual=residual), seed=0).params
    terms = 96 * (8 + residual)  # jaxKAN's words: (G + k + 1)^power * n_in^power, without the 1 where no residual is
    expected = {"1.spline_weight": terms**-0.75, "2.coef": terms**-0.75, "head": 128**-0.5}
    if residual:
        expected |= {"1.base_weight": terms**-0.25, "2.scale_base": terms**-0.25}
    assert params.keys() == expected.keys()
    for name, std in expected.items():
        assert chi_square_p(params[name], std**2) > FALSE_ALARM
        assert laws[name][0].declared_std(laws[name][1]) == pytest.approx(std)  # type: ignore[attr-defined]


def test_at_a_half_the_powers_of_a_kan_keep_the_order_of_the_signal() -> None:
    """A sum of n terms of size 1 with weights of variance 1/n has size 1."""
    law = KanPower(basis_power=0.5, residual_power=0.5)
    params = law(nn.Module(), kan(), seed=0).params
    terms = torch.randn(500, 96, 9, generator=rng())
    spline, base = params["1.spline_weight"], params["1.base_weight"]
    outputs = torch.einsum("bik,oik->bo", terms[..., :8], spline) + terms[..., 8] @ base.T
    assert float(outputs.square().mean()) == pytest.approx(1, rel=0.05)


def test_a_convolution_in_one_dimension_and_experts_are_no_kan() -> None:
    convolution = spec_of("0.weight", (128, 64, 3), fan_in=192, fan_out=384)
    experts = spec_of("experts", (4, 16, 16), fan_in=16, fan_out=16)
    model = nn.Sequential(nn.Conv1d(64, 128, 3))
    for specs in ([convolution], [experts], [spec_of("w", (4, 4))]):
        with pytest.raises(ConfigError, match=r"KanPower: .*no layer of learned functions.*Use init=he"):
            KanPower()(model, specs, seed=0)


def test_the_states_of_an_lru_fill_a_ring() -> None:
    magnitude = LruRing("magnitude", r_min=0.5, r_max=0.9)(STATES, rng()).double()
    phase = LruRing("phase", max_phase=math.pi / 5)(STATES, rng(1)).double().exp()
    modulus = torch.exp(-magnitude.exp())
    assert stats.kstest(modulus.square().numpy(), stats.uniform(0.25, 0.56).cdf).pvalue > FALSE_ALARM
    assert stats.kstest(modulus.numpy(), stats.uniform(0.5, 0.4).cdf).pvalue < FALSE_ALARM  # not uniform by radius
    assert stats.kstest(phase.numpy(), stats.uniform(0, math.pi / 5).cdf).pvalue > FALSE_ALARM


def test_gamma_gives_the_states_of_an_lru_the_variance_of_white_inputs() -> None:
    magnitude = LruRing("magnitude", r_min=0.3, r_max=0.95)(spec_of("nu", (200,)), rng())
    phase = LruRing("phase")(spec_of("theta", (200,)), rng(1))
    eigenvalue = torch.polar(torch.exp(-magnitude.exp()), phase.exp())
    gamma = LruRing.log_gamma(magnitude).exp()
    state = torch.zeros(400, 200, dtype=torch.complex64)
    for step in range(200):
        state = eigenvalue * state + gamma * torch.randn(400, 200, generator=rng(step))
    variance = state.abs().square().mean(0)
    assert float(variance.mean()) == pytest.approx(1, rel=0.02)  # 80,000 states: known to 0.5 %
    assert float((variance - 1).abs().max()) < 0.4  # 400 states each: known to 7 %


def test_the_default_ring_is_the_disc_and_finite() -> None:
    whole = LruRing("magnitude")(spec_of("nu", (200_000,)), rng())
    assert whole.isfinite().all()
    assert LruRing.log_gamma(whole).isfinite().all()


def test_s4d_real_is_minus_the_whole_numbers() -> None:
    spec = spec_of("A_log", (3, 4))
    torch.testing.assert_close(-S4dReal()(spec, rng()).exp(), torch.tensor([[-1.0, -2.0, -3.0, -4.0]] * 3))
    assert torch.equal(S4dReal("value")(spec, rng()), torch.tensor([[-1.0, -2.0, -3.0, -4.0]] * 3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: KanPower(basis_power=-1), r"`basis_power`=-1. Expected a finite number from 0"),
        (lambda: KanPower(residual_power=-1), r"`residual_power`=-1"),
        (lambda: LruRing("nu"), r"unknown `part`='nu'. Expected one of: magnitude, phase"),
        (lambda: LruRing("phase", r_min=-1), r"`r_min`=-1. Expected a finite number from 0"),
        (lambda: LruRing("phase", r_min=0.5, r_max=0.5), r"`r_max`=0.5. Expected a finite number above 0.5"),
        (
            lambda: LruRing("phase", r_max=1.1),
            r"`r_max`=1.1. Expected a radius up to 1. Larger ones let the state expl",
        ),
        (lambda: LruRing("phase", max_phase=0), r"`max_phase`=0"),
        (lambda: S4dReal("exp"), r"unknown `form`='exp'. Expected one of: log, value"),
    ],
)
def test_bad_options_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()
