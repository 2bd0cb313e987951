"""The adding problem: two markers, one in each half, and the sum of what they mark."""

from __future__ import annotations

import pytest
import torch

from initsuite.data.adding import adding
from initsuite.data.base import check_dataset
from initsuite.data.losses import score_of
from initsuite.errors import ConfigError

LENGTHS = [2, 7, 50]


@pytest.mark.parametrize("length", LENGTHS)
def test_the_target_is_the_sum_of_the_two_marked_numbers(length: int) -> None:
    data = check_dataset(adding(length=length, num_train=300, num_validation=5, num_test=5), "adding")
    numbers, markers = data.train.inputs.unbind(2)
    assert data.input_shape == (length, 2)
    assert set(markers.unique().tolist()) <= {0.0, 1.0}
    assert (markers[:, : length // 2].sum(1) == 1).all()
    assert (markers[:, length // 2 :].sum(1) == 1).all()
    torch.testing.assert_close((numbers * markers).sum(1, keepdim=True), data.train.targets)
    assert 0 <= numbers.min() <= numbers.max() <= 1


def test_every_place_of_each_half_is_marked() -> None:
    markers = adding(length=6, num_train=500).train.inputs[..., 1]
    assert (markers.sum(0) > 100).all()  # 500 draws over 3 places: 167 expected, standard deviation 10.5


def test_the_constant_guess_has_an_error_of_a_sixth() -> None:
    # 10,000 sums of variance 1/6: the standard error of that variance is 0.002
    assert score_of("mse", adding())[1] == pytest.approx(1 / 6, abs=0.008)


def test_the_splits_differ_and_the_seed_moves_them() -> None:
    data, other = adding(length=4), adding(length=4, data_seed=1)
    assert not torch.equal(data.train.inputs[:1000], data.validation.inputs)
    assert not torch.equal(data.train.inputs, other.train.inputs)
    assert torch.equal(data.test.inputs, adding(length=4, num_train=50).test.inputs)


def test_a_sequence_of_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`length`=1\. Expected a whole number from 2"):
        adding(length=1)
