"""Networks of sines."""

from typing import Any

import pytest
import torch
from torch import Tensor

from initsuite.activations import ActivationLayer, activation
from initsuite.errors import ConfigError
from initsuite.models import Siren

REORDERED = 1e-9
"""Relative and absolute: float64 sums in another order, 1e-16 a term, times omega 30, over a few layers."""
SINE = activation("sine", omega=20.0)


def siren(**options: Any) -> Siren:
    return Siren((2,), 3, SINE, **options)


def test_it_is_the_formula() -> None:
    """Sitzmann et al. 2020, equation 5 with the omega of section 3.2."""
    model: Any = siren(depth=3, width=8, omega_first=5.0).double()
    points: Tensor = torch.rand(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = points
    for number, omega in ((1, 5.0), (2, 20.0), (3, 20.0)):
        layer = getattr(model.layers, f"linear{number}")
        x = torch.sin(omega * (x @ layer.weight.T + layer.bias))
    expected = x @ model.layers.head.weight.T + model.layers.head.bias
    torch.testing.assert_close(model(points), expected, rtol=REORDERED, atol=REORDERED)


def test_each_layer_says_its_omega() -> None:
    layers = [module for module in siren(omega_first=5.0).modules() if isinstance(module, ActivationLayer)]
    assert [layer.activation.name for layer in layers] == ["sine"] * 3
    assert [dict(layer.activation.options)["omega"] for layer in layers] == [5.0, 20.0, 20.0]


@pytest.mark.parametrize(
    ("options", "label"), [({}, "siren-3x64"), ({"depth": 5, "width": 256, "omega_first": 10}, "siren-5x256-f10")]
)
def test_it_has_a_label(options: dict[str, Any], label: str) -> None:
    assert siren(**options).label == label


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "`depth`=0. Expected a whole number from 1"),
        ({"width": True}, "`width`=True. Expected a whole number from 1"),
        ({"omega_first": 0}, "`omega_first`=0. Expected a finite number above 0"),
    ],
    ids=str,
)
def test_it_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"Siren: .*{message}"):
        siren(**options)


def test_it_refuses_another_activation() -> None:
    with pytest.raises(ConfigError, match=r"Siren: .*`activation`='relu'. Expected sine.*Add activation=sine"):
        Siren((2,), 3, activation("relu"))


def test_its_file_brings_the_sine(make_job) -> None:
    """The user need not name the activation; what the user says about it counts."""
    assert make_job("model=siren").cell.axes["activation"] == "sine"
    assert make_job("model=siren", "activation=sine", "activation.omega=10").cell.axes["activation"] == "sine(omega=10)"
    with pytest.raises(ConfigError, match=r"Siren: .*`activation`='tanh'. Expected sine"):
        make_job("model=siren", "activation=tanh")
