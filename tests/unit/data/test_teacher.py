"""Teacher and student: the promised moments, noise and independence of the splits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from initsuite.data.base import check_dataset
from initsuite.data.teacher import NONLINEARITIES, teacher
from initsuite.errors import ConfigError

ROUNDING = 1e-5
"""Float32 means of thousands of values near 1."""


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_targets_are_standardised_by_the_training_split(nonlinearity: str) -> None:
    data = check_dataset(teacher(num_outputs=3, depth=2, nonlinearity=nonlinearity), "teacher")
    assert (data.input_shape, data.num_outputs) == ((20,), 3)
    torch.testing.assert_close(data.train.targets.mean(0), torch.zeros(3), atol=ROUNDING, rtol=0)
    torch.testing.assert_close(data.train.targets.std(0, correction=0), torch.ones(3), atol=ROUNDING, rtol=0)


def test_the_target_is_a_function_of_the_input_plus_the_stated_noise() -> None:
    clean, noisy = teacher(num_validation=5000), teacher(num_validation=5000, noise=0.5)
    assert torch.equal(clean.validation.inputs, noisy.validation.inputs)
    noise = (noisy.validation.targets - clean.validation.targets).squeeze(1)
    # 5,000 draws of std 0.5: the standard errors are 0.007 of the mean and 0.005 of the std
    assert noise.mean().item() == pytest.approx(0, abs=0.035)
    assert noise.std().item() == pytest.approx(0.5, abs=0.025)


def test_a_linear_model_cannot_tell_but_the_teacher_can() -> None:
    """The problem is one that needs the hidden layer: least squares leaves error, and a wide random layer less."""
    data = teacher(num_features=5, width=3, nonlinearity="relu")
    train, test = data.train, data.validation

    def error(features) -> float:
        fit = torch.linalg.lstsq(features(train.inputs), train.targets).solution
        return float((features(test.inputs) @ fit - test.targets).square().mean())

    wide = torch.randn(6, 200, generator=torch.Generator().manual_seed(0))

    def ones(x):
        return torch.cat([x, torch.ones(len(x), 1)], 1)

    assert error(ones) > 0.05
    assert error(lambda x: torch.relu(ones(x) @ wide)) < 0.3 * error(ones)


def test_the_size_of_a_split_leaves_the_others_and_the_seed_moves_all() -> None:
    data, longer, other = teacher(), teacher(num_test=900), teacher(data_seed=1)
    assert torch.equal(data.train.targets, longer.train.targets)
    assert torch.equal(data.test.inputs, longer.test.inputs[:500])
    assert not torch.equal(data.train.inputs, other.train.inputs)
    assert not torch.equal(data.train.inputs[:500], data.validation.inputs)


def test_a_dead_teacher_is_refused() -> None:
    """A deep ReLU teacher of width 1 is dead unless all of its weights behind the first are positive."""
    options: dict[str, Any] = {"width": 1, "depth": 3, "nonlinearity": "relu", "num_train": 50}
    with pytest.raises(ConfigError, match="Raise width, or change data_seed"):
        [teacher(**options, data_seed=data_seed) for data_seed in range(20)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nonlinearity": "gelu"}, "unknown `nonlinearity`='gelu'"),
        ({"noise": -1.0}, "`noise`=-1.0"),
        ({"depth": 0}, "`depth`=0"),
    ],
)
def test_an_option_out_of_range_is_refused(options, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        teacher(**options)
