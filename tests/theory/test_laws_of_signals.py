"""Laws that are made for what a signal or a gradient does: fixed points, random walks, states handed on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from scipy import special
from torch import Tensor, nn

from initsuite import rng
from initsuite.activations import ActivationLayer, activation
from initsuite.errors import ConfigError
from initsuite.init import (
    Critical,
    Guideline,
    Irnn,
    Kumar,
    Orthogonal,
    RandomWalk,
    VarianceScaling,
    as_initializer,
)
from initsuite.init.kumar import kumar_gain
from initsuite.init.random_walk import random_walk_gain
from initsuite.init.theory.edge_of_chaos import edge_of_chaos
from initsuite.models import Gru, Mlp, Rnn
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Activation, Role
from support.laws import FALSE_ALARM, chi_square_p, draw

RELU, TANH, SIGMOID = (activation(name) for name in ("relu", "tanh", "sigmoid"))


def linear(first: int, second: int, phi: Activation) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(first, second), ActivationLayer(phi), nn.Linear(second, 10))


@pytest.mark.slow
@pytest.mark.parametrize(("gain", "holds"), [(1.0, True), ("torch", False)])
def test_selu_with_lecun_stays_at_its_fixed_point_through_64_layers(gain: float | str, holds: bool) -> None:
    width = 1024
    model = skeleton(lambda: Mlp((width,), 10, activation("selu"), depth=64, width=width))
    params = as_initializer(VarianceScaling(gain))(model, describe(model), seed=0).params
    outputs: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, ActivationLayer):
            module.register_forward_hook(lambda _, __, output: outputs.append(output))
    torch.func.functional_call(model, params, (torch.randn(64, width, generator=rng.generator(0, "test")),))
    means = torch.stack([output.mean() for output in outputs])
    variances = torch.stack([output.var() for output in outputs])
    assert len(outputs) == 64
    # a layer of 1,024 units moves mean and variance by about 1 / sqrt(1024) = 0.03, and the map pulls them back
    stays = bool((means.abs() < 0.2).all() and ((variances - 1).abs() < 0.3).all())
    assert stays == holds
    if holds:
        assert float(means.mean()) == pytest.approx(0, abs=0.05)
        assert float(variances.mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("q", [0.5, 2.0])
def test_critical_weights_and_biases(q: float) -> None:
    point = edge_of_chaos(TANH, q=q)
    model = skeleton(lambda: nn.Sequential(nn.Linear(1, 20_000), nn.Tanh(), nn.Linear(20_000, 3)))
    params = Critical(q=q)(model, describe(model), seed=0).params
    assert chi_square_p(params["0.weight"], point.sigma_w**2) > FALSE_ALARM
    assert chi_square_p(params["0.bias"], point.sigma_b**2) > FALSE_ALARM
    # the head has the pair of the nonlinearity before it
    assert chi_square_p(params["2.weight"], point.sigma_w**2 / 20_000) > FALSE_ALARM


def test_critical_at_a_given_sigma_b_and_for_relu() -> None:
    params = draw(Critical(None, 0.1), lambda: nn.Sequential(nn.Linear(1, 20_000), nn.Tanh(), nn.Linear(20_000, 3)))
    assert chi_square_p(params["0.bias"], 0.01) > FALSE_ALARM
    ours, he = draw(Critical(), linear(64, 256, RELU)), draw(VarianceScaling(math.sqrt(2)), linear(64, 256, RELU))
    torch.testing.assert_close(ours["0.weight"], he["0.weight"])
    assert not ours["0.bias"].any()
    with pytest.raises(ConfigError, match=r"no critical point for `activation`='sigmoid' at `q`=1"):
        draw(Critical(), linear(64, 256, SIGMOID))


@pytest.mark.parametrize("width", [3, 8, 64])
def test_random_walk_has_the_formulas_of_the_paper(width: int) -> None:
    assert random_walk_gain(width, None) == math.exp(1 / (2 * width))
    expected = math.sqrt(2) * math.exp(1.2 / (max(width, 6) - 2.4))
    assert random_walk_gain(width, RELU) == pytest.approx(expected, rel=1e-12)
    model = nn.Sequential(nn.Linear(width, 10_000), nn.ReLU(), nn.Linear(10_000, 2))
    params = draw(RandomWalk(), lambda: model)
    assert chi_square_p(params["0.weight"], expected**2 / width) > FALSE_ALARM
    assert chi_square_p(params["2.weight"], math.exp(1 / 10_000) / 10_000) > FALSE_ALARM


@pytest.mark.parametrize("width", [8, 32, 128])
def test_the_linear_gain_keeps_the_mean_log(width: int) -> None:
    # |W x|^2 / |x|^2 is g^2 chi^2_N / N, and E[log chi^2_N] = psi(N / 2) + log 2
    drift = float(special.digamma(width / 2)) + math.log(2 / width)
    assert drift + 2 * math.log(random_walk_gain(width, None)) == pytest.approx(0, abs=1 / width**2)
    assert drift == pytest.approx(-1 / width, abs=1 / width**2)  # what gain 1 loses


def test_the_relu_gain_keeps_the_mean_log_of_the_gradient_and_he_loses_it() -> None:
    width, depth, nets = 32, 60, 300

    def drift(gain: float) -> tuple[float, float]:
        generator = rng.generator(0, "test")
        gradient = torch.randn(nets, 1, width, generator=generator)
        start = gradient.square().sum((1, 2)).log()
        for _ in range(depth):
            weights = torch.randn(nets, width, width, generator=generator) * gain / math.sqrt(width)
            # a unit is alive with probability one half, whatever the gradient is
            alive = (torch.rand(nets, 1, width, generator=generator) < 0.5).float()
            gradient = (gradient * alive) @ weights
        walk = (gradient.square().sum((1, 2)).log() - start) / depth
        return float(walk.mean()), float(walk.std()) / math.sqrt(nets)

    ours, error = drift(random_walk_gain(width, RELU))
    assert abs(ours) < 4 * error + 0.005  # the paper's formula is a fit
    he, error = drift(math.sqrt(2))
    assert he < -10 * error


def test_random_walk_refuses_what_has_no_formula() -> None:
    with pytest.raises(
        ConfigError, match=r"RandomWalk: bad value `activation`='tanh'.*identity, relu. Use activation="
    ):
        draw(RandomWalk(), linear(8, 8, TANH))


def test_kumar_has_the_numbers_of_the_paper() -> None:
    assert kumar_gain(SIGMOID) == pytest.approx(3.6, abs=0.03)
    assert kumar_gain(SIGMOID) == pytest.approx(4 / math.sqrt(1.25), rel=1e-8)
    assert kumar_gain(TANH) == pytest.approx(1, rel=1e-8)
    assert kumar_gain(RELU) == pytest.approx(math.sqrt(2), rel=1e-12)
    assert kumar_gain(activation("leaky_relu", negative_slope=0.5)) == pytest.approx(math.sqrt(1.6), rel=1e-12)
    assert kumar_gain(activation("gelu")) == pytest.approx(2, rel=1e-8)
    assert kumar_gain(activation("softplus")) == pytest.approx(2 / math.sqrt(1 + math.log(2) ** 2), rel=1e-8)
    params = draw(Kumar(), linear(64, 256, SIGMOID))
    assert chi_square_p(params["0.weight"], 12.8 / 64) > FALSE_ALARM
    assert not params["0.bias"].any()


def test_kumar_refuses_a_kink_and_a_flat_place() -> None:
    with pytest.raises(
        ConfigError, match=r"Kumar: no variance for `activation`='selu': no derivative at 0.*Use init=he"
    ):
        draw(Kumar(), linear(8, 8, activation("selu")))
    with pytest.raises(ConfigError, match=r"'square': phi'\(0\)=0"):
        kumar_gain(Activation("square", torch.square))


def test_irnn_hands_the_state_on() -> None:
    params = draw(Irnn(std=0.02), lambda: Rnn((5, 300), 40, RELU, width=100))
    assert torch.equal(params["layers.recurrent1.weight"], torch.eye(100))
    assert chi_square_p(params["layers.input1.weight"], 0.02**2) > FALSE_ALARM
    assert float(params["layers.head.weight"].std()) == pytest.approx(0.02, rel=0.1)
    assert not params["layers.input1.bias"].any()
    cell = nn.RNN(3, 4, nonlinearity="relu")
    state = torch.rand(1, 1, 4, generator=rng.generator(0, "test"))
    start = draw(Irnn(), lambda: nn.RNN(3, 4, nonlinearity="relu"))
    _, last = torch.func.functional_call(cell, start, (torch.zeros(50, 1, 3), state))
    assert torch.equal(last, state)


def test_irnn_gives_each_gate_an_identity_and_its_gain() -> None:
    weight = draw(Irnn(gain=0.01), lambda: nn.GRU(3, 4))["weight_hh_l0"]
    assert torch.equal(weight, 0.01 * torch.eye(4).repeat(3, 1))


def test_irnn_refuses_a_model_that_is_not_recurrent_and_bad_options() -> None:
    with pytest.raises(ConfigError, match=r"Irnn: no recurrent weight in the Mlp.*Use model=rnn, or init=identity"):
        draw(Irnn(), lambda: Mlp((4,), 2, RELU))
    with pytest.raises(ConfigError, match=r"Irnn: bad value `std`=-1. Expected a finite number from 0"):
        Irnn(std=-1)
    with pytest.raises(ConfigError, match=r"Irnn: bad value `gain`=0. Expected a finite number above 0"):
        Irnn(gain=0)


@pytest.mark.parametrize("build", [lambda: Rnn((5, 4), 3, TANH, width=6), lambda: Gru((5, 4), 3, TANH, width=6)])
def test_the_guideline_is_orthogonal_for_recurrent_networks(build: Callable[[], nn.Module]) -> None:
    ours, theirs = draw(Guideline(), build), draw(Orthogonal(), build)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    model = skeleton(build)
    specs = [replace(spec, role=Role.WEIGHT) if spec.role is Role.RECURRENT else spec for spec in describe(model)]
    xavier = as_initializer(VarianceScaling(1.0, "fan_avg"))(model, specs, seed=0).params
    plain = Guideline()(model, specs, seed=0).params
    assert all(torch.equal(plain[name], xavier[name]) for name in xavier)
