"""SIREN: bounds of the weights, and the distribution of the signal against its closed form."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import Siren
from initsuite.models import Mlp
from initsuite.models import Siren as SirenModel
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Activation, Params, ParamSpec, Role

FALSE_ALARM = 1e-4
"""Of a two-sided chi-square test; conservative for the uniform law."""
WIDTH = 1024
SPREAD = 0.05
"""Relative error of a variance over 1,024 units and 2,000 inputs of a smooth random function: seen 0.02 at most."""


def sine(omega: float) -> Activation:
    return Activation("sine", partial(_sine, omega), (("omega", omega),))


def _sine(omega: float, x: Tensor) -> Tensor:
    return torch.sin(omega * x)


def network(omega: float = 30.0, depth: int = 5, width: int = WIDTH, phi: Activation | None = None) -> list[ParamSpec]:
    """Two coordinates, hidden layers and a head of the same width, so that it can be tested too."""
    specs = []
    for layer in range(depth):
        inputs = 2 if layer == 0 else width
        is_head = layer == depth - 1
        follows = None if is_head else phi or sine(omega)
        facts = (inputs, width, follows, layer, depth)
        specs.append(ParamSpec(f"{layer}", (width, inputs), Role.WEIGHT, *facts, is_head=is_head))
    return specs


def start(law: Siren, specs: list[ParamSpec]) -> Params:
    return law(nn.Module(), specs, seed=0).params


def assert_uniform(values: Tensor, bound: float) -> None:
    n = values.numel()
    top = float(values.abs().max())
    # all n entries are below (1 - x) bound with probability e^(-n x): 20 / n is missed once in 5e8
    assert bound * (1 - 20 / n) <= top <= bound * (1 + 1e-6)
    statistic = float(values.double().square().sum()) / (bound**2 / 3)
    assert 2 * min(stats.chi2.cdf(statistic, n), stats.chi2.sf(statistic, n)) > FALSE_ALARM


@pytest.mark.parametrize("omega", [30.0, 5.0])
def test_the_bounds_are_those_of_the_paper(omega: float) -> None:
    for law in (Siren(), Siren(omega=omega)):
        params = start(law, network(omega))
        assert_uniform(params["0"], 1 / 2)
        for layer in ("1", "3", "4"):
            assert_uniform(params[layer], math.sqrt(6 / WIDTH) / omega)


def test_omega_is_read_off_the_model_or_given() -> None:
    given, read = start(Siren(omega=10.0), network(30.0)), start(Siren(), network(10.0))
    assert all(torch.equal(given[name], read[name]) for name in given)
    plain = network(phi=activation("sine", omega=1.0))
    assert_uniform(start(Siren(), plain)["2"], math.sqrt(6 / WIDTH))
    nested = Activation("sine", torch.sin, (("omega", 3.0), ("omega", 2.0)))  # sin(3 (2 x))
    assert_uniform(start(Siren(), network(phi=nested))["2"], math.sqrt(6 / WIDTH) / 6)


def test_the_signal_follows_its_closed_form_through_the_layers() -> None:
    """Arcsine after the first layer; then v' = 1 - e^(-2v) from v = 1, for the variance v of omega W x."""
    params, omega = start(Siren(), network()), 30.0
    inputs = torch.rand(2000, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    signal = torch.sin(omega * inputs @ params["0"].T)
    arcsine = stats.kstest(signal[:, :100].flatten().numpy(), stats.arcsine(loc=-1, scale=2).cdf).statistic
    assert arcsine < 0.03  # U-shaped; a normal of the same variance is 0.1 away
    expected = 1.0
    for layer in ("1", "2", "3"):
        z = omega * signal @ params[layer].T
        assert float(z.var()) == pytest.approx(expected, rel=SPREAD)
        signal, expected = torch.sin(z), 1 - math.exp(-2 * expected)
    fixed = np.float64(expected)
    for _ in range(100):
        fixed = 1 - np.exp(-2 * fixed)
    assert fixed == pytest.approx(0.797, abs=1e-3)


def test_networks_of_other_nonlinearities_are_refused() -> None:
    model = skeleton(lambda: Mlp((64,), 10, activation("relu")))
    message = r"it has relu after `layers.linear1.weight`. Expected a sine.*Use activation=sine, or init=he"
    with pytest.raises(ConfigError, match=message):
        Siren()(model, describe(model), seed=0)
    with pytest.raises(ConfigError, match=r"it has identity after `0`"):
        start(Siren(), network(phi=activation("identity")))


@pytest.mark.parametrize(
    ("omega", "message"),
    [("fast", r"'fast'. Expected a number above 0, or auto"), (0, r"`omega`=0.*above 0. Or use auto")],
)
def test_bad_options_are_refused(omega: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Siren(omega=omega)


def test_our_siren_starts_at_the_variances_of_the_paper() -> None:
    phi = activation("sine", omega=20.0)
    model = skeleton(lambda: SirenModel((2,), 1, phi, depth=3, width=256, omega_first=30.0))
    params = Siren()(model, describe(model), seed=0).params
    assert_uniform(params["layers.linear1.weight"], 1 / 2)
    assert_uniform(params["layers.linear3.weight"], math.sqrt(6 / 256) / 20)
    assert not params["layers.linear3.bias"].any()
