"""Laws that coincide with those of torch.nn.init, and the pitfalls where they do not.

Two samples of one law are compared by Kolmogorov-Smirnov and by their variances, at n >= 10,000.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from initsuite import rng
from initsuite.errors import ConfigError
from initsuite.init import (
    Constant,
    Identity,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    as_initializer,
)
from initsuite.spec import ParamSpec, Role
from support.laws import FALSE_ALARM, chi_square_p, draw, draws, same_law

ROUNDING = 1e-5
"""Of an orthogonal matrix in float32."""
SQRT2 = math.sqrt(2)


def weight_spec(*shape: int, **facts: Any) -> ParamSpec:
    rest = {"fan_in": math.prod(shape[1:]), "fan_out": shape[0] * math.prod(shape[2:]), **facts}
    return ParamSpec("w", shape, Role.WEIGHT, nonlinearity=None, layer=0, num_layers=1, **rest)


@pytest.mark.parametrize("error", [0.95, 1.05])
@pytest.mark.parametrize("law", [nn.init.normal_, nn.init.uniform_], ids=lambda law: law.__name__)
def test_the_comparison_rejects_a_planted_error(law: Callable[..., Tensor], error: float) -> None:
    generator = rng.generator(0, "test")
    first, second = (law(torch.empty(20_000), generator=generator) for _ in range(2))
    assert same_law(first, second)
    assert not same_law(first, second * error)


@pytest.mark.parametrize("shape", [(256, 64), (64, 256), (64, 32, 3, 3)], ids=str)
@pytest.mark.parametrize(
    ("law", "theirs"),
    [
        (VarianceScaling(1.0, "fan_avg", "normal"), nn.init.xavier_normal_),
        (VarianceScaling(1.0, "fan_avg", "uniform"), nn.init.xavier_uniform_),
        (VarianceScaling(SQRT2, "fan_in", "normal"), nn.init.kaiming_normal_),
        (VarianceScaling(SQRT2, "fan_in", "uniform"), nn.init.kaiming_uniform_),
        (VarianceScaling(SQRT2, "fan_out", "normal"), lambda w, **g: nn.init.kaiming_normal_(w, mode="fan_out", **g)),
        (VarianceScaling(), lambda w, **g: nn.init.kaiming_normal_(w, nonlinearity="linear", **g)),
        (
            VarianceScaling(1.0, "fan_in", "uniform"),
            lambda w, **g: nn.init.kaiming_uniform_(w, nonlinearity="linear", **g),
        ),
        (Uniform(0.3), lambda w, **g: nn.init.uniform_(w, -0.3, 0.3, **g)),
        (Orthogonal(), nn.init.orthogonal_),
    ],
    ids=["xavier", "xavier_uniform", "he", "he_uniform", "he_fan_out", "lecun", "lecun_uniform", "uniform", "haar"],
)
def test_it_is_the_law_of_torch_nn_init(shape: tuple[int, ...], law: Any, theirs: Callable[..., Tensor]) -> None:
    ours = law(weight_spec(*shape), rng.generator(0, "test"))
    reference = theirs(torch.empty(shape), generator=rng.generator(1, "test"))
    assert same_law(ours, reference)
    assert chi_square_p(ours, law.declared_std(weight_spec(*shape)) ** 2) > FALSE_ALARM


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (6, 4, 3), (4, 6, 5, 3)], ids=str)
def test_identity_is_eye_and_dirac(shape: tuple[int, ...]) -> None:
    reference = nn.init.eye_(torch.empty(shape)) if len(shape) == 2 else nn.init.dirac_(torch.empty(shape))
    assert torch.equal(Identity()(weight_spec(*shape), rng.generator(0, "test")), reference)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_of_an_even_kernel_identity_keeps_the_pixel_under_same_padding() -> None:
    convolution = nn.Conv1d(3, 3, 4, padding="same", bias=False)
    kernel = Identity()(weight_spec(3, 3, 4), rng.generator(0, "test"))
    signal = torch.randn(2, 3, 9, generator=rng.generator(0, "test"))
    assert torch.equal(torch.func.functional_call(convolution, {"weight": kernel}, (signal,)), signal)


@pytest.mark.parametrize("cut", [1.0, 2.0, 3.0])
def test_the_truncated_normal_has_the_std_it_is_given_after_the_cut(cut: float) -> None:
    values = TruncatedNormal(0.02, cut)(weight_spec(200, 100), rng.generator(0, "test"))
    before = 0.02 / float(stats.truncnorm.std(-cut, cut))
    assert stats.kstest(values.flatten().double().numpy(), stats.truncnorm(-cut, cut, scale=before).cdf).pvalue > 1e-4
    assert chi_square_p(values, 0.02**2) > FALSE_ALARM
    assert float(values.abs().max()) <= cut * before * (1 + 1e-6)
    if cut == 2:
        assert before == pytest.approx(0.02 / 0.87962566, rel=1e-8)


def test_torchs_bounds_are_absolute() -> None:
    # the pitfall: at std 0.02 the bounds of +-2 cut nothing, and 5 % of the entries are beyond 2 std
    theirs = nn.init.trunc_normal_(torch.empty(100, 100), std=0.02, generator=rng.generator(0, "test"))
    ours = TruncatedNormal(0.02)(weight_spec(100, 100), rng.generator(0, "test"))
    assert float((theirs.abs() > 2 * 0.02 / 0.8796).float().mean()) > 0.015
    assert not (ours.abs() > 2 * 0.02 / 0.8796).any()


@pytest.mark.parametrize("std", [0.02, 0.7, 3.0])
@pytest.mark.parametrize("cut", [0.5, 2.0])
def test_with_torchs_convention_it_is_torchs_law(std: float, cut: float) -> None:
    law = TruncatedNormal(std, cut, "torch")
    ours = law(weight_spec(200, 100), rng.generator(0, "test"))
    theirs = nn.init.trunc_normal_(torch.empty(200, 100), 0.0, std, -cut, cut, generator=rng.generator(1, "test"))
    assert stats.ks_2samp(ours.flatten().numpy(), theirs.flatten().numpy()).pvalue > FALSE_ALARM
    assert float(ours.abs().max()) <= cut * (1 + 1e-6)
    assert chi_square_p(ours, law.declared_std(weight_spec(200, 100)) ** 2) > FALSE_ALARM
    exact = float(stats.truncnorm.std(-cut / std, cut / std, scale=std))
    assert law.declared_std(weight_spec(200, 100)) == pytest.approx(exact, rel=1e-8)


def test_with_keras_convention_the_std_is_that_before_the_cut() -> None:
    law = TruncatedNormal(0.05, convention="keras")
    values = law(weight_spec(200, 100), rng.generator(0, "test"))
    assert chi_square_p(values, (0.05 * 0.87962566) ** 2) > FALSE_ALARM
    assert 0.099 < float(values.abs().max()) <= 0.1 * (1 + 1e-6)


def test_a_std_of_0_is_0_in_every_convention() -> None:
    for convention in ("final", "keras", "torch"):
        assert not TruncatedNormal(0.0, convention=convention)(weight_spec(3, 5), rng.generator(0, "test")).any()


def test_a_fan_may_be_the_geometric_mean_of_both() -> None:
    weight = draw(VarianceScaling(1.0, "fan_geo_avg"), lambda: nn.Linear(256, 64, bias=False))["weight"]
    assert chi_square_p(weight, 1 / 128) > FALSE_ALARM  # sqrt(256 * 64)


def test_more_connections_than_inputs_are_told() -> None:
    with pytest.warns(UserWarning, match=r"Sparse: `nonzeros`=15 .*`w` has 8 inputs: it is drawn dense"):
        assert Sparse()(weight_spec(256, 8), rng.generator(0, "test")).all()


@pytest.mark.filterwarnings("ignore:Sparse. `nonzeros`=15")
@pytest.mark.parametrize("shape", [(64, 256), (256, 8), (32, 16, 3, 3)], ids=str)
def test_sparse_gives_each_unit_its_inputs(shape: tuple[int, ...]) -> None:
    law, spec = Sparse(15, 2.0), weight_spec(*shape)
    weights = torch.stack([law(spec, rng.generator(seed, "test")) for seed in range(30)])
    inputs = math.prod(shape[1:])
    nonzero = weights.flatten(2) != 0
    assert (nonzero.sum(2) == min(15, inputs)).all()
    assert chi_square_p(weights[weights != 0], 4.0) > FALSE_ALARM
    assert law.declared_std(spec) == pytest.approx(2 * math.sqrt(min(15, inputs) / inputs))
    if inputs > 15:  # each input is chosen as often as the others
        chosen = nonzero.sum((0, 1)).double().numpy()
        assert stats.chisquare(chosen).pvalue > FALSE_ALARM


def test_constant_is_its_value() -> None:
    assert (Constant(0.25)(weight_spec(3, 5), rng.generator(0, "test")) == 0.25).all()


def test_fan_in_of_a_transposed_convolution_is_torchs_fan_out() -> None:
    build = lambda: nn.ConvTranspose2d(32, 8, 3)  # noqa: E731
    he = draw(VarianceScaling(SQRT2), lambda: nn.Sequential(*[nn.ConvTranspose2d(32, 64, 3)]))["0.weight"]
    assert chi_square_p(he, 2 / (32 * 9)) > FALSE_ALARM
    theirs = nn.init.kaiming_normal_(torch.empty(32, 64, 3, 3), generator=rng.generator(0, "test"))
    assert chi_square_p(theirs, 2 / (64 * 9)) > FALSE_ALARM
    # the signal: an output of the interior sums over all 9 taps of 32 inputs
    kernels = torch.stack([each["weight"] for each in draws(VarianceScaling(), build, range(50))])
    images = torch.randn(50, 1, 32, 12, 12, generator=rng.generator(0, "test"))
    outputs = torch.stack([nn.functional.conv_transpose2d(x, k) for x, k in zip(images, kernels, strict=True)])
    assert float(outputs[..., 2:-2, 2:-2].square().mean()) == pytest.approx(1, abs=0.05)


def test_an_orthogonal_transposed_convolution_has_a_row_for_each_output() -> None:
    weight = draw(Orthogonal(), lambda: nn.ConvTranspose2d(6, 4, 3, groups=2))["weight"]  # [6, 2, 3, 3]
    for group in weight.chunk(2):
        rows = group.transpose(0, 1).flatten(1).double()
        torch.testing.assert_close(rows @ rows.T, torch.eye(2, dtype=torch.float64), atol=ROUNDING, rtol=0)


def test_depthwise_convolutions_have_the_fans_of_a_channel() -> None:
    build = lambda: nn.Conv2d(2000, 2000, 3, groups=2000)  # noqa: E731
    fan_out, fan_avg = (draw(VarianceScaling(1.0, fan), build)["weight"] for fan in ("fan_out", "fan_avg"))
    assert chi_square_p(fan_out, 1 / 9) > FALSE_ALARM
    assert chi_square_p(fan_avg, 1 / 9) > FALSE_ALARM
    # the pitfall: torch's fan_out is too large by the number of groups
    theirs = nn.init.kaiming_normal_(torch.empty(2000, 1, 3, 3), mode="fan_out", nonlinearity="linear")
    assert float(theirs.var()) < 2 / (9 * 2000)


@pytest.mark.parametrize(
    ("law", "options", "message"),
    [
        (Uniform, {"bound": -1.0}, r"Uniform: bad value `bound`=-1.0. Expected a finite number from 0"),
        (TruncatedNormal, {"std": math.nan}, r"TruncatedNormal: bad value `std`=nan. Expected a finite number from 0"),
        (TruncatedNormal, {"cut": 0}, r"TruncatedNormal: bad value `cut`=0. Expected a finite number above 0"),
        (TruncatedNormal, {"convention": "jax"}, r"unknown `convention`='jax'. Expected one of: final, keras, torch"),
        (Sparse, {"nonzeros": 0}, r"Sparse: bad value `nonzeros`=0. Expected a whole number from 1"),
        (Sparse, {"std": -1}, r"Sparse: bad value `std`=-1. Expected a finite number from 0"),
        (Identity, {"gain": "relu"}, r"Identity: bad value `gain`='relu'.*one of: auto, backward, torch"),
    ],
)
def test_options_outside_their_range_are_refused(law: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        law(**options)


@pytest.mark.parametrize("law", [Identity(), Sparse()], ids=repr)
def test_a_matrix_is_needed(law: Any) -> None:
    with pytest.raises(ConfigError, match=r"no matrix in `w` of shape \(5,\).*Use another law for this role"):
        as_initializer(law)(nn.Linear(1, 1), [weight_spec(5, fan_in=5, fan_out=5)], seed=0)
