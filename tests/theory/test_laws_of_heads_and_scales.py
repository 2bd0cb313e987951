"""Laws of single places: the scales of branches, the bias of the head, kernels before a pixel shuffle, isometries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import interpolate

import initsuite
from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import (
    BranchScale,
    Critical,
    FocalPrior,
    Icnr,
    IcnrKernel,
    Isometric,
    LayerScale,
    Normal,
    as_initializer,
)  # fmt: skip
from initsuite.init.theory.edge_of_chaos import edge_of_chaos
from initsuite.models import Mlp, ResNet, Vit
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Params, Role
from support.laws import FALSE_ALARM, chi_square_p, draw
from support.networks import spec_of, transformer

ROUNDING = 1e-5
"""Of sums of a few hundred float32 products of size 1."""
RELU, TANH = activation("relu"), activation("tanh")


@pytest.mark.parametrize(("blocks", "value"), [(2, 0.1), (18, 0.1), (19, 1e-5), (24, 1e-5), (25, 1e-6)])
def test_layer_scale_goes_by_the_number_of_blocks(blocks: int, value: float) -> None:
    """Table and text of the paper: 0.1 up to 18 blocks, 1e-5 for 24, 1e-6 for deeper ones."""
    scales = [spec_of("a.scale", (16,), Role.BRANCH_SCALE), spec_of("b.scale", (1,), Role.BRANCH_SCALE)]
    params = LayerScale()(nn.Module(), [*transformer(blocks, width=4), *scales], seed=0).params
    for scale in scales:
        torch.testing.assert_close(params[scale.name], torch.full(scale.shape, value))


def test_layer_scale_of_a_model_makes_its_branches_small() -> None:
    model = skeleton(lambda: Vit((1, 8, 8), 10, RELU, depth=1, width=16, heads=2, branch_scale=True))
    specs = describe(model)
    inputs = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    added: list[float] = []

    def moved(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        added.append(float((output - inputs[0]).norm()))

    handle = model.get_submodule("blocks.attention1").register_forward_hook(moved)
    for value in (1.0, 0.25):
        functional_call(model, LayerScale(value, inside="he")(model, specs, seed=0).params, (inputs,))
    handle.remove()
    assert added[1] == pytest.approx(added[0] / 4, rel=1e-4)
    own, other = (law(inside="he")(model, specs, seed=0).params for law in (LayerScale, BranchScale))
    assert torch.equal(own["blocks.mlp1.branch.linear1.weight"], other["blocks.mlp1.branch.linear1.weight"])


@pytest.mark.parametrize("prior", [0.01, 0.3])
def test_focal_prior_starts_at_the_prior(prior: float) -> None:
    build = lambda: Mlp((64,), 200, RELU, widths=[256])  # noqa: E731
    model, params = skeleton(build), draw(FocalPrior(prior, head_std=0.001), build)
    inputs = torch.randn(50, 64, generator=torch.Generator().manual_seed(0))
    started = torch.sigmoid(functional_call(model, params, (inputs,)))
    assert float((started - prior).abs().max()) < 0.2 * prior  # logits are within 0.1 of the bias
    assert float(params["layers.head.bias"][0]) == pytest.approx(math.log(prior / (1 - prior)))
    assert not params["layers.linear1.bias"].any()
    assert chi_square_p(params["layers.linear1.weight"], 2 / 64) > FALSE_ALARM
    assert chi_square_p(draw(FocalPrior(), build)["layers.head.weight"], 0.01**2) > FALSE_ALARM


def shuffler(scale: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 5 * scale**2, 3, padding=1), nn.PixelShuffle(scale)
    )


@pytest.mark.parametrize("scale", [2, 3])
def test_icnr_is_a_convolution_and_a_resize_by_the_nearest_neighbour(scale: int) -> None:
    model = shuffler(scale)
    initsuite.initialize_(model, "icnr")
    inputs = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(0))
    small = nn.Conv2d(16, 5, 3, padding=1)
    with torch.no_grad():
        small.weight.copy_(model[2].weight[:: scale**2])
        small.bias.zero_()  # type: ignore[union-attr]
        expected = interpolate(small(model[:2](inputs)), scale_factor=scale, mode="nearest")
        torch.testing.assert_close(model(inputs), expected, atol=ROUNDING, rtol=0)
        initsuite.initialize_(model, "he")
        assert not torch.allclose(model(inputs), interpolate(model(inputs)[:, :, ::scale, ::scale], scale_factor=scale))


def test_the_filters_of_icnr_have_the_law_that_is_given() -> None:
    kernel = IcnrKernel(Normal(0.0, 0.3), repeats=4)(spec_of("conv", (256, 32, 3, 3)), torch.Generator().manual_seed(0))
    assert chi_square_p(kernel[::4], 0.3**2) > FALSE_ALARM
    assert IcnrKernel().declared_std(spec_of("conv", (8, 4, 3, 3), fan_in=36)) == pytest.approx(math.sqrt(2 / 36))


def test_only_the_convolution_before_a_shuffle_is_repeated() -> None:
    model = nn.Sequential(shuffler(2), nn.Conv2d(5, 8, 3))
    initsuite.initialize_(model, "icnr")
    assert torch.equal(model[0][2].weight[0], model[0][2].weight[3])
    assert not torch.equal(model[1].weight[0], model[1].weight[1])


def jacobian(law: Any, phi: Any, depth: int, width: int = 64) -> np.ndarray:
    """Singular values of d(last hidden pre-activation) / d(input) of a square network."""
    model = skeleton(lambda: Mlp((width,), width, phi, depth=depth, width=width))
    params: Params = as_initializer(law)(model, describe(model), seed=0).params
    point = 0.1 * torch.randn(width, generator=torch.Generator().manual_seed(1))
    matrix = torch.func.jacrev(lambda x: functional_call(model, params, (x[None],))[0])(point)
    return np.linalg.svd(matrix.detach().double().numpy())[1]


def test_isometric_keeps_all_singular_values_of_the_jacobian_where_critical_spreads_them() -> None:
    """tanh at q* = 0.01, 20 layers: the condition number of a Gaussian network is many times larger."""
    orthogonal, gaussian = (jacobian(law(q=0.01), TANH, depth=20) for law in (Isometric, Critical))
    assert orthogonal.max() / orthogonal.min() < 3
    assert gaussian.max() / gaussian.min() > 100


def test_isometric_has_the_critical_pair() -> None:
    build = lambda: Mlp((64,), 10, TANH, widths=[64, 200])  # noqa: E731
    model, law, point = skeleton(build), Isometric(q=0.5), edge_of_chaos(TANH, q=0.5)
    specs = describe(model)
    params = law(model, specs, seed=0).params
    for name in ("layers.linear1.weight", "layers.linear2.weight", "layers.head.weight"):
        np.testing.assert_allclose(np.linalg.svd(params[name].numpy())[1], point.sigma_w, rtol=ROUNDING)
    biases = torch.cat([law(model, specs, seed=seed).params["layers.linear2.bias"] for seed in range(60)])
    assert chi_square_p(biases, point.sigma_b**2) > FALSE_ALARM
    relu = draw(Isometric(), lambda: Mlp((64,), 10, RELU, widths=[64]))
    np.testing.assert_allclose(np.linalg.svd(relu["layers.linear1.weight"].numpy())[1], math.sqrt(2), rtol=ROUNDING)


def test_orthogonal_auto_is_orthogonal_times_the_gain() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 10))
    initsuite.initialize_(model, "orthogonal_auto")
    np.testing.assert_allclose(np.linalg.svd(model[0].weight.detach().numpy())[1], 1.5335, rtol=1e-4)  # table of gains
    np.testing.assert_allclose(np.linalg.svd(model[2].weight.detach().numpy())[1], 1.0, rtol=ROUNDING)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw(LayerScale(), lambda: ResNet((3, 8, 8), 10, RELU, depth=8)), r"no `branch_scale` parameter"),
        (lambda: LayerScale(value="small"), r"bad value `value`='small'. Expected a number from 0, or auto"),
        (lambda: LayerScale(value=-1), r"bad value `value`=-1. Expected a finite number from 0. Or use auto"),
        (lambda: LayerScale(inside="no"), r"unknown `inside`='no'. Expected one of: he, lecun, normal"),
        (lambda: draw(FocalPrior(), lambda: nn.LSTM(3, 3)), r"no head with a bias.*Use init=he"),
        (lambda: FocalPrior(prior=0), r"`prior`=0. Expected a finite number above 0"),
        (lambda: FocalPrior(prior=1), r"`prior`=1. Expected a probability between 0 and 1"),
        (lambda: FocalPrior(head_std=-1), r"`head_std`=-1"),
        (
            lambda: draw(Icnr(), lambda: nn.Conv2d(3, 4, 3)),
            r"no sub-pixel convolution. Expected a convolution and an nn",
        ),
        (lambda: IcnrKernel(repeats=0), r"`repeats`=0. Expected a whole number from 1"),
        (
            lambda: draw(IcnrKernel(repeats=3), lambda: nn.Conv2d(3, 4, 3)),
            r"`repeats`=3 for the 4 output channels of `weight`. Expected a divisor of them. Give the square of the up",
        ),
        (lambda: Isometric(q=None), r"bad values `q`=None and `sigma_b`=None"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


def test_laws_that_require_a_model_are_drawn_on_a_users_own_one() -> None:
    """They refuse the models that they are not for."""
    options = {"depth": 1, "width": 16, "heads": 2, "branch_scale": True, "norm": "sub"}
    model = Vit((1, 8, 8), 10, RELU, **options)  # type: ignore[arg-type]
    assert set(initsuite.initialize_(model, "sub_ln")["how"]) == {"drawn"}
    initsuite.initialize_(model, "layer_scale")
    assert model.get_parameter("blocks.mlp1.branch_scale").item() == pytest.approx(0.1)
    with pytest.raises(ConfigError, match=r"no `branch_scale` parameter"):
        initsuite.initialize_(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)), "layer_scale")
