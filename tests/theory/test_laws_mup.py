"""muP: variances, lr factors against the table of the paper, and what both together keep the same at every width."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.func import functional_call

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import Mup
from initsuite.models import Mlp
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initialization, ParamSpec, Role

FALSE_ALARM = 1e-4
"""Of a two-sided chi-square test. At n = 16,384 it rejects an error of the std of 4 % in 99.9 % of draws."""


def variance_p(values: Tensor, variance: float) -> float:
    """Two-sided p value of sum(x^2) / variance, chi-square of n degrees of freedom."""
    n = values.numel()
    assert n >= 10_000
    statistic = float((values.double() ** 2).sum()) / variance
    return 2 * float(min(stats.chi2.cdf(statistic, n), stats.chi2.sf(statistic, n)))


def spec_of(name: str, role: Role, shape: tuple[int, ...], fans: tuple[int, int], **facts: Any) -> ParamSpec:
    facts = {"nonlinearity": activation("relu"), "layer": 1, "num_layers": 3, **facts}
    return ParamSpec(name, shape, role, *fans, **facts)


NETWORK = [
    spec_of("input", Role.WEIGHT, (512, 100), (100, 512), layer=0),
    spec_of("input.bias", Role.BIAS, (512,), (100, 512), layer=0),
    spec_of("hidden", Role.WEIGHT, (256, 512), (512, 256)),
    spec_of("hidden.bias", Role.BIAS, (256,), (512, 256)),
    spec_of("norm", Role.NORM_SCALE, (256,), (512, 256)),
    spec_of("conv", Role.WEIGHT, (256, 128, 3, 3), (128 * 9, 256 * 9)),
    spec_of("depthwise", Role.WEIGHT, (256, 1, 3, 3), (9, 9), blocks=(1,) * 256),
    spec_of("state", Role.RECURRENT, (128, 128), (128, 128), layer=0),
    spec_of("token", Role.EMBEDDING, (30, 512), (1, 512), layer=0),
    spec_of("scale", Role.BRANCH_SCALE, (1,), (512, 256)),
    spec_of("head", Role.WEIGHT, (40, 256), (256, 40), layer=2, is_head=True),
    spec_of("head.bias", Role.BIAS, (40,), (256, 40), layer=2, is_head=True),
]


def start(law: Mup, specs: list[ParamSpec] = NETWORK) -> Initialization:
    return law(nn.Module(), specs, seed=0)


def test_the_variances_are_those_of_the_table() -> None:
    params = start(Mup()).params
    for name, variance in {"input": 1 / 100, "hidden": 1 / 512, "conv": 1 / (128 * 9), "head": 1 / 256**2}.items():
        assert variance_p(params[name], variance) > FALSE_ALARM
    assert variance_p(params["head"], 1 / 256) < FALSE_ALARM
    assert not any(params[name].any() for name in ("input.bias", "hidden.bias", "head.bias"))
    assert not start(Mup(output="zero")).params["head"].any()
    gained = start(Mup(gain="auto")).params  # sqrt(2), of the ReLU
    assert variance_p(gained["hidden"], 2 / 512) > FALSE_ALARM
    assert variance_p(gained["head"], 1 / 256**2) > FALSE_ALARM


def test_the_lr_factors_are_those_of_the_table_relative_to_the_base_width() -> None:
    hidden = {"hidden": 64 / 512, "conv": 64 / 128, "state": 64 / 128}
    assert start(Mup()).lr_factors == {**hidden, "head": 64 / 256}
    others = {"input": 8, "input.bias": 8, "hidden.bias": 4, "norm": 4, "depthwise": 4, "token": 8}
    assert start(Mup(optimizer="sgd")).lr_factors == {**others, "head": 64 / 256}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_at_the_base_width_no_lr_is_changed(optimizer: str) -> None:
    model = skeleton(lambda: Mlp((10,), 3, activation("relu"), depth=3, width=32))
    law = Mup(optimizer=optimizer, base_width=32)
    assert law(model, describe(model), seed=0).lr_factors == {}


def outputs_and_step(width: int, law: Mup, lr: float) -> tuple[float, float]:
    """Mean square of the outputs, and of what one step changes in them: of signs for adam, of gradients for sgd."""
    model = skeleton(lambda: Mlp((16,), 4, activation("tanh"), depth=3, width=width))
    draws = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(32, 16, generator=draws), torch.randint(4, (32,), generator=draws)
    before, change = [], []
    for seed in range(4):
        initialization = law(model, describe(model), seed=seed)
        params = {name: value.requires_grad_() for name, value in initialization.params.items()}
        outputs = functional_call(model, params, (inputs,))
        grads = torch.autograd.grad(nn.functional.cross_entropy(outputs, targets), list(params.values()))
        moved = {}
        for (name, value), grad in zip(params.items(), grads, strict=True):
            update = grad.sign() if law.optimizer == "adam" else grad
            moved[name] = value - lr * initialization.lr_factors.get(name, 1.0) * update
        with torch.no_grad():
            before.append(outputs.square().mean())
            change.append((functional_call(model, moved, (inputs,)) - outputs).square().mean())
    return float(torch.stack(before).mean()), float(torch.stack(change).mean())


def test_outputs_shrink_as_one_over_the_width() -> None:
    narrow, wide = (outputs_and_step(width, Mup(), 0.0)[0] for width in (128, 2048))
    # 4 seeds x 4 outputs of 32 correlated examples: each mean square is known to about 25 %
    assert 16 / 2 < narrow / wide < 16 * 2


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 1e-3), ("sgd", 0.05)])
def test_one_step_moves_the_outputs_by_the_same_at_every_width(optimizer: str, lr: float) -> None:
    """The coordinate check of the paper. With one lr for all tensors the change grows with the width instead."""
    law = Mup(optimizer=optimizer)
    changes = [math.sqrt(outputs_and_step(width, law, lr)[1]) for width in (64, 256, 1024)]
    assert max(changes) < 2 * min(changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "lamb"}, r"unknown `optimizer`='lamb'. Expected one of: adam, sgd"),
        ({"output": "none"}, r"unknown `output`='none'. Expected one of: normal, zero"),
        ({"base_width": 0}, r"`base_width`=0. Expected a whole number from 1"),
        ({"gain": -1}, r"bad value `gain`=-1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Mup(**options)
