"""Gaussian blobs against the closed forms of their docstring."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor

from initsuite.data.base import Dataset, check_dataset
from initsuite.data.gaussian_blobs import _centres, gaussian_blobs
from initsuite.errors import ConfigError

NUM_LARGE = 20_000
Z_BOUND = 4.5
"""Standard errors that a share may be off: 7e-6 by chance. At 20,000 examples that is 1.3 % of accuracy at most; a
separation wrong by a factor sqrt(2) moves it by more than 5 %."""


def accuracy_of_the_nearest_centre(data: Dataset, num_classes: int, num_features: int, separation: float) -> float:
    """On the test split, whose standardisation is undone by least squares on what the centres must be."""
    raw = _centres(num_classes, num_features, separation, 0)
    train = data.train
    means = torch.stack([train.inputs[train.targets == label].mean(0) for label in range(num_classes)]).double()
    # a feature was moved by one number and divided by another: z = (x - shift) / scale
    deviations = raw - raw.mean(0)
    scale = (deviations**2).sum(0) / (deviations * (means - means.mean(0))).sum(0)
    restored = data.test.inputs.double() * scale + (raw.mean(0) - scale * means.mean(0))
    return float((torch.cdist(restored, raw).argmin(1) == data.test.targets).double().mean())


@pytest.mark.parametrize(("num_classes", "num_features", "separation"), [(2, 2, 2.0), (3, 4, 3.0), (10, 12, 4.0)])
def test_the_nearest_centre_is_as_good_as_the_docstring_says(num_classes, num_features, separation) -> None:
    sizes = dict.fromkeys(("num_train", "num_test"), NUM_LARGE)
    options = {"num_classes": num_classes, "num_features": num_features, "separation": separation}
    got = accuracy_of_the_nearest_centre(gaussian_blobs(**options, **sizes), **options)
    expected = quad(lambda z: norm.pdf(z) * norm.cdf(z + separation / math.sqrt(2)) ** (num_classes - 1), -9, 9)[0]
    if num_classes == 2:
        assert expected == pytest.approx(norm.cdf(separation / 2))
    assert abs(got - expected) < Z_BOUND * math.sqrt(expected * (1 - expected) / NUM_LARGE)


def test_ten_classes_at_four_can_be_told_apart_to_seven_eighths() -> None:
    assert quad(lambda z: norm.pdf(z) * norm.cdf(z + 4 / math.sqrt(2)) ** 9, -9, 9)[0] == pytest.approx(0.875, abs=5e-4)


def test_all_centres_have_one_distance() -> None:
    distances = torch.pdist(_centres(5, 9, 3.5, data_seed=1))
    torch.testing.assert_close(distances, torch.full((10,), 3.5, dtype=torch.float64))


def test_the_splits_have_their_sizes_and_even_classes() -> None:
    data = check_dataset(gaussian_blobs(num_classes=4, num_features=6, num_train=402, num_test=7), "gaussian_blobs")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [402, 500, 7]
    assert (data.input_shape, data.num_outputs) == ((6,), 4)
    assert data.train.targets.bincount().tolist() == [101, 101, 100, 100]
    torch.testing.assert_close(data.train.inputs.mean(0), torch.zeros(6), atol=1e-5, rtol=0)


def test_the_data_depend_on_their_seed_alone() -> None:
    one = gaussian_blobs()
    torch.manual_seed(5)
    assert torch.equal(one.train.inputs, gaussian_blobs().train.inputs)
    assert not torch.equal(one.train.inputs, gaussian_blobs(data_seed=1).train.inputs)


def test_no_two_splits_share_an_example_and_the_size_of_one_leaves_the_others() -> None:
    def noise(data: Dataset) -> list[Tensor]:
        return [split.inputs[:100] for split in (data.train, data.validation, data.test)]

    data = gaussian_blobs()
    together = torch.cat(noise(data))
    assert len(together.unique(dim=0)) == len(together)
    more = gaussian_blobs(num_test=5_000)
    assert torch.equal(more.validation.inputs, data.validation.inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "gaussian_blobs: bad value `num_classes`=1. Expected a whole number from 2"),
        ({"num_features": 9}, "`num_features`=9. Expected a whole number from num_classes=10"),
        ({"num_features": 9.5}, "`num_features`=9.5. Expected a whole number from 1"),
        ({"separation": -1}, "`separation`=-1. Expected a finite number from 0"),
        ({"num_test": 0}, "`num_test`=0. Expected a whole number from 1"),
        ({"data_seed": -1}, "`data_seed`=-1. Expected a whole number from 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gaussian_blobs(**options)
