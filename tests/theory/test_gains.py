"""Gains against closed forms, and against scipy's adaptive quadrature."""

import math

import pytest
import torch
from scipy import integrate, stats
from torch.nn import functional

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.gains import forward_gain, resolve_gain, torch_gain
from initsuite.spec import Activation

CLOSED_FORM = 1e-6
"""Asked of the suite; the quadrature itself is exact to rounding, 1e-15."""
ADAPTIVE = 1e-6
"""scipy.integrate.quad is run to 1e-10 of the integral."""

OTHERS = {
    "selu": torch.selu,
    "hardtanh": functional.hardtanh,
    "relu6": functional.relu6,
    "hardswish": functional.hardswish,
    "softplus": functional.softplus,
    "square": torch.square,
}


def adaptive_gain(phi: Activation) -> float:
    def integrand(z: float) -> float:
        return float(phi.function(torch.tensor(z, dtype=torch.float64))) ** 2 * float(stats.norm.pdf(z))

    kinks = [-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0]
    value, _ = integrate.quad(integrand, -10, 10, points=kinks, epsabs=1e-10, epsrel=1e-10, limit=200)
    return 1 / math.sqrt(value)


@pytest.mark.parametrize(
    ("phi", "expected"),
    [
        (activation("identity"), 1.0),
        (activation("relu"), math.sqrt(2)),
        (activation("leaky_relu"), math.sqrt(2 / (1 + 0.01**2))),
        (activation("leaky_relu", negative_slope=0.2), math.sqrt(2 / (1 + 0.2**2))),
        (Activation("square", torch.square), 1 / math.sqrt(3)),  # E[z^4] = 3
        (Activation("exp", torch.exp), math.exp(-1)),  # E[exp(2z)] = exp(2)
        (Activation("step", lambda z: (z > 0).double()), math.sqrt(2)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_forward_gain_agrees_with_the_closed_form(phi: Activation, expected: float) -> None:
    assert forward_gain(phi) == pytest.approx(expected, abs=CLOSED_FORM)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "gelu", *OTHERS])
def test_forward_gain_agrees_with_adaptive_quadrature(name: str) -> None:
    phi = Activation(name, OTHERS[name]) if name in OTHERS else activation(name)
    assert forward_gain(phi) == pytest.approx(adaptive_gain(phi), abs=ADAPTIVE)


def test_selu_normalises_itself_and_torch_breaks_that() -> None:
    selu = Activation("selu", torch.selu)
    assert forward_gain(selu) == pytest.approx(1, abs=CLOSED_FORM)
    assert torch_gain(selu) == 0.75


def test_torch_gain_is_torchs_table() -> None:
    expected = {"identity": 1, "relu": math.sqrt(2), "tanh": 5 / 3, "sigmoid": 1, "leaky_relu": math.sqrt(2 / 1.0001)}
    assert {name: torch_gain(activation(name)) for name in expected} == pytest.approx(expected)
    assert torch_gain(activation("leaky_relu", negative_slope=0.5)) == pytest.approx(math.sqrt(1.6))


def test_a_gain_is_resolved_from_a_number_or_a_name() -> None:
    tanh = activation("tanh")
    assert resolve_gain(2, tanh) == 2.0
    assert resolve_gain("auto", tanh) == forward_gain(tanh)
    assert resolve_gain("torch", tanh) == 5 / 3
    assert resolve_gain("auto", None) == resolve_gain("torch", None) == 1.0
    assert resolve_gain("auto", activation("identity")) == pytest.approx(1, abs=CLOSED_FORM)


def test_an_activation_without_a_gain_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no gain for `activation`='dead'.*Give the gain as a number"):
        forward_gain(Activation("dead", torch.zeros_like))
    with pytest.raises(ConfigError, match=r"E\[phi\(z\)\^2\]=nan"):
        forward_gain(Activation("log", torch.log))
    with pytest.raises(ConfigError, match=r"one of torch's table: identity, leaky_relu.*Use gain=auto"):
        torch_gain(activation("gelu"))


@pytest.mark.parametrize("gain", [0, -1.0, math.nan, math.inf, True, None])
def test_a_gain_outside_its_range_is_refused(gain: float) -> None:
    with pytest.raises(ConfigError, match=r"a finite number above 0. Or use one of: auto, torch"):
        resolve_gain(gain, None)


def test_an_unknown_named_gain_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a number above 0, or one of: auto, torch"):
        resolve_gain("relu", None)
