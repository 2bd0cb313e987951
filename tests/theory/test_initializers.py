"""The laws of the initializers against the formulas of the article and of torch, on rectangular layers.

The fans here are written by hand, not read from `describe`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from initsuite import rng
from initsuite.activations import ActivationLayer, activation
from initsuite.init import Guideline, NormalEverywhere, Orthogonal, TorchDefault, VarianceScaling, Zero, as_initializer
from initsuite.init.distributions import TRUNCATED_STD, sample
from initsuite.init.orthogonal import haar
from initsuite.init.theory.gains import forward_gain
from initsuite.models import Mlp
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initializer, Params

FALSE_ALARM = 1e-4
"""Of a two-sided chi-square test. At n = 10,000 it rejects an error of the std of 5 % in 99.8 % of draws."""
SINGULAR_VALUE = 1e-5
"""Rounding of an orthogonal matrix to float32, 6e-8 an entry, over 1,000 entries."""
HE = VarianceScaling(gain=math.sqrt(2), fan="fan_in")
XAVIER = VarianceScaling(gain=1.0, fan="fan_avg")


@dataclass(frozen=True)
class Layer:
    name: str
    build: Callable[[], nn.Module]
    fan_in: int
    fan_out: int


LAYERS = [
    Layer("64-256", lambda: nn.Linear(64, 256), 64, 256),
    Layer("256-64", lambda: nn.Linear(256, 64), 256, 64),
    Layer("conv3x3", lambda: nn.Conv2d(16, 128, 3), 16 * 9, 128 * 9),
    Layer("conv3x3-groups4", lambda: nn.Conv2d(64, 128, 3, groups=4), 16 * 9, 32 * 9),
    Layer("conv1d-groups2", lambda: nn.Conv1d(64, 128, 5, groups=2), 32 * 5, 64 * 5),
]
EVERY_LAYER = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)


def chi_square_p(values: Tensor, variance: float) -> float:
    """Two-sided p value of sum(x^2) / variance, chi-square of n degrees of freedom for x ~ N(0, variance).

    Conservative for lighter tails, such as the uniform law. A mean other than 0 is rejected too.
    """
    n = values.numel()
    statistic = float((values.double() ** 2).sum()) / variance
    return 2 * float(min(stats.chi2.cdf(statistic, n), stats.chi2.sf(statistic, n)))


def draw(initializer: object, *modules: nn.Module, seed: int = 0) -> Params:
    model = skeleton(lambda: nn.Sequential(*modules))
    return as_initializer(initializer)(model, describe(model), seed=seed).params


def relu(slope: float = 0.0) -> ActivationLayer:
    return ActivationLayer(activation("leaky_relu", negative_slope=slope) if slope else activation("relu"))


@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal"])
@pytest.mark.parametrize("error", [0.93, 1.07])
def test_the_chi_square_check_rejects_a_planted_error_of_the_std(distribution: str, error: float) -> None:
    good = sample(distribution, (100, 100), 0.1, rng.generator(0, "test"))
    assert chi_square_p(good, 0.1**2) > FALSE_ALARM
    assert chi_square_p(good * error, 0.1**2) < FALSE_ALARM


@pytest.mark.parametrize("error", [0.95, 1.05])
def test_the_chi_square_check_has_the_power_it_states(error: float) -> None:
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], 10_000) / error**2
    assert stats.chi2.cdf(low, 10_000) + stats.chi2.sf(high, 10_000) > 0.997


@EVERY_LAYER
def test_variances_of_the_article(layer: Layer) -> None:
    laws = {
        NormalEverywhere(): 0.01**2,
        XAVIER: 2 / (layer.fan_in + layer.fan_out),
        HE: 2 / layer.fan_in,
        TorchDefault(): 1 / (3 * layer.fan_in),
    }
    for law, variance in laws.items():
        weight = draw(law, layer.build())["0.weight"]
        assert weight.numel() >= 10_000
        assert chi_square_p(weight, variance) > FALSE_ALARM, law


@EVERY_LAYER
@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal"])
def test_variance_scaling_follows_fan_and_gain(layer: Layer, distribution: str) -> None:
    fans = {"fan_in": layer.fan_in, "fan_out": layer.fan_out, "fan_avg": (layer.fan_in + layer.fan_out) / 2}
    for fan, value in fans.items():
        weight = draw(VarianceScaling(0.7, fan, distribution), layer.build())["0.weight"]
        assert chi_square_p(weight, 0.49 / value) > FALSE_ALARM, fan


def test_the_truncated_normal_is_cut_at_two_std_and_keeps_its_std() -> None:
    assert pytest.approx(stats.truncnorm.std(-2, 2), rel=1e-12) == TRUNCATED_STD
    values = sample("truncated_normal", (200, 200), 3.0, rng.generator(0, "test"))
    assert float(values.abs().max()) <= 2 * 3.0 / TRUNCATED_STD
    law = stats.truncnorm(-2, 2, scale=3.0 / TRUNCATED_STD)
    assert stats.kstest(values.flatten().double().numpy(), law.cdf).pvalue > FALSE_ALARM


def test_gain_auto_is_the_gain_of_what_follows_and_1_for_the_head() -> None:
    law = VarianceScaling(gain="auto", fan="fan_in")
    tanh = activation("tanh")
    params = draw(law, nn.Linear(64, 256), ActivationLayer(tanh), nn.Linear(256, 64))
    assert chi_square_p(params["0.weight"], forward_gain(tanh) ** 2 / 64) > FALSE_ALARM
    assert chi_square_p(params["2.weight"], 1 / 256) > FALSE_ALARM
    params = draw(law, nn.Linear(64, 256), relu(slope=0.5), nn.Linear(256, 64))
    assert chi_square_p(params["0.weight"], 2 / ((1 + 0.25) * 64)) > FALSE_ALARM


def test_gain_torch_is_torchs_table() -> None:
    law = VarianceScaling(gain="torch", fan="fan_in")
    params = draw(law, nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 64))
    assert chi_square_p(params["0.weight"], (5 / 3) ** 2 / 64) > FALSE_ALARM


def test_auto_gain_keeps_the_signal_through_30_layers_and_1_loses_it() -> None:
    model = skeleton(lambda: Mlp((512,), 512, activation("relu"), depth=30, width=512))
    inputs = torch.empty(64, 512).normal_(generator=rng.generator(0, "test"))

    def mean_square(gain: float | str) -> float:
        law = as_initializer(VarianceScaling(gain=gain, fan="fan_in"))
        params = law(model, describe(model), seed=0).params
        return float(torch.func.functional_call(model, params, (inputs,)).square().mean())

    assert 0.25 < mean_square("auto") * 2 < 4  # E|relu(z)|^2 = 1/2 before the head; a factor of 4 in 30 layers
    assert mean_square(1.0) < 2**-28  # each layer halves it


def test_biases_of_the_article() -> None:
    for law in (Zero(), XAVIER, HE, Orthogonal(), Guideline()):
        assert not draw(law, nn.Linear(64, 256), relu(), nn.Linear(256, 64))["0.bias"].any()
    biases = draw(NormalEverywhere(), nn.Linear(8, 20_000))["0.bias"]
    assert chi_square_p(biases, 0.01**2) > FALSE_ALARM


def test_normal_has_the_mean_and_std_it_is_given() -> None:
    params = draw(NormalEverywhere(mean=3.0, std=0.2), nn.Linear(64, 256))
    assert chi_square_p(params["0.weight"] - 3, 0.04) > FALSE_ALARM
    assert float(params["0.bias"].mean()) == pytest.approx(3, abs=5 * 0.2 / 16)


@EVERY_LAYER
def test_torch_default_has_the_law_that_torch_draws(layer: Layer) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn_by_torch = [layer.build() for _ in range(40)]
    ours = [draw(TorchDefault(), layer.build(), seed=seed) for seed in range(40)]
    bound = 1 / math.sqrt(layer.fan_in)
    for name in ("weight", "bias"):
        theirs = torch.stack([getattr(module, name) for module in drawn_by_torch]).detach().flatten().numpy()
        values = torch.stack([params[f"0.{name}"] for params in ours]).flatten().numpy()
        assert np.abs(values).max() <= bound * (1 + 1e-6)
        assert np.abs(values).max() == pytest.approx(bound, rel=0.01)
        assert np.abs(theirs).max() == pytest.approx(bound, rel=0.01)
        # sd of the ratio of two variances of a uniform law: sqrt(2 (1.8 - 1) / n)
        ratio = values.var() / theirs.var()
        assert ratio == pytest.approx(1, abs=4 * math.sqrt(1.6 / values.size))


def test_torch_default_leaves_embeddings_and_norms_as_torch_does() -> None:
    params = draw(TorchDefault(), nn.Embedding(300, 50), nn.LayerNorm(50), nn.Linear(50, 3))
    assert chi_square_p(params["0.weight"], 1.0) > FALSE_ALARM
    assert (params["1.weight"] == 1).all()
    assert not params["1.bias"].any()


@pytest.mark.parametrize("gain", [1.0, 1.7])
@EVERY_LAYER
def test_singular_values_are_the_gain(layer: Layer, gain: float) -> None:
    module = layer.build()
    groups = getattr(module, "groups", 1)
    weight = draw(Orthogonal(gain), module)["0.weight"].double()
    for block in weight.flatten(1).chunk(groups):
        assert torch.linalg.svdvals(block).sub(gain).abs().max() < SINGULAR_VALUE


def test_more_rows_than_columns_give_orthonormal_columns() -> None:
    tall = draw(Orthogonal(), nn.Linear(64, 256))["0.weight"].double()
    wide = draw(Orthogonal(), nn.Linear(256, 64))["0.weight"].double()
    identity = torch.eye(64, dtype=torch.float64)
    assert (tall.T @ tall - identity).abs().max() < SINGULAR_VALUE
    assert (wide @ wide.T - identity).abs().max() < SINGULAR_VALUE


def haar_z(matrices: Tensor) -> dict[str, float]:
    """Standard scores of moments of Haar measure on O(4), with matrices [draw, 4, 4].

    E[tr Q] = 0, E[(tr Q)^2] = 1, E[(tr Q)^4] = 3 (Diaconis & Shahshahani 1994); E[q_11^2] = 1/n and
    E[q_11^4] = 3 / (n (n + 2)), of a coordinate on the sphere.
    """
    trace, corner = matrices.diagonal(dim1=1, dim2=2).sum(1), matrices[:, 0, 0]
    samples = {
        "trace": trace,
        "trace^2": trace**2 - 1,
        "trace^4": trace**4 - 3,
        "q^2": corner**2 - 1 / 4,
        "q^4": corner**4 - 3 / 24,
    }
    return {name: abs(float(x.mean() / x.std())) * math.sqrt(len(x)) for name, x in samples.items()}


HAAR_Z = 4.0
"""Five scores: a false alarm in one seed of 3,000."""


def test_square_matrices_are_haar() -> None:
    generator = rng.generator(0, "test")
    scores = haar_z(torch.stack([haar(4, 4, generator) for _ in range(4000)]))
    assert max(scores.values()) < HAAR_Z, scores


def test_the_haar_check_rejects_a_qr_without_its_signs() -> None:
    gaussians = torch.empty(4000, 4, 4).normal_(generator=rng.generator(0, "test"))
    scores = haar_z(torch.linalg.qr(gaussians).Q)
    assert scores["trace"] > HAAR_Z


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_the_guideline_is_xavier_for_tanh_and_sigmoid(name: str) -> None:
    assert same_draw(Guideline(), XAVIER, Mlp((64,), 10, activation(name), widths=[256, 64]))


@pytest.mark.parametrize("name", ["relu", "gelu", "identity"])
def test_the_guideline_is_he_for_everything_else(name: str) -> None:
    assert same_draw(Guideline(), HE, Mlp((64,), 10, activation(name), widths=[256, 64], norm="batch"))


def test_the_guideline_knows_the_slope_of_a_leaky_relu() -> None:
    slope_aware = VarianceScaling(gain=math.sqrt(2 / (1 + 0.3**2)), fan="fan_in")
    model = Mlp((64,), 10, activation("leaky_relu", negative_slope=0.3), widths=[256, 64])
    ours, theirs = (start(law, model) for law in (Guideline(), slope_aware))
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name])


def test_the_guideline_is_orthogonal_from_30_hidden_layers_on() -> None:
    for depth, law in ((29, HE), (30, Orthogonal("auto"))):
        assert same_draw(Guideline(), law, Mlp((8,), 3, activation("relu"), depth=depth, width=8))
    assert same_draw(Guideline(deep_from=2), Orthogonal("auto"), Mlp((8,), 3, activation("tanh"), depth=2, width=8))


def start(law: object, model: nn.Module) -> Params:
    initializer: Initializer = as_initializer(law)
    return initializer(model, describe(model), seed=3).params


def same_draw(first: object, second: object, model: nn.Module) -> bool:
    ours, theirs = start(first, model), start(second, model)
    return all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)
