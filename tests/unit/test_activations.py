"""Activations by name."""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy import special
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from initsuite.activations import FUNCTIONS, ActivationLayer, activation
from initsuite.errors import ConfigError
from initsuite.init.theory.gains import forward_gain

CONF = Path(__file__).parents[2] / "conf" / "activation"
MODULES = {
    "identity": nn.Identity(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(),
    "prelu": nn.PReLU(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "hardtanh": nn.Hardtanh(),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
}
LAMBDA, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
"""Klambauer et al. 2017, equation 14."""
NEGATIVE = {
    "elu": lambda x: 0.7 * np.expm1(x),
    "selu": lambda x: LAMBDA * ALPHA * np.expm1(x),
    "prelu": lambda x: 0.1 * x,
    "leaky_relu": lambda x: 0.2 * x,
}
FORMULAS = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    **{
        name: lambda x, low=low, scale=LAMBDA if name == "selu" else 1.0: np.where(x > 0, scale * x, low(x))
        for name, low in NEGATIVE.items()
    },
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "softplus": lambda x: np.where(2 * x > 3, x, np.logaddexp(0, 2 * x) / 2),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "hardtanh": lambda x: np.clip(x, -0.5, 2.0),
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "erf": special.erf,
    "sine": lambda x: np.sin(3 * x),
}
OTHER_OPTIONS = {
    "leaky_relu": {"negative_slope": 0.2},
    "prelu": {"negative_slope": 0.1},
    "elu": {"alpha": 0.7},
    "softplus": {"beta": 2.0, "threshold": 3.0},
    "hardtanh": {"min_val": -0.5, "max_val": 2.0},
    "sine": {"omega": 3.0},
}
FLOAT64_ATOL = 1e-14
"""A few float64 roundings of values below 10; float32 anywhere on the way would cost 1e-7."""
GAIN_RTOL = 1e-3
"""The kink of this hardtanh lies inside a panel of the quadrature; a wrong option moves the gain by more than 1 %."""


@pytest.mark.parametrize("name", MODULES)
def test_each_agrees_with_torchs_module(name: str) -> None:
    x = torch.linspace(-4, 4, 33)
    layer = ActivationLayer(activation(name))
    assert torch.equal(layer(x), MODULES[name](x))
    assert torch.equal(torch.vmap(layer)(x), layer(x))
    assert repr(layer) == f"ActivationLayer({name})"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_is_its_formula_in_float64_also_under_vmap(name: str) -> None:
    phi = activation(name, **OTHER_OPTIONS.get(name, {}))
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)  # 0 and both limits of hardtanh among them
    expected = torch.from_numpy(FORMULAS[name](x.numpy()))
    assert phi.function(x).dtype == torch.float64
    torch.testing.assert_close(phi.function(x), expected, atol=FLOAT64_ATOL, rtol=FLOAT64_ATOL)
    torch.testing.assert_close(vmap(phi.function)(x), expected, atol=FLOAT64_ATOL, rtol=FLOAT64_ATOL)
    assert vmap(grad(phi.function))(x).isfinite().all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_has_the_gain_of_its_formula(name: str) -> None:
    """Against the trapezium rule on 2 million points."""
    z = np.linspace(-10, 10, 2_000_001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    expected = 1 / math.sqrt(np.trapezoid(FORMULAS[name](z) ** 2 * density, z))
    assert forward_gain(activation(name, **OTHER_OPTIONS.get(name, {}))) == pytest.approx(expected, rel=GAIN_RTOL)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_pickles(name: str) -> None:
    phi = activation(name)
    copy = pickle.loads(pickle.dumps(phi))
    assert copy == phi
    assert torch.equal(copy.function(torch.tensor([-1.0, 2.0])), phi.function(torch.tensor([-1.0, 2.0])))


def test_each_has_a_file_that_makes_it() -> None:
    trees = {path.stem: yaml.safe_load(path.read_text()) for path in CONF.glob("*.yaml")}
    assert trees.keys() == FUNCTIONS.keys()
    for name, tree in trees.items():
        assert activation(**tree) == activation(name)
        assert tree["name"] == name


def test_the_slope_is_an_option() -> None:
    phi = activation("leaky_relu", negative_slope=0.2)
    assert phi.function(torch.tensor(-1.0)) == pytest.approx(-0.2)
    assert phi.options == (("negative_slope", 0.2),)
    assert phi != activation("leaky_relu")


def test_unknown_names_are_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match=r"Expected one of: identity, relu, .*Did you mean `relu`"):
        activation("rellu")
    with pytest.raises(ConfigError, match=r"unknown `option`='slope'. Expected one of: negative_slope"):
        activation("leaky_relu", slope=0.1)
    with pytest.raises(ConfigError, match=r"unknown `option`='slope'.*\(it has none\)"):
        activation("relu", slope=0.1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("elu", {"alpha": 0}, r"activation elu: bad value `alpha`=0. Expected a finite number above 0"),
        ("softplus", {"beta": -1.0}, r"`beta`=-1.0. Expected a finite number above 0"),
        ("softplus", {"threshold": -0.1}, r"`threshold`=-0.1. Expected a finite number from 0"),
        ("sine", {"omega": 0.0}, r"`omega`=0.0. Expected a finite number above 0"),
        ("hardtanh", {"min_val": 1.0}, r"`min_val`=1.0. Expected a number below max_val=1.0"),
        ("hardtanh", {"max_val": -2}, r"`min_val`=-1.0. Expected a number below max_val=-2"),
    ],
)
def test_an_option_out_of_its_range_is_refused(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        activation(name, **options)


def test_only_the_layer_of_prelu_has_a_parameter() -> None:
    for name in FUNCTIONS:
        names = [key for key, _ in ActivationLayer(activation(name)).named_parameters()]
        assert names == (["weight"] if name == "prelu" else [])
    slope = ActivationLayer(activation("prelu", negative_slope=0.1)).weight
    assert torch.equal(slope, torch.tensor([0.1]))  # pyright: ignore[reportArgumentType]
    assert torch.equal(ActivationLayer(activation("prelu")).weight, nn.PReLU().weight)  # pyright: ignore[reportArgumentType]


def test_each_trial_of_a_stack_trains_a_slope_of_its_own() -> None:
    """Output and gradients of a mapped layer are those of one nn.PReLU per trial."""
    layer, module = ActivationLayer(activation("prelu")), nn.PReLU(dtype=torch.float64)
    slopes = torch.tensor([[0.25], [-1.0], [2.0]], dtype=torch.float64)
    x = torch.linspace(-3, 3, 3 * 4 * 5, dtype=torch.float64).view(3, 4, 5)

    def loss(slope: Tensor, x: Tensor) -> Tensor:
        return (functional_call(layer, {"weight": slope}, (x,)) ** 3).sum()

    slope_grads, input_grads = vmap(grad(loss, argnums=(0, 1)))(slopes, x)
    for trial, slope in enumerate(slopes):
        module.weight.data.copy_(slope)
        module.zero_grad()
        mine = x[trial].clone().requires_grad_()
        (module(mine) ** 3).sum().backward()
        torch.testing.assert_close(slope_grads[trial], module.weight.grad)
        torch.testing.assert_close(input_grads[trial], mine.grad)
    assert slope_grads.unique().numel() == 3


@pytest.mark.parametrize("slope", [True, "0.1", math.nan])
def test_an_option_that_is_no_number_is_refused(slope: Any) -> None:
    with pytest.raises(ConfigError, match=r"bad value `negative_slope`=.*a finite number"):
        activation("leaky_relu", negative_slope=slope)
