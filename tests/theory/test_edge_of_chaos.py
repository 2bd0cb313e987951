"""The critical line against closed forms, against its equations by adaptive quadrature, and in wide networks."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy import integrate, optimize, stats
from torch import Tensor, nn

from initsuite import rng
from initsuite.activations import ActivationLayer, activation
from initsuite.errors import ConfigError
from initsuite.init import Critical
from initsuite.init.theory.edge_of_chaos import CriticalPoint, edge_of_chaos
from initsuite.models import Mlp
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Activation

EQUATION = 1e-6
"""scipy.integrate.quad is run to 1e-10; the slopes under it are exact."""
CLOSED_FORM = 1e-9
SMOOTH = {"tanh": lambda u: 1 / math.cosh(u) ** 2, "erf": lambda u: 2 / math.sqrt(math.pi) * math.exp(-(u**2))}


def expectation(function: Callable[[float], float], q: float) -> float:
    """E[f(u)^2], u ~ N(0, q), by scipy."""
    std = math.sqrt(q)

    def integrand(z: float) -> float:
        return function(std * z) ** 2 * float(stats.norm.pdf(z))

    return integrate.quad(integrand, -10, 10, points=[0], epsabs=1e-10, epsrel=1e-10, limit=200)[0]


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("given", [{"q": 0.1}, {"q": 1.5}, {"sigma_b": 0.05}, {"sigma_b": 0.5}], ids=str)
def test_both_equations_hold(name: str, given: dict[str, float]) -> None:
    point = edge_of_chaos(activation(name), **given)
    value = {"tanh": math.tanh, "erf": math.erf}[name]
    assert point.sigma_w**2 * expectation(SMOOTH[name], point.q) == pytest.approx(1, abs=EQUATION)
    kept = point.sigma_w**2 * expectation(value, point.q) + point.sigma_b**2
    assert kept == pytest.approx(point.q, abs=EQUATION)
    for key, asked in given.items():
        assert getattr(point, key) == asked


def test_erf_agrees_with_its_closed_form() -> None:
    # E[erf'^2] = 4 / (pi sqrt(1 + 4 q)), E[erf^2] = 2 / pi arcsin(2 q / (1 + 2 q)): Williams 1997
    def bias_variance(q: float) -> float:
        return q - math.sqrt(1 + 4 * q) / 2 * math.asin(2 * q / (1 + 2 * q))

    q = float(optimize.brentq(lambda q: bias_variance(q) - 0.2**2, 1e-3, 10, xtol=1e-14))
    point = edge_of_chaos(activation("erf"), sigma_b=0.2)
    assert point.q == pytest.approx(q, rel=CLOSED_FORM)
    assert point.sigma_w == pytest.approx(math.sqrt(math.pi / 4 * math.sqrt(1 + 4 * q)), rel=CLOSED_FORM)


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_of_the_relu_family_every_q_is_critical_without_biases(slope: float) -> None:
    phi = activation("leaky_relu", negative_slope=slope) if slope else activation("relu")
    for point in (edge_of_chaos(phi, q=0.01), edge_of_chaos(phi, q=7.0), edge_of_chaos(phi, sigma_b=0)):
        assert point.sigma_w == pytest.approx(math.sqrt(2 / (1 + slope**2)), rel=CLOSED_FORM)
        assert point.sigma_b == 0
    assert edge_of_chaos(phi, sigma_b=0).q == 1
    with pytest.raises(ConfigError, match=r"no critical point for .*`sigma_b`=0.1.*between 0 and 0. Expected 0.01"):
        edge_of_chaos(phi, sigma_b=0.1)


@pytest.mark.parametrize(("name", "slope"), [("tanh", 1.0), ("gelu", 0.5), ("erf", 2 / math.sqrt(math.pi))])
def test_without_biases_a_smooth_function_has_the_point_at_0(name: str, slope: float) -> None:
    point = edge_of_chaos(activation(name), sigma_b=0)
    assert (point.sigma_b, point.q) == (0, 0)
    assert point.sigma_w == pytest.approx(1 / slope, rel=1e-8)


def test_the_q_that_the_message_names_has_a_critical_point() -> None:
    sigmoid = activation("sigmoid")
    with pytest.raises(ConfigError, match="has one is 45") as caught:
        edge_of_chaos(sigmoid, q=1.0)
    told = float(str(caught.value).partition("has one is ")[2].partition(":")[0])
    assert edge_of_chaos(sigmoid, q=told).sigma_b >= 0
    with pytest.raises(ConfigError, match="no critical point"):
        edge_of_chaos(sigmoid, q=0.995 * told)


def test_where_there_is_none_it_says_so() -> None:
    with pytest.raises(
        ConfigError, match=r"'sigmoid' at `q`=1: .*sigma_b\^2=-5\.5.*smallest q that has one is 45\.7: use that"
    ):
        edge_of_chaos(activation("sigmoid"), q=1.0)
    with pytest.raises(ConfigError, match=r"'softplus' at `q`=1: .*No q from 1e-06 to 1000 has one"):
        edge_of_chaos(activation("softplus"), q=1.0)
    with pytest.raises(ConfigError, match=r"'sigmoid' with `sigma_b`=50.*at some q from 1e-06 to 1000. Use another"):
        edge_of_chaos(activation("sigmoid"), sigma_b=50)
    with pytest.raises(ConfigError, match=r"'step' with `sigma_b`=0: .*is not finite"):
        edge_of_chaos(Activation("step", lambda u: (u > 0).double()), sigma_b=0)


def test_the_sigmoid_has_its_point_at_large_q() -> None:
    point = edge_of_chaos(activation("sigmoid"), sigma_b=0)
    sigmoid = lambda u: float(1 / (1 + math.exp(-u)))  # noqa: E731
    assert point.sigma_w**2 * expectation(lambda u: sigmoid(u) * sigmoid(-u), point.q) == pytest.approx(1, abs=EQUATION)
    assert point.sigma_w**2 * expectation(sigmoid, point.q) == pytest.approx(point.q, abs=1e-4)
    assert 45 < point.q < 46


@pytest.mark.parametrize("given", [{}, {"q": 1.0, "sigma_b": 0.1}])
def test_one_of_the_two_is_asked_for(given: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"edge_of_chaos: bad values `q`=.*Expected one of the two.*set it to None"):
        edge_of_chaos(activation("tanh"), **given)
    with pytest.raises(ConfigError, match=r"Critical: bad values `q`=.*one number and one None.*init.q=null"):
        Critical(given.get("q"), given.get("sigma_b"))


def test_values_outside_their_range_are_refused() -> None:
    tanh = activation("tanh")
    for q in (0, -1.0, math.nan, True):
        with pytest.raises(ConfigError, match=r"`q`=.*a finite number above 0"):
            edge_of_chaos(tanh, q=q)
        with pytest.raises(ConfigError, match=r"Critical: bad value `q`=.*a finite number above 0"):
            Critical(q=q)
    with pytest.raises(ConfigError, match=r"`q`=100000.0. Expected a number up to 10000"):
        edge_of_chaos(tanh, q=1e5)
    for sigma_b in (-0.1, math.inf):
        with pytest.raises(ConfigError, match=r"edge_of_chaos: bad value `sigma_b`=.*a finite number from 0"):
            edge_of_chaos(tanh, sigma_b=sigma_b)
        with pytest.raises(ConfigError, match=r"Critical: bad value `sigma_b`=.*a finite number from 0"):
            Critical(None, sigma_b)


def pre_activations(model: nn.Module, law: Critical, inputs: Tensor) -> list[Tensor]:
    """[layer] of [example, unit]: what enters each nonlinearity."""
    params = law(model, describe(model), seed=0).params
    seen: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
        for module in model.modules()
        if isinstance(module, ActivationLayer)
    ]
    torch.func.functional_call(model, params, (inputs,))
    for hook in hooks:
        hook.remove()
    return seen


def correlation_map(phi: Callable[[Tensor], Tensor], point: CriticalPoint, c: float) -> float:
    """Correlation of two signals one layer on, by a million draws."""
    first, second = torch.empty(2, 1_000_000).normal_(generator=rng.generator(0, "test")) * math.sqrt(point.q)
    other = c * first + math.sqrt(1 - c**2) * second
    return float((point.sigma_w**2 * (phi(first) * phi(other)).mean() + point.sigma_b**2) / point.q)


DEPTH, WIDTH = 40, 1000


@pytest.mark.parametrize("q", [0.3, 1.5])
def test_the_variance_stays_at_q_and_the_correlation_follows_its_map(q: float) -> None:
    tanh = activation("tanh")
    point = edge_of_chaos(tanh, q=q)
    model = skeleton(lambda: Mlp((WIDTH,), 10, tanh, depth=DEPTH, width=WIDTH))
    first, second = torch.empty(2, WIDTH).normal_(generator=rng.generator(1, "test"))
    # the inputs from which the first layer makes q*, of correlation 0.5
    pair = torch.stack([first, 0.5 * first + math.sqrt(0.75) * second])
    pair = pair / pair.square().mean(1, keepdim=True).sqrt() * math.sqrt(q - point.sigma_b**2) / point.sigma_w
    layers = pre_activations(model, Critical(q=q), pair)
    assert len(layers) == DEPTH
    squares = torch.stack([layer.square().mean(1) for layer in layers])
    # a layer of 1,000 units has a relative sd of sqrt(2 / 1000) = 0.045, pulled back by the layers after it
    assert float((squares / q - 1).abs().max()) < 0.25
    assert float(squares.mean() / q) == pytest.approx(1, abs=0.06)
    c = float(torch.corrcoef(pair)[0, 1])
    c = (point.sigma_w**2 * c * (q - point.sigma_b**2) / point.sigma_w**2 + point.sigma_b**2) / q
    for layer in layers[:6]:
        realised = float((layer[0] * layer[1]).mean() / layer.square().mean())
        assert realised == pytest.approx(c, abs=0.1)
        c = correlation_map(torch.tanh, point, c)
    last = float((layers[-1][0] * layers[-1][1]).mean() / layers[-1].square().mean())
    # critical: 1 - c falls as 1 / depth, from c of layer 6 on; in order it would fall as an exponential, below 1e-3
    assert c < last < 0.99


def test_chi_1_is_the_factor_of_gradients() -> None:
    tanh = activation("tanh")
    model = skeleton(lambda: Mlp((WIDTH,), 10, tanh, depth=DEPTH, width=WIDTH))
    point = edge_of_chaos(tanh, q=1.0)
    inputs = torch.empty(1, WIDTH).normal_(generator=rng.generator(2, "test"))
    inputs = inputs / inputs.square().mean().sqrt() * math.sqrt(1.0 - point.sigma_b**2) / point.sigma_w

    def growth(scale: float) -> float:
        params = Critical(q=1.0)(model, describe(model), seed=0).params
        params = {name: value * scale if value.ndim == 2 else value for name, value in params.items()}
        seen: list[Tensor] = []
        hooks = [
            module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
            for module in model.modules()
            if isinstance(module, ActivationLayer)
        ]
        output = torch.func.functional_call(model, params, (inputs.requires_grad_(),)).square().sum()
        for hook in hooks:
            hook.remove()
        grads = torch.autograd.grad(output, seen)
        return float(grads[0].square().sum() / grads[-1].square().sum())

    assert 0.2 < growth(1.0) < 5  # the log of a random walk of 39 steps of sd about sqrt(3 / 1000)
    assert growth(0.8) < 1e-3  # 0.8^(2 x 39) = 3e-8, less what the smaller signal gives back
