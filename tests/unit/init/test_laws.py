"""What the initializers refuse, and how they say it."""

import math
from typing import Any

import pytest
import torch

from initsuite import rng
from initsuite.errors import ConfigError
from initsuite.init import (
    Constant,
    Guideline,
    Identity,
    IdInit,
    Normal,
    NormalEverywhere,
    Orthogonal,
    TanhInit,
    VarianceScaling,
    ZeroHadamard,
    as_initializer,
)
from initsuite.init.distributions import sample
from initsuite.spec import ParamSpec, Role

NO_GAIN = [0, -1.0, math.nan, math.inf, True, None]


@pytest.mark.parametrize("law", [VarianceScaling, Orthogonal])
@pytest.mark.parametrize("gain", NO_GAIN)
def test_a_gain_that_is_none_is_refused(law: Any, gain: Any) -> None:
    with pytest.raises(
        ConfigError, match=rf"{law.__name__}: bad value `gain`=.*above 0. Or use one of: auto, backward, torch"
    ):
        law(gain=gain)


@pytest.mark.parametrize("law", [VarianceScaling, Orthogonal])
def test_an_unknown_named_gain_is_refused_with_the_list(law: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{law.__name__}: bad value `gain`='relu'.*one of: auto, backward, torch"):
        law(gain="relu")


def test_unknown_choices_are_refused_with_the_list() -> None:
    with pytest.raises(
        ConfigError, match=r"`fan`='fanin'.*fan_in, fan_out, fan_avg, fan_geo_avg. Did you mean `fan_in`"
    ):
        VarianceScaling(fan="fanin")
    with pytest.raises(ConfigError, match=r"`distribution`='gauss'.*normal, uniform, truncated_normal"):
        VarianceScaling(distribution="gauss")
    with pytest.raises(ConfigError, match=r"sample: unknown `distribution`.*normal, uniform, truncated_normal"):
        sample("gauss", (2,), 1.0, rng.generator(0, "test"))


@pytest.mark.parametrize("law", [Normal, NormalEverywhere])
@pytest.mark.parametrize("std", [-0.1, math.nan, math.inf, True, "0.1"])
def test_a_std_that_is_none_is_refused(law: Any, std: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{law.__name__}: bad value `std`=.*a finite number from 0"):
        law(std=std)


@pytest.mark.parametrize("law", [Normal, NormalEverywhere])
def test_a_mean_that_is_none_is_refused(law: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{law.__name__}: bad value `mean`=nan. Expected a finite number"):
        law(mean=math.nan)


def test_a_std_of_0_is_a_constant() -> None:
    spec = ParamSpec("w", (3, 2), Role.WEIGHT, 2, 3, None, 0, 1)
    assert torch.equal(Normal(1.5, 0)(spec, rng.generator(0, "test")), torch.full((3, 2), 1.5))


def test_other_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Constant: bad value `value`=inf. Expected a finite number"):
        Constant(math.inf)
    for deep_from in (0, 2.5, True):
        with pytest.raises(ConfigError, match=r"Guideline: bad value `deep_from`=.*a whole number from 1"):
            Guideline(deep_from=deep_from)  # type: ignore[arg-type]


@pytest.mark.parametrize("law", [Orthogonal(), Identity(), ZeroHadamard(), IdInit(), TanhInit()])
def test_laws_of_matrices_refuse_a_vector(law: Any) -> None:
    spec = ParamSpec("scale", (5,), Role.WEIGHT, 5, 5, None, 0, 1)
    expected = rf"^{type(law).__name__}: no matrix in `scale` of shape \(5,\).*Use another law for this role"
    with pytest.raises(ConfigError, match=expected):
        as_initializer(law)(torch.nn.Linear(1, 1), [spec], seed=0)
