"""Learning rates that follow fans and depth: spectral norms, and one step that moves the outputs by the same."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import DepthMup, Mup, Spectral, SpectralNormal
from initsuite.models import Mlp
from initsuite.models.branch import Branch, Residual
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initializer, ParamSpec, Role
from support.laws import FALSE_ALARM, chi_square_p
from support.networks import WIDTH, plain_blocks, spec_of, transformer

Described = tuple[nn.Module, Sequence[ParamSpec]]


class Deep(nn.Module):
    """A stream of `width` features, `depth` residual branches of two layers, and a head."""

    def __init__(self, depth: int, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Linear(16, width)
        self.blocks = nn.Sequential(*(Residual(Branch(*self._layers(width))) for _ in range(depth)))
        self.head = nn.Linear(width, 4)

    @staticmethod
    def _layers(width: int) -> list[nn.Module]:
        return [nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width)]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.blocks(self.first(inputs)))


@functools.cache
def deep(depth: int) -> Described:
    """Recording a model of hundreds of layers takes seconds."""
    return described(lambda: Deep(depth))


def described(build: Callable[[], nn.Module]) -> Described:
    model = skeleton(build)
    return model, describe(model)


def step(network: Described, law: Initializer, optimizer: str, lr: float) -> float:
    """Root mean square of what one step changes in the outputs: of signs for adam, of gradients for sgd."""
    model, specs = network
    draws = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(32, 16, generator=draws), torch.randint(4, (32,), generator=draws)
    changes = []
    for seed in range(4):
        start = law(model, specs, seed=seed)
        params = {name: value.requires_grad_() for name, value in start.params.items()}
        outputs = functional_call(model, params, (inputs,))
        grads = torch.autograd.grad(nn.functional.cross_entropy(outputs, targets), list(params.values()))
        updates = [grad.sign() if optimizer == "adam" else grad for grad in grads]
        rates = [lr * start.lr_factors.get(name, 1.0) for name in params]
        moved = {name: params[name] - rate * up for name, rate, up in zip(params, rates, updates, strict=True)}
        with torch.no_grad():
            changes.append((functional_call(model, moved, (inputs,)) - outputs).square().mean())
    return math.sqrt(float(torch.stack(changes).mean()))


@pytest.mark.parametrize("shape", [(64, 256), (256, 64), (200, 200), (10, 512)])
def test_the_spectral_norm_is_the_root_of_the_ratio_of_the_fans_up_to_a_factor_of_two(shape: tuple[int, int]) -> None:
    matrix = SpectralNormal()(spec_of("w", shape), torch.Generator().manual_seed(0)).numpy()
    ratio = np.linalg.svd(matrix)[1][0] / math.sqrt(shape[0] / shape[1])
    assert 0.95 < ratio < 2.05


def test_the_variance_is_the_smaller_of_two() -> None:
    generator = torch.Generator().manual_seed(0)
    assert chi_square_p(SpectralNormal()(spec_of("up", (512, 64)), generator), 1 / 64) > FALSE_ALARM
    assert chi_square_p(SpectralNormal()(spec_of("down", (64, 512)), generator), 64 / 512**2) > FALSE_ALARM


def test_the_lr_factors_of_spectral_are_those_of_its_table() -> None:
    specs = [
        spec_of("up", (512, 100)),
        spec_of("up.bias", (512,), Role.BIAS),
        spec_of("conv", (256, 128, 3, 3), fan_in=128 * 9, fan_out=256 * 9),
        spec_of("depthwise", (256, 1, 3, 3), fan_in=9, fan_out=9, blocks=(1,) * 256),
        spec_of("token", (30, 512), Role.EMBEDDING, fan_in=1, fan_out=512),
        spec_of("scale", (1,), Role.BRANCH_SCALE),
        spec_of("head", (40, 256), is_head=True),
        spec_of("head.bias", (40,), Role.BIAS, is_head=True),
    ]
    adam, sgd = (Spectral(name)(nn.Module(), specs, seed=0).lr_factors for name in ("adam", "sgd"))
    assert adam == {"up": 64 / 100, "conv": 64 / 128, "head": 64 / 256}
    weights = {"up": 512 / 100, "conv": 256 / 128, "head": 40 / 256}
    assert sgd == {**weights, "up.bias": 512 / 64, "depthwise": 256 / 64, "token": 512 / 64}


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 1e-3), ("sgd", 0.05)])
def test_one_step_of_spectral_moves_the_outputs_by_the_same_at_every_width(optimizer: str, lr: float) -> None:
    builds = [lambda width=width: Mlp((16,), 4, activation("tanh"), depth=3, width=width) for width in (64, 256, 1024)]
    changes = [step(described(build), Spectral(optimizer), optimizer, lr) for build in builds]
    assert max(changes) < 2 * min(changes)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_depth_mup_divides_what_closes_a_branch(exponent: float) -> None:
    params = DepthMup(depth_exponent=exponent)(nn.Module(), transformer(8), seed=0).params
    factor = 4**-exponent  # 8 blocks, 2 of them in the base
    for name, std in {"3.0.qkv": 1.0, "3.up": 1.0, "3.0.out": factor, "3.down": factor / 2}.items():
        assert chi_square_p(params[name], std**2 / WIDTH) > FALSE_ALARM
    assert chi_square_p(params["head"], 1 / WIDTH**2) > FALSE_ALARM


def test_the_depth_factors_are_those_of_the_table() -> None:
    specs = plain_blocks(8)
    specs.append(spec_of("norm", (WIDTH,), Role.NORM_SCALE, branch_layers=2, branch=3, layer=6))
    for exponent, adam, sgd in ((0.5, 4**-0.5, 1.0), (1.0, 1.0, 4.0)):
        for optimizer, inside in (("adam", adam), ("sgd", sgd)):
            plain = Mup(optimizer).lr_factors(specs)
            factors = DepthMup(optimizer, depth_exponent=exponent).lr_factors(specs)
            for name, expected in {"3.up": inside, "norm": inside, "3.down": 1 / 4, "head": 1, "first": 1}.items():
                assert factors[name] == pytest.approx(plain[name] * expected)


def test_at_the_base_depth_it_is_mup() -> None:
    specs = plain_blocks(2)
    own, mup = DepthMup()(nn.Module(), specs, seed=0), Mup()(nn.Module(), specs, seed=0)
    assert own.lr_factors == mup.lr_factors
    assert all(torch.equal(own.params[name], mup.params[name]) for name in mup.params)


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 1e-4), ("sgd", 2e-2)])
@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_one_step_moves_the_outputs_by_the_same_at_every_depth(optimizer: str, lr: float, exponent: float) -> None:
    law = DepthMup(optimizer, depth_exponent=exponent)
    changes = [step(deep(depth), law, optimizer, lr) for depth in (8, 32, 128)]
    assert max(changes) < 2 * min(changes)
    mup = [step(deep(depth), Mup(optimizer), optimizer, lr) for depth in (8, 32)]
    assert mup[1] > 2 * mup[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Spectral("lamb"), r"Spectral: unknown `optimizer`='lamb'. Expected one of: adam, sgd"),
        (lambda: Spectral(base_width=0), r"`base_width`=0. Expected a whole number from 1"),
        (lambda: DepthMup(depth_exponent=-1), r"`depth_exponent`=-1. Expected a finite number from 0"),
        (lambda: DepthMup(base_depth=0), r"`base_depth`=0. Expected a whole number from 1"),
        (lambda: DepthMup(optimizer="lamb"), r"unknown `optimizer`='lamb'"),
        (lambda: DepthMup()(nn.Module(), [spec_of("w", (4, 4))], seed=0), r"no layer that closes a residual branch"),
        (
            lambda: DepthMup()(
                nn.Module(),
                [*plain_blocks(1), spec_of("norm", (4,), Role.NORM_SCALE, closes_residual=True)],
                seed=0,
            ),
            r"a norm layer \(`norm`\) that ends a branch.*Use model.norm=none; in a model of your own",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()
