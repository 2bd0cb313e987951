"""Losses and scores by name against their definitions, and what a model that knows nothing gets."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from initsuite.data.base import Dataset, Split
from initsuite.data.losses import (
    LOSSES,
    SCORES,
    accuracy,
    bits_per_char,
    cross_entropy,
    loss_of,
    mean_squared_error,
    score_of,
)
from initsuite.errors import ConfigError

RTOL = 1e-12
"""Float64 rounding of a handful of operations."""
KINDS = {
    **{f"loss {name}": kind for name, kind in LOSSES.items()},
    **{f"score {name}": k for name, k in SCORES.items()},
}


def data(targets: Tensor, num_outputs: int) -> Dataset:
    split = Split(torch.zeros(len(targets), 2), targets)
    return Dataset(split, split, split, num_outputs)


CLASSES = data(torch.tensor([0, 4, 2, 2, 1, 3, 0]), 5)
VALUES = data(torch.tensor([[0.0, 10.0], [2.0, 10.0], [4.0, 13.0]]), 2)


def test_cross_entropy_is_minus_the_log_of_the_softmax() -> None:
    outputs = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = CLASSES.train.targets
    shares = outputs.exp() / outputs.exp().sum(1, keepdim=True)
    expected = -shares[torch.arange(7), targets].log()
    torch.testing.assert_close(cross_entropy(outputs, targets), expected, rtol=RTOL, atol=0)


def test_over_time_it_is_the_mean_of_each_example() -> None:
    outputs, targets = torch.randn(4, 3, 5, dtype=torch.float64), torch.randint(0, 5, (4, 3))
    expected = torch.stack([cross_entropy(one, target).mean() for one, target in zip(outputs, targets, strict=True)])
    torch.testing.assert_close(cross_entropy(outputs, targets), expected, rtol=RTOL, atol=0)
    torch.testing.assert_close(bits_per_char(outputs, targets), expected / math.log(2), rtol=RTOL, atol=0)
    hits = (outputs.argmax(2) == targets).double().mean(1)
    torch.testing.assert_close(accuracy(outputs, targets), hits, rtol=RTOL, atol=0)


def test_the_squared_error_is_averaged_over_the_outputs() -> None:
    outputs, targets = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 4.0], [3.0, 1.0]])
    assert mean_squared_error(outputs, targets).tolist() == [2.0, 5.0]


def test_a_model_that_knows_nothing_gets_what_chance_says() -> None:
    flat = torch.zeros(7, 5, dtype=torch.float64)
    loss, chance = loss_of("cross_entropy", CLASSES)
    assert loss(flat, CLASSES.train.targets).tolist() == pytest.approx([chance] * 7, rel=RTOL)
    assert chance == pytest.approx(math.log(5), rel=RTOL)


def test_the_best_constant_guess_of_classes_knows_their_frequencies() -> None:
    """Of 0, 0, 1, 2, 2, 3, 4 the most frequent class has two in seven."""
    targets = CLASSES.train.targets
    assert score_of("accuracy", CLASSES)[1] == pytest.approx(2 / 7)
    bits, chance = score_of("bits_per_char", CLASSES)
    frequencies = (targets.bincount() / 7.0).double().log().expand(7, 5)
    assert bits(frequencies, targets).mean().item() == pytest.approx(chance, rel=1e-6)
    assert chance < math.log2(5)


@pytest.mark.parametrize("find", [loss_of, score_of])
def test_the_best_constant_of_a_regression_is_the_mean(find) -> None:
    """By hand: variances 8/3 and 2 of the two outputs."""
    squared, chance = find("mse", VALUES)
    targets = VALUES.train.targets
    guess = targets.mean(0).expand_as(targets)
    assert squared(guess, targets).mean().item() == pytest.approx(chance)
    assert chance == pytest.approx((8 / 3 + 2) / 2)


@pytest.mark.parametrize("name", KINDS)
def test_measures_map_over_trials(name: str) -> None:
    kind = KINDS[name]
    outputs = torch.randn(3, 4, 5)
    targets = torch.randint(0, 5, (3, 4)) if kind.targets == torch.int64 else torch.randn(3, 4, 5)
    mapped = vmap(kind.function)(outputs, targets)
    alone = torch.stack([kind.function(one, target) for one, target in zip(outputs, targets, strict=True)])
    assert mapped.shape == (3, 4)
    torch.testing.assert_close(mapped, alone)


@pytest.mark.parametrize(
    ("find", "name", "dataset", "message"),
    [
        (
            loss_of,
            "cross_entrophy",
            CLASSES,
            "unknown `loss`='cross_entrophy'. Expected one of: cross_entropy, mse. Did",
        ),
        (score_of, "f1", CLASSES, "unknown `metric`='f1'. Expected one of: accuracy, mse, bits_per_char."),
        (
            loss_of,
            "mse",
            CLASSES,
            "bad value `loss`='mse'. Expected one for targets of type torch.int64: cross_entropy.",
        ),
        (
            score_of,
            "accuracy",
            VALUES,
            "bad value `metric`='accuracy'. Expected one for targets of type torch.float32: mse.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(find, name: str, dataset: Dataset, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        find(name, dataset)
