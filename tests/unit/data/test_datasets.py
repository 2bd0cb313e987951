"""Splits, batch order, standardisation, digits, and the check of a data set."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from initsuite.data.base import Dataset, check_dataset
from initsuite.data.digits import digits
from initsuite.data.splits import assemble, standardise, stratified_order, stratified_split, take_subset
from initsuite.errors import ConfigError

MOMENT_ATOL = 1e-5
"""Float32 means of 1e5 values near 1: rounding of 6e-8 a value, accumulated."""


def uneven_targets() -> Tensor:
    """1,000 examples of 4 classes in random order; shares 0.5, 0.3, 0.19, 0.01."""
    labels = torch.tensor([0] * 500 + [1] * 300 + [2] * 190 + [3] * 10)
    return labels[torch.randperm(1000, generator=torch.Generator().manual_seed(3))]


# ---- splits


@pytest.mark.parametrize("size", [1, 7, 100, 333, 999])
def test_each_prefix_holds_the_classes_in_proportion(size: int) -> None:
    targets = uneven_targets()
    share = targets.bincount().double() / len(targets)
    prefix = targets[stratified_order(targets, seed=0, name="a")[:size]]
    error = (prefix.bincount(minlength=4) - size * share).abs()
    assert (error <= 0.5 + 0.5 * 4 * share + 1e-9).all()  # the bound of the docstring


def test_a_random_order_would_break_the_bound_on_proportions() -> None:
    targets = uneven_targets()
    share = targets.bincount().double() / len(targets)
    prefix = targets[torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:333]]
    assert ((prefix.bincount(minlength=4) - 333 * share).abs() > 0.5 + 0.5 * 4 * share).any()


def test_a_split_has_exact_sizes_and_shares_no_example() -> None:
    pieces = stratified_split(uneven_targets(), [613, 200, 100], seed=0, name="a")
    assert [len(piece) for piece in pieces] == [613, 200, 100]
    assert len(torch.cat(pieces).unique()) == 913


def test_a_split_depends_on_its_seed_and_name_and_on_nothing_else() -> None:
    targets = uneven_targets()
    torch.manual_seed(1)
    one = stratified_order(targets, seed=0, name="a")
    torch.manual_seed(2)
    assert torch.equal(one, stratified_order(targets, seed=0, name="a"))
    assert not torch.equal(one, stratified_order(targets, seed=1, name="a"))
    assert not torch.equal(one, stratified_order(targets, seed=0, name="b"))
    assert torch.equal(one.sort().values, torch.arange(1000))


@pytest.mark.parametrize("sizes", [[900, 101], [1000, 0], [-1, 5]])
def test_a_split_of_more_than_there_is_is_refused(sizes: list[int]) -> None:
    with pytest.raises(
        ConfigError, match=re.escape(f"`sizes`={sizes}. Expected sizes from 1 that sum to at most 1000")
    ):
        stratified_split(uneven_targets(), sizes, seed=0, name="a")


def test_subsets_are_nested_and_stratified() -> None:
    targets = uneven_targets()
    training, _ = stratified_split(targets, [800, 200], seed=0, name="a")
    assert torch.equal(take_subset(training, None, "a"), training)
    assert torch.equal(take_subset(training, 100, "a"), take_subset(training, 400, "a")[:100])
    assert (targets[take_subset(training, 100, "a")].bincount() - torch.tensor([50, 30, 19, 1])).abs().max() <= 1


@pytest.mark.parametrize("subset", [0, 801, -5, 2.5, True])
def test_a_subset_that_cannot_be_is_refused(subset) -> None:
    message = f"a: bad value `subset`={subset!r}. Expected null, or 1 to the 800 training examples"
    with pytest.raises(ConfigError, match=re.escape(message)):
        take_subset(torch.arange(800), subset, "a")


# ---- standardisation


def test_each_channel_gets_mean_0_and_std_1_by_the_training_inputs() -> None:
    draws = torch.Generator().manual_seed(0)
    level, spread = torch.tensor([100.0, 3.0]).view(2, 1, 1), torch.tensor([40.0, 0.5]).view(2, 1, 1)
    train = level + spread * torch.randn(300, 2, 8, 8, generator=draws)
    other = level + spread * torch.randn(50, 2, 8, 8, generator=draws)
    kept = train.clone()
    standard, standard_other = standardise(train, other)
    assert torch.equal(train, kept)
    assert standard.dtype == torch.float32
    torch.testing.assert_close(standard.double().mean((0, 2, 3)), torch.zeros(2).double(), atol=MOMENT_ATOL, rtol=0)
    torch.testing.assert_close(
        standard.double().std((0, 2, 3), correction=0), torch.ones(2).double(), atol=MOMENT_ATOL, rtol=0
    )
    mean, std = train.double().mean((0, 2, 3), keepdim=True), train.double().std((0, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(standard_other.double(), (other.double() - mean) / std, atol=1e-4, rtol=0)


def test_bytes_and_features_are_standardised_too() -> None:
    images = torch.randint(0, 256, (200, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert standardise(images)[0].std(correction=0).item() == pytest.approx(1, abs=MOMENT_ATOL)
    features = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    assert torch.equal(standardise(features)[0], torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, -7.7, 1e6])
def test_a_constant_channel_becomes_zero(constant: float) -> None:
    train = torch.full((1001, 1, 3, 3), constant)
    standard, other = standardise(train, train[:5] + 1)
    assert standard.abs().max() <= 1e-6 * max(1, abs(constant))
    assert other.isfinite().all()


# ---- digits


def test_digits_has_the_sizes_of_the_protocol() -> None:
    data = check_dataset(digits(), "digits")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [1197, 300, 300]
    assert data.input_shape == (1, 8, 8)
    assert data.num_outputs == 10
    assert data.train.inputs.double().mean().item() == pytest.approx(0, abs=MOMENT_ATOL)
    assert data.train.inputs.double().std(correction=0).item() == pytest.approx(1, abs=MOMENT_ATOL)


def test_digits_are_all_there_once_with_their_labels() -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    data = digits()
    splits = (data.train, data.validation, data.test)
    inputs, targets = (torch.cat([getattr(split, name) for split in splits]) for name in ("inputs", "targets"))
    low, high = inputs.min(), inputs.max()  # grey 0 and 16 of any image set
    grey = ((inputs - low) / (high - low) * 16).round().long().flatten(1)
    ours = sorted(map(tuple, torch.cat([grey, targets.unsqueeze(1)], 1).tolist()))
    theirs = sorted(map(tuple, np.column_stack([images, labels]).astype(int).tolist()))
    assert ours == theirs


def test_the_split_seed_moves_the_split_of_digits() -> None:
    assert torch.equal(digits().test.inputs, digits(split_seed=0).test.inputs)
    assert not torch.equal(digits().test.targets, digits(split_seed=1).test.targets)


# ---- the check


def good() -> Dataset:
    inputs, targets = torch.randn(6, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2])
    return assemble((inputs, targets), (inputs, targets), (inputs, targets), num_outputs=3)


def with_train(**changes) -> Dataset:
    return replace(good(), train=replace(good().train, **changes))


def test_a_good_data_set_passes_the_check() -> None:
    data = good()
    assert check_dataset(data, "mine") is data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((1, 2), "mine: bad value `return value`='tuple'. Expected a Dataset. Return initsuite.data.base.Dataset("),
        (replace(good(), num_outputs=1), "`num_outputs`=1. Expected a number of classes from 2"),
        (replace(good(), num_outputs=0), "`num_outputs`=0. Expected a number of classes from 2, or of values from 1"),
        (replace(good(), test=(1, 2)), "`test`='tuple'. Expected a Split(inputs, targets)"),
        (with_train(inputs=good().train.inputs.double()), "`train.inputs`='torch.float64'. Expected a torch.float32"),
        (with_train(inputs=[1.0]), "`train.inputs`='list'. Expected a torch.float32 tensor"),
        (with_train(inputs=torch.full((6, 2), 3)), "`train.inputs`='3 to 3'. Expected token indices 0 to 2"),
        (with_train(inputs=torch.ones(6)), "`train.inputs.shape`=[6]. Expected [example, channel, height, width]"),
        (with_train(inputs=torch.ones(0, 1, 2, 2)), "`train.inputs.shape`=[0, 1, 2, 2]. Expected"),
        (with_train(inputs=torch.full((6, 1, 2, 2), torch.nan)), "`train.inputs`='NaN or infinity'. Expected finite"),
        (with_train(targets=torch.ones(6)), "`train.targets.shape`=[6]. Expected [6, 3], num_outputs values for each"),
        (with_train(targets=torch.ones(6).double()), "`train.targets`='torch.float64'. Expected a torch.int64 tensor"),
        (with_train(targets=torch.full((6, 3), torch.inf)), "`train.targets`='NaN or infinity'. Expected finite"),
        (with_train(targets=torch.ones(6, 3)), "`validation.targets.shape[1:]`=[]. Expected [3], the shape of one"),
        (with_train(targets=torch.ones(5).long()), "`train.targets.shape`=[5]. Expected [6], one class index for each"),
        (with_train(targets=torch.full((6,), 3)), "`train.targets`='3 to 3'. Expected class indices 0 to 2"),
        (with_train(targets=torch.full((6,), -1)), "`train.targets`='-1 to -1'. Expected class indices 0 to 2"),
        (with_train(inputs=torch.ones(6, 1, 3, 3)), "`validation.inputs.shape[1:]`=[1, 2, 2]. Expected [1, 3, 3]"),
    ],
)
def test_a_data_set_that_cannot_be_trained_on_is_refused(data, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_dataset(data, "mine")
