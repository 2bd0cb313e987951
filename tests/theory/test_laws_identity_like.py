"""ZerO, IDInit and the tanh initializer, entry by entry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from initsuite.errors import ConfigError
from initsuite.init import IdInit, TanhInit, VarianceScaling, ZeroHadamard, as_initializer
from initsuite.init.identity_like import hadamard
from initsuite.spec import ParamSpec, Role

FALSE_ALARM = 1e-4
"""Of a two-sided chi-square test. At n = 16,384 it rejects an error of the std of 4 % in 99.9 % of draws."""
ROUNDING = 1e-5
"""Of sums of up to 256 float32 products of size 1/256."""
SHAPES = [(64, 64), (64, 256), (256, 64), (24, 7), (7, 24), (1, 5), (5, 1)]


def spec_of(shape: tuple[int, ...], **facts: Any) -> ParamSpec:
    field = math.prod(shape[2:])
    return ParamSpec("weight", shape, Role.WEIGHT, shape[1] * field, shape[0] * field, None, 0, 2, **facts)


def drawn(law: Any, shape: tuple[int, ...], seed: int = 0, **facts: Any) -> Tensor:
    return as_initializer(law)(nn.Module(), [spec_of(shape, **facts)], seed=seed).params["weight"]


@pytest.mark.parametrize("order", range(7))
def test_hadamard_is_scipys(order: int) -> None:
    np.testing.assert_array_equal(hadamard(order).numpy(), scipy.linalg.hadamard(2**order))


@pytest.mark.parametrize("shape", SHAPES)
def test_zero_hadamard_is_the_algorithm_of_the_paper(shape: tuple[int, int]) -> None:
    rows, columns = shape
    if rows <= columns:
        expected = np.eye(rows, columns)
    else:
        order = math.ceil(math.log2(rows))
        cut_left, cut_right = np.eye(rows, 2**order), np.eye(2**order, columns)
        expected = 2 ** (-(order - 1) / 2) * cut_left @ scipy.linalg.hadamard(2**order) @ cut_right
    np.testing.assert_allclose(drawn(ZeroHadamard(), shape).numpy(), expected, rtol=1e-6)


def test_zero_hadamard_by_hand() -> None:
    half = 2**-0.5
    expected = torch.tensor([[half, half], [half, -half], [half, half]])
    torch.testing.assert_close(drawn(ZeroHadamard(), (3, 2)), expected)


def test_a_widening_layer_doubles_the_mean_square_as_the_factor_of_the_paper_says() -> None:
    """ReLU halves it again. The factor 2^(-m/2) of public code would give the identity here."""
    weight = drawn(ZeroHadamard(), (256, 64))
    torch.testing.assert_close(weight.T @ weight, 2 * torch.eye(64), atol=ROUNDING, rtol=0)


def test_what_closes_a_branch_is_zero_or_nearly() -> None:
    assert not drawn(ZeroHadamard(), (64, 64), closes_residual=True).any()
    nearly = drawn(IdInit(), (64, 64), closes_residual=True)
    torch.testing.assert_close(nearly, 1e-6 * torch.eye(64), rtol=1e-5, atol=0)


@pytest.mark.parametrize("law", [ZeroHadamard(), IdInit(looseness=0)])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_convolutions_pass_images_on(law: Any, size: int) -> None:
    images = torch.randn(2, 6, 9, 9, generator=torch.Generator().manual_seed(0))
    same = functional.conv2d(images, drawn(law, (6, 6, size, size)), padding=size // 2)
    assert torch.equal(same, images)
    narrower = functional.conv2d(images, drawn(ZeroHadamard(), (4, 6, size, size)), padding=size // 2)
    assert torch.equal(narrower, images[:, :4])


@pytest.mark.parametrize("law", [ZeroHadamard(), IdInit(looseness=0), TanhInit(alpha=0)])
def test_groups_and_transposed_convolutions_get_matrices_of_their_own(law: Any) -> None:
    matrix = drawn(law, (8, 4))
    weight = drawn(law, (16, 4, 3, 3), blocks=(8, 8))
    assert torch.equal(weight[:, :, 1, 1], torch.cat([matrix, matrix]))
    transposed = drawn(law, (4, 8, 3, 3), is_transposed=True)
    assert torch.equal(transposed[:, :, 1, 1], matrix.T)
    assert int((transposed != 0).sum()) == int((matrix != 0).sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_repeated_identities_are_those_of_the_papers(shape: tuple[int, int]) -> None:
    rows, columns = shape
    for law, period in ((IdInit(identity=2.0, looseness=0), min(shape)), (TanhInit(alpha=0), columns)):
        value = 2.0 if isinstance(law, IdInit) else 1.0
        expected = [[value if (i - j) % period == 0 else 0.0 for j in range(columns)] for i in range(rows)]
        if isinstance(law, TanhInit):  # j is less than the period there: i mod n_in = j
            assert expected == [[float(i % columns == j) for j in range(columns)] for i in range(rows)]
        assert drawn(law, shape).tolist() == expected


def test_looseness_tells_units_of_the_same_inputs_apart() -> None:
    """Without it rows i and i + 64 would be equal, and so would their gradients, for good."""
    tight, loose = drawn(IdInit(looseness=0), (256, 64)), drawn(IdInit(looseness=1e-3), (256, 64))
    assert torch.equal(tight[:64], tight[64:128])
    assert not torch.equal(loose[:64], loose[64:128])
    assert torch.equal(loose != 0, tight != 0)
    entries = loose[loose != 0] - 1
    # 256 entries: their std is known to 1 / sqrt(2 * 256) = 4.4 %, and five sigma are 22 %
    assert float(entries.std()) == pytest.approx(1e-3, rel=0.22)
    ulps = drawn(IdInit(), (256, 64))  # the default is above the rounding of float32
    assert not torch.equal(ulps[:64], ulps[64:128])


@pytest.mark.parametrize("shape", [(64, 256), (256, 64), (64, 32, 3, 3)])
def test_the_noise_of_tanh_init(shape: tuple[int, ...]) -> None:
    noise = (drawn(TanhInit(), shape) - drawn(TanhInit(alpha=0), shape)).double()
    n, variance = noise.numel(), 0.085**2 / math.prod(shape[1:])
    assert n >= 10_000
    statistic = float(noise.square().sum()) / variance
    assert 2 * min(stats.chi2.cdf(statistic, n), stats.chi2.sf(statistic, n)) > FALSE_ALARM


@pytest.mark.parametrize(
    ("law", "lives"), [(TanhInit(), True), (VarianceScaling(gain=1.0, fan="fan_avg"), False)], ids=["tanh", "xavier"]
)
def test_signals_of_a_thousand_tanh_layers_neither_die_nor_saturate(law: Any, lives: bool) -> None:
    """Figure 1 of the paper: 3,000 inputs, the range of the activations in each layer; Xavier dies at this width."""
    signal = torch.randn(3000, 16, generator=torch.Generator().manual_seed(1))
    for layer in range(1000):
        signal = torch.tanh(signal @ drawn(law, (16, 16), seed=layer).T)
    spread = float(signal.std())
    assert (0.01 < spread < 0.95) is lives
    assert (float((signal.abs() > 0.99).float().mean()) < 0.1) or not lives


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`identity`=inf.*a finite number"):
        IdInit(identity=math.inf)
    with pytest.raises(ConfigError, match=r"`closing`=nan.*a finite number"):
        IdInit(closing=math.nan)
    with pytest.raises(ConfigError, match=r"`looseness`=-1.*from 0"):
        IdInit(looseness=-1)
    with pytest.raises(ConfigError, match=r"`alpha`=-1.*from 0"):
        TanhInit(alpha=-1)
