"""Activations by name."""

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from initsuite.activations import FUNCTIONS, ActivationLayer, activation
from initsuite.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf" / "activation"
MODULES = {
    "identity": nn.Identity(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "gelu": nn.GELU(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_agrees_with_torchs_module(name: str) -> None:
    x = torch.linspace(-4, 4, 33)
    layer = ActivationLayer(activation(name))
    assert torch.equal(layer(x), MODULES[name](x))
    assert torch.equal(torch.vmap(layer)(x), layer(x))
    assert repr(layer) == f"ActivationLayer({name})"


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


@pytest.mark.parametrize("slope", [True, "0.1", math.nan])
def test_an_option_that_is_no_number_is_refused(slope: Any) -> None:
    with pytest.raises(ConfigError, match=r"bad value `negative_slope`=.*a finite number"):
        activation("leaky_relu", negative_slope=slope)
