"""Randomized asymmetric initialization: weights and bias of a unit drawn together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import nn

from initsuite import rng
from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import (
    Asymmetric,
    VarianceScaling,
    as_initializer,
)
from initsuite.models import Mlp
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import ParamSpec, Role
from support.laws import FALSE_ALARM, draw

RELU = activation("relu")


def test_asymmetric_has_one_positive_entry_in_each_unit() -> None:
    # std 0 leaves the special entries alone
    params = draw(Asymmetric(std=0.0), lambda: nn.Sequential(nn.Linear(19, 20_000), nn.ReLU(), nn.Linear(20_000, 2)))
    rows = torch.cat([params["0.weight"], params["0.bias"][:, None]], 1)
    assert ((rows != 0).sum(1) == 1).all()
    assert stats.kstest(rows[rows != 0].double().numpy(), stats.beta(2, 1).cdf).pvalue > FALSE_ALARM
    assert stats.chisquare((rows != 0).sum(0).double().numpy()).pvalue > FALSE_ALARM  # the bias as often as any weight


def test_asymmetric_has_the_declared_mean_square() -> None:
    params = draw(Asymmetric(), lambda: nn.Sequential(nn.Linear(19, 20_000), nn.ReLU(), nn.Linear(20_000, 2)))
    rows = torch.cat([params["0.weight"], params["0.bias"][:, None]], 1).double()
    expected = (0.6007**2 + 0.5) / 20
    squares = rows.square()
    assert float(squares.mean()) == pytest.approx(expected, abs=4 * float(squares.std()) / math.sqrt(squares.numel()))
    # all but the special ones: dropping the entries above what a normal law reaches leaves N(0, 0.6007^2 / 19)
    small = rows[:, 0][rows[:, 0] < 0]
    assert stats.kstest(-small.numpy(), stats.halfnorm(scale=0.6007 / math.sqrt(19)).cdf).pvalue > FALSE_ALARM


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Conv2d(6, 9, 3, groups=3),
        lambda: nn.ConvTranspose2d(6, 9, 3, groups=3),
        lambda: nn.ConvTranspose1d(4, 5, 3),
        lambda: nn.LSTM(4, 5),
        lambda: nn.MultiheadAttention(6, 2),
        lambda: nn.Linear(7, 5, bias=False),
    ],
    ids=["groups", "transposed-groups", "transposed", "lstm", "attention", "no-bias"],
)
def test_asymmetric_finds_the_units_of_every_layer(build: Callable[[], nn.Module]) -> None:
    model = skeleton(build)
    specs = {spec.name: spec for spec in describe(model)}
    params = Asymmetric(std=0.0)(model, list(specs.values()), seed=0).params
    for name, spec in specs.items():
        if spec.role is Role.BIAS:
            continue
        # each unit's output at an input of ones is what its one positive entry is
        weight, bias = params[name], params.get(name.replace("weight", "bias"))
        groups = max(1, len(spec.blocks)) if spec.is_transposed else 1
        if spec.is_transposed:
            weight = torch.cat([group.transpose(0, 1) for group in weight.chunk(groups)])
        nonzero = (weight.flatten(1) != 0).sum(1)
        assert ((nonzero if bias is None else nonzero + (bias != 0)) == 1).all(), name


def test_asymmetric_leaves_a_bias_of_its_own_at_0_and_checks_its_std() -> None:
    lone = ParamSpec("shift.bias", (4,), Role.BIAS, 4, 4, None, 0, 1)
    assert not Asymmetric()(nn.Linear(1, 1), [lone], seed=0).params["shift.bias"].any()
    with pytest.raises(ConfigError, match=r"Asymmetric: bad value `std`=-1. Expected a finite number from 0"):
        Asymmetric(-1)


def test_fewer_deep_narrow_networks_are_born_dead() -> None:
    inputs = torch.linspace(-1, 1, 50)[:, None]
    model = skeleton(lambda: Mlp((1,), 1, RELU, depth=10, width=2))
    specs = describe(model)

    def dead(law: Any) -> float:
        starts = [as_initializer(law)(model, specs, seed=seed).params for seed in range(200)]
        outputs = [torch.func.functional_call(model, start, (inputs,)) for start in starts]
        return sum(float(output.std()) == 0 for output in outputs) / len(outputs)

    assert dead(Asymmetric()) < dead(VarianceScaling(math.sqrt(2))) - 0.15


def test_asymmetric_does_not_explode_in_wide_networks() -> None:
    model = skeleton(lambda: Mlp((500,), 500, RELU, depth=30, width=500))
    params = Asymmetric()(model, describe(model), seed=0).params
    inputs = torch.randn(16, 500, generator=rng.generator(0, "test"))
    assert float(torch.func.functional_call(model, params, (inputs,)).square().mean()) < 10
