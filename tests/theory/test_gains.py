"""Gains against closed forms, and against scipy's adaptive quadrature."""

import math

import pytest
import torch
from scipy import integrate, stats
from torch.nn import functional

from initsuite.activations import FUNCTIONS, activation
from initsuite.errors import ConfigError
from initsuite.init.theory import gains
from initsuite.init.theory.gains import (
    TORCH_NAMES,
    backward_gain,
    forward_gain,
    mean_square,
    mean_square_slope,
    resolve_gain,
    slope,
    torch_gain,
)
from initsuite.spec import Activation

CLOSED_FORM = 1e-6
"""Asked of the suite; the quadrature itself is exact to rounding, 1e-15."""
ADAPTIVE = 1e-6
"""scipy.integrate.quad is run to 1e-10 of the integral."""

TABLE_DIGITS = 5.1e-5
"""The table of the docstring has four decimals."""

OTHERS = {
    "relu6": functional.relu6,
    "hardswish": functional.hardswish,
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


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "gelu", "selu", "hardtanh", "softplus", *OTHERS])
def test_forward_gain_agrees_with_adaptive_quadrature(name: str) -> None:
    phi = Activation(name, OTHERS[name]) if name in OTHERS else activation(name)
    assert forward_gain(phi) == pytest.approx(adaptive_gain(phi), abs=ADAPTIVE)


@pytest.mark.parametrize(
    ("phi", "expected"),
    [
        (activation("identity"), 1.0),
        (activation("relu"), math.sqrt(2)),
        (activation("leaky_relu", negative_slope=0.2), math.sqrt(2 / (1 + 0.2**2))),
        (activation("sine", omega=1.0), math.sqrt(2 / (1 + math.exp(-2)))),  # E[cos(z)^2]
        (activation("erf"), math.sqrt(math.pi * math.sqrt(5) / 4)),  # (4 / pi) E[exp(-2 z^2)], E = 1 / sqrt(5)
        (activation("hardtanh"), 1 / math.sqrt(2 * stats.norm.cdf(1) - 1)),  # P(|z| < 1)
        (Activation("square", torch.square), 0.5),  # E[4 z^2] = 4
        (Activation("exp", torch.exp), math.exp(-1)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_backward_gain_agrees_with_the_closed_form(phi: Activation, expected: float) -> None:
    assert backward_gain(phi) == pytest.approx(expected, abs=CLOSED_FORM)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("relu", "leaky_relu", "prelu")])
def test_the_slope_agrees_with_central_differences(name: str) -> None:
    phi = activation(name, omega=1.0) if name == "sine" else activation(name)
    points = torch.linspace(-3.03, 3.01, 41, dtype=torch.float64)  # no kink among them
    differences = (phi.function(points + 1e-6) - phi.function(points - 1e-6)) / 2e-6
    with torch.no_grad():  # as within `draw`
        torch.testing.assert_close(slope(phi, points), differences, atol=1e-8, rtol=1e-8)


def test_an_activation_that_works_in_place_has_a_slope_and_gains() -> None:
    ours, in_place = torch.nn.Hardswish(), torch.nn.Hardswish(inplace=True)
    points = torch.linspace(-4.1, 4.2, 9, dtype=torch.float64)
    kept = points.clone()
    assert torch.equal(slope(Activation("hardswish", in_place), points), slope(Activation("hardswish", ours), points))
    assert torch.equal(points, kept)
    assert forward_gain(Activation("hardswish", in_place)) == forward_gain(Activation("hardswish", ours))
    assert backward_gain(Activation("hardswish", in_place)) == backward_gain(Activation("hardswish", ours))


@pytest.mark.parametrize("q", [1e-6, 0.3, 4.0, 50.0, 1e4])
def test_gaussian_integrals_follow_the_variance(q: float) -> None:
    for phi in (activation("relu"), activation("identity")):
        share = 0.5 if phi.name == "relu" else 1.0
        assert mean_square(phi, q) == pytest.approx(share * q, rel=1e-12)
        assert mean_square_slope(phi, q) == pytest.approx(share, rel=1e-12)
    # a kink at 1 wherever that lies in units of the std: E[min(u^2, 1)] = q (1 - 2 t pdf(t) - 2 sf(t)) + 2 sf(t)
    t = 1 / math.sqrt(q)
    tail = 2 * stats.norm.sf(t)
    expected = q * (1 - 2 * t * stats.norm.pdf(t) - tail) + tail
    assert mean_square(activation("hardtanh"), q) == pytest.approx(expected, rel=1e-8)
    assert mean_square(activation("sine", omega=1.0), q) == pytest.approx(-math.expm1(-2 * q) / 2, rel=1e-9)


def test_a_fast_sine_is_integrated_too() -> None:
    assert mean_square(activation("sine", omega=30.0)) == pytest.approx(0.5, abs=CLOSED_FORM)


def test_the_table_of_the_docstring_is_right() -> None:
    lines = [line.replace(" (0.01)", "").replace(" (1)", "") for line in str(gains.__doc__).splitlines()]
    rows = [line.split() for line in lines if line.startswith("    ") and line.split()[0] in FUNCTIONS]
    assert {row[0] for row in rows} == FUNCTIONS.keys() - {"prelu"}
    for name, forward, backward, torchs in rows:
        phi = activation(name, omega=1.0) if name == "sine" else activation(name)
        assert float(forward) == pytest.approx(forward_gain(phi), abs=TABLE_DIGITS)
        assert float(backward) == pytest.approx(backward_gain(phi), abs=TABLE_DIGITS)
        if name in TORCH_NAMES:
            assert float(torchs) == pytest.approx(torch_gain(phi), abs=TABLE_DIGITS)
        else:
            assert torchs == "-"


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
    assert resolve_gain("backward", tanh) == backward_gain(tanh)
    assert resolve_gain("torch", tanh) == 5 / 3
    assert resolve_gain("auto", None) == resolve_gain("backward", None) == resolve_gain("torch", None) == 1.0
    assert resolve_gain("auto", activation("identity")) == pytest.approx(1, abs=CLOSED_FORM)


def test_an_activation_without_a_gain_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no gain for `activation`='dead'.*Give the gain as a number"):
        forward_gain(Activation("dead", torch.zeros_like))
    with pytest.raises(ConfigError, match=r"backward_gain: no gain for `activation`='step': E\[phi'\(z\)\^2\]=0"):
        backward_gain(Activation("step", lambda z: (z > 0).double()))
    with pytest.raises(ConfigError, match=r"E\[phi\(z\)\^2\]=nan"):
        forward_gain(Activation("log", torch.log))
    with pytest.raises(ConfigError, match=r"one of torch's table: identity, leaky_relu.*Use gain=auto"):
        torch_gain(activation("gelu"))


@pytest.mark.parametrize("gain", [0, -1.0, math.nan, math.inf, True, None])
def test_a_gain_outside_its_range_is_refused(gain: float) -> None:
    with pytest.raises(ConfigError, match=r"a finite number above 0. Or use one of: auto, backward, torch"):
        resolve_gain(gain, None)


def test_an_unknown_named_gain_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a number above 0, or one of: auto, backward, torch"):
        resolve_gain("relu", None)
