"""Fixup, SkipInit, ReZero, zero gamma and stable ResNet against their formulas, on networks whose facts are written by
hand and on the suite's own ResNet."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.func import functional_call

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import BranchScale, Fixup, StableResnet, TorchDefault, VarianceScaling, ZeroGamma, as_initializer
from initsuite.models import ResNet
from initsuite.models.branch import Branch, Residual
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initializer, Params, ParamSpec, Role

FALSE_ALARM = 1e-4
"""Of a two-sided chi-square test. At n = 16,384 it rejects an error of the std of 4 % in 99.9 % of draws."""
WIDTH = 128
NARROW = 0.15
"""Relative error of a mean square at width 512: a few layers of relative variance 5/512 each, four sigma."""
HE = as_initializer(VarianceScaling(gain=math.sqrt(2), fan="fan_in"))
RELU = activation("relu")
MODEL = nn.Module()
"""What laws that look at the facts alone are given."""


def variance_p(values: Tensor, variance: float) -> float:
    """Two-sided p value of sum(x^2) / variance, chi-square of n degrees of freedom."""
    n = values.numel()
    assert n >= 10_000
    statistic = float((values.double() ** 2).sum()) / variance
    return 2 * float(min(stats.chi2.cdf(statistic, n), stats.chi2.sf(statistic, n)))


def spec_of(name: str, role: Role, shape: tuple[int, ...], **facts: Any) -> ParamSpec:
    facts = {"nonlinearity": RELU, "layer": 1, "num_layers": 9, **facts}
    return ParamSpec(name, shape, role, facts.pop("fan_in", WIDTH), facts.pop("fan_out", WIDTH), **facts)


def network(branches: int, layers: int, norm: bool = False, scalars: tuple[Role, ...] = ()) -> list[ParamSpec]:
    """A stem, residual branches of `layers` square layers with biases, and a head."""
    square = (WIDTH, WIDTH)
    specs = [spec_of("stem.weight", Role.WEIGHT, square, branches=branches, layer=0)]
    for branch in range(branches):
        for layer in range(layers):
            facts = {"branches": branches, "branch_layers": layers, "closes_residual": layer == layers - 1}
            name = f"branch{branch}.{layer}"
            specs.append(spec_of(f"{name}.weight", Role.WEIGHT, square, **facts))
            specs.append(spec_of(f"{name}.bias", Role.BIAS, (WIDTH,), **facts))
            if norm:
                specs.append(spec_of(f"{name}.norm.weight", Role.NORM_SCALE, (WIDTH,), **facts))
                specs.append(spec_of(f"{name}.norm.bias", Role.NORM_SHIFT, (WIDTH,), **facts))
        specs += [spec_of(f"branch{branch}.{role}", role, (1,), branches=branches) for role in scalars]
    facts = {"nonlinearity": None, "is_head": True, "branches": branches}
    return [*specs, spec_of("head.weight", Role.WEIGHT, square, **facts), spec_of("head.bias", Role.BIAS, (WIDTH,))]


def start(initializer: Initializer, specs: list[ParamSpec], seed: int = 0) -> Params:
    return initializer(MODEL, specs, seed=seed).params


@pytest.mark.parametrize(("branches", "layers"), [(4, 2), (16, 2), (16, 3), (81, 5)])
def test_fixup_scales_all_layers_of_a_branch_but_the_last(branches: int, layers: int) -> None:
    params = start(Fixup(), network(branches, layers, scalars=(Role.MULTIPLIER,)))
    # written as in the paper: L^(-1/(2m-2)) times the std of He
    std = branches ** (-1 / (2 * layers - 2)) * math.sqrt(2 / WIDTH)
    for layer in range(layers - 1):
        assert variance_p(params[f"branch1.{layer}.weight"], std**2) > FALSE_ALARM
    assert not params[f"branch1.{layers - 1}.weight"].any()
    assert not params["head.weight"].any()
    assert variance_p(params["stem.weight"], 2 / WIDTH) > FALSE_ALARM


def test_the_fixup_test_would_see_the_exponent_of_the_std_taken_for_that_of_the_variance() -> None:
    params = start(Fixup(), network(16, 2, scalars=(Role.MULTIPLIER,)))
    assert variance_p(params["branch1.0.weight"], 16 ** (-1 / 2) * 2 / WIDTH) < FALSE_ALARM


def test_fixup_slows_biases_and_multipliers_by_ten_and_nothing_else() -> None:
    specs = network(2, 2, scalars=(Role.MULTIPLIER,))
    initialization = Fixup()(MODEL, specs, seed=0)
    slow = {spec.name for spec in specs if spec.role in (Role.BIAS, Role.MULTIPLIER)}
    assert initialization.lr_factors == dict.fromkeys(slow, 0.1)
    assert {"head.bias", "branch0.multiplier", "branch1.1.bias"} <= slow
    assert (initialization.params["branch0.multiplier"] == 1).all()
    assert not initialization.params["branch1.1.bias"].any()


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_what_reaches_the_last_layer_of_a_fixup_branch_has_the_mean_square_of_its_input_over_l(layers: int) -> None:
    """So that one step on the last layers of L branches moves the output as much as one layer would: O(lr)."""
    branches, width = 25, 512
    facts = {"branches": branches, "branch_layers": layers, "fan_in": width, "fan_out": width}
    specs = [spec_of(f"{layer}", Role.WEIGHT, (width, width), **facts) for layer in range(layers - 1)]
    closing = spec_of("closing", Role.WEIGHT, (width, width), **facts, closes_residual=True)
    multiplier = spec_of("multiplier", Role.MULTIPLIER, (1,))
    params = start(Fixup(), [*specs, closing, multiplier])
    signal = torch.randn(256, width, generator=torch.Generator().manual_seed(1))
    for spec in specs:
        signal = torch.relu(signal @ params[spec.name].T)
    assert float(signal.square().mean()) * branches == pytest.approx(1, rel=NARROW)


def test_branch_scales_start_at_zero_and_all_else_is_the_law_inside() -> None:
    specs = network(3, 2, scalars=(Role.BRANCH_SCALE,))
    for inside, law in (("he", HE), ("torch_default", TorchDefault())):
        params, plain = start(BranchScale(inside=inside), specs), start(law, specs)
        for spec in specs:
            if spec.role is Role.BRANCH_SCALE:
                assert params[spec.name].tolist() == [0]
            else:
                assert torch.equal(params[spec.name], plain[spec.name])
    halves = start(BranchScale(value=0.5), specs)
    assert halves["branch2.branch_scale"].item() == 0.5


def test_zero_gamma_is_he_but_for_the_last_norm_of_each_branch() -> None:
    specs = network(3, 2, norm=True)
    params, plain = start(ZeroGamma(), specs), start(HE, specs)
    zeroed = {spec.name for spec in specs if not torch.equal(params[spec.name], plain[spec.name])}
    assert zeroed == {f"branch{branch}.1.norm.weight" for branch in range(3)}
    assert not any(params[name].any() for name in zeroed)


@pytest.mark.parametrize(("law", "grows"), [(StableResnet(), True), (HE, False)])
def test_the_signal_of_a_stable_resnet_grows_by_less_than_e_squared(law: Initializer, grows: bool) -> None:
    branches, width = 16, 512
    facts = {"branches": branches, "branch_layers": 2, "fan_in": width, "fan_out": width}
    specs = []
    for branch in range(branches):
        specs.append(spec_of(f"{branch}.first", Role.WEIGHT, (width, width), **facts))
        specs.append(spec_of(f"{branch}.last", Role.WEIGHT, (width, width), **facts, closes_residual=True))
    params = start(law, specs)
    signal = torch.randn(64, width, generator=torch.Generator().manual_seed(2))
    for branch in range(branches):
        signal = signal + torch.relu(signal @ params[f"{branch}.first"].T) @ params[f"{branch}.last"].T
    growth = float(signal.square().mean())
    assert (growth == pytest.approx((1 + 2 / branches) ** branches, rel=2 * NARROW)) is grows
    assert (growth < math.e**2 * (1 + NARROW)) is grows


def test_fixup_says_that_a_model_without_multipliers_lacks_a_rule() -> None:
    with pytest.warns(UserWarning, match=r"Fixup: no scalar multiplier.*rule 3.*model.fixup=true"):
        start(Fixup(), network(2, 2))


@pytest.mark.parametrize(
    ("law", "specs", "message"),
    [
        (Fixup(), network(0, 0), r"no layer that closes a residual branch.*Use init=he"),
        (
            Fixup(),
            network(2, 2, norm=True),
            r"a norm layer \(`branch0.0.norm.weight`\).*Use model.norm=none.*nn.Identity",
        ),
        (BranchScale(), network(2, 2), r"no `branch_scale` parameter.*model.branch_scale=true"),
        (ZeroGamma(), network(0, 0), r"no layer that closes a residual branch"),
        (ZeroGamma(), network(2, 2), r"no norm_scale that closes a residual branch.*Use model.norm=batch"),
        (StableResnet(), network(0, 0), r"no layer that closes a residual branch"),
        (StableResnet(), network(2, 2, norm=True), r"ends a branch and undoes its scaling.*Use model.norm=none"),
    ],
)
def test_a_model_that_lacks_what_a_law_needs_is_refused(law: Any, specs: list[ParamSpec], message: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot initialize this model: it has .*{message}"):
        law(MODEL, specs, seed=0)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`bias_lr_factor`=0.*above 0"):
        Fixup(bias_lr_factor=0)
    with pytest.raises(ConfigError, match=r"unknown `inside`='He'.*he, torch_default"):
        BranchScale(inside="He")
    with pytest.raises(ConfigError, match=r"`value`=-1.*from 0"):
        BranchScale(value=-1)


def resnet(**options: Any) -> ResNet:
    return ResNet((3, 8, 8), 10, RELU, depth=14, width=8, **options)


REAL = [
    (Fixup(), {"norm": "none", "fixup": True}),
    (BranchScale(inside="he"), {"norm": "none", "branch_scale": True}),
    (BranchScale(inside="torch_default"), {"norm": "batch", "branch_scale": True}),
    (ZeroGamma(), {"norm": "batch"}),
]


@pytest.mark.parametrize(("law", "options"), REAL, ids=["fixup", "skipinit", "rezero", "zero_gamma"])
def test_every_block_of_our_resnet_passes_its_shortcut_on_unchanged(law: Initializer, options: dict[str, Any]) -> None:
    model = skeleton(lambda: resnet(**options))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing in our own model may be unknown
        params = law(model, describe(model), seed=0).params
    residuals = {name: module for name, module in model.named_modules() if isinstance(module, Residual)}
    assert len(residuals) == 6
    for name, residual in residuals.items():
        own = {key.removeprefix(f"{name}."): value for key, value in params.items() if key.startswith(f"{name}.")}
        channels = next(module for module in residual.branch if isinstance(module, nn.Conv2d)).in_channels
        inputs = torch.randn(4, channels, 8, 8, generator=torch.Generator().manual_seed(3))
        assert torch.equal(functional_call(residual, own, (inputs,)), residual.shortcut(inputs))


def test_stable_resnet_finds_the_closing_layers_of_our_resnet() -> None:
    model = skeleton(lambda: resnet(norm="none"))
    specs = describe(model)
    params, plain = StableResnet()(model, specs, seed=0).params, HE(model, specs, seed=0).params
    changed = {name for name in params if not torch.equal(params[name], plain[name])}
    assert changed == {f"blocks.residual{number}.branch.conv2.weight" for number in range(1, 7)}
    for name in changed:
        torch.testing.assert_close(params[name], plain[name] / math.sqrt(6))


def test_a_branch_of_ones_own_is_seen() -> None:
    branch = Branch(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    model = skeleton(lambda: nn.Sequential(nn.Linear(8, 8), Residual(branch), nn.Linear(8, 2)))
    params, plain = (law(model, describe(model), seed=0).params for law in (StableResnet(), HE))
    assert [name for name in params if not torch.equal(params[name], plain[name])] == []  # one branch: 1/sqrt(1)
    assert describe(model)[4].closes_residual
