"""Fixed stratified splits with exact sizes, and standardisation by the training split."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from initsuite.data.base import Dataset, Split
from initsuite.errors import bad_file, bad_value, check_whole_number
from initsuite.rng import generator


def stratified_order(targets: Tensor, *, seed: int, name: str) -> Tensor:
    """An order of the examples in which every piece holds the classes in nearly their own proportions.

    The example of random rank i = 0, 1, ... within its class of n_c examples stands at (i + 1/2) / n_c; sorting by
    position interleaves the classes. A prefix of k among n examples in C classes holds k n_c / n of class c, with an
    error of at most 1/2 + C n_c / (2 n). Made from uniform draws and a stable sort, not by a library's split, whose
    choice may change from version to version.

    Args:
        targets: [example], int64 class indices from 0.
        seed: seed of the split, not of a trial.
        name: name of the data set: each has its own random stream.

    Returns:
        [example], int64: every index once.
    """
    keys = torch.rand(len(targets), dtype=torch.float64, generator=generator(seed, "split", name))
    positions = torch.empty_like(keys)
    for label in targets.unique():
        members = (targets == label).nonzero().squeeze(1)
        ranked = members[keys[members].argsort(stable=True)]
        positions[ranked] = (torch.arange(len(ranked), dtype=torch.float64) + 0.5) / len(ranked)
    return positions.argsort(stable=True)


def stratified_split(targets: Tensor, sizes: Sequence[int], *, seed: int, name: str) -> list[Tensor]:
    """Cut the stratified order into pieces of exactly these sizes.

    Args:
        sizes: examples in each piece, from 1; the rest is not used.
        targets, seed, name: as for `stratified_order`.

    Returns:
        One [example] of int64 indices for each size, without overlap. A prefix of a piece is stratified too.

    Raises:
        ConfigError: a size below 1, a sum beyond the number of examples, or a seed that is no whole number.
    """
    if min(sizes) < 1 or sum(sizes) > len(targets):
        expected = f"sizes from 1 that sum to at most {len(targets)} examples"
        raise bad_value(f"stratified_split of {name}", "sizes", list(sizes), expected)
    check_whole_number(name, "split_seed", seed, minimum=None)
    order = stratified_order(targets, seed=seed, name=name)
    return list(order[: sum(sizes)].split(list(sizes)))


def drawn_sizes(
    where: str, num_train: int, num_validation: int, num_test: int, data_seed: int, minimum: int = 1
) -> dict[str, int]:
    """The number of examples in each split of a synthetic data set, by the name of the split.

    Raises:
        ConfigError: a number below `minimum`, or a seed below 0.
    """
    sizes = {"train": num_train, "validation": num_validation, "test": num_test}
    for name, size in sizes.items():
        check_whole_number(where, f"num_{name}", size, minimum=minimum)
    check_whole_number(where, "data_seed", data_seed, minimum=0)
    return sizes


def take_subset(training: Tensor, subset: int | None, where: str) -> Tensor:
    """The first `subset` training indices, all for None. Subsets are nested, and validation never moves."""
    if subset is None:
        return training
    if isinstance(subset, bool) or not isinstance(subset, int) or not 1 <= subset <= len(training):
        expected = f"null, or 1 to the {len(training)} training examples"
        raise bad_value(where, "subset", subset, expected, "Use `dataset.subset=null` for all of them.")
    return training[:subset]


def check_labels(labels: Tensor, num_classes: int, name: str, path: object) -> None:
    """Refuse labels of a file that are not class indices below `num_classes`."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        fix = "Fetch the file again."
        raise bad_file(name, path, f"labels {low} to {high}", f"class indices 0 to {num_classes - 1}", fix)


def cut_validation(
    training: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    num_validation: int,
    split_seed: int,
    subset: int | None,
    num_classes: int,
    name: str,
) -> Dataset:
    """Cut a validation split out of the training files; the test files stay as they are.

    Args:
        training, test: images [example, channel, height, width] and labels [example] of the files.
        num_validation: size of the validation split.
        split_seed: chooses the validation split.
        subset: training examples kept, stratified; None for all.
        num_classes, name: number of classes and name of the data set.

    Raises:
        ConfigError: a `subset` out of range.
    """
    images, targets = training
    sizes = (len(targets) - num_validation, num_validation)
    kept, validation = stratified_split(targets, sizes, seed=split_seed, name=name)
    kept = take_subset(kept, subset, name)
    return assemble((images[kept], targets[kept]), (images[validation], targets[validation]), test, num_classes)


def standardise(train: Tensor, *others: Tensor) -> list[Tensor]:
    """(x - mean) / std of each channel, with the mean and the std (divided by n) of the training inputs.

    One mean and one std per channel, over examples and pixels: single pixels that are nearly always dark would blow up.
    A constant channel is centred but not scaled: 0 in the training inputs, up to rounding.

    Args:
        train: [example, channel, ...], any numeric type.
        others: validation and test inputs, the same channels.

    Returns:
        `train` and `others`, float32.
    """
    reference = train.float()
    over = [dim for dim in range(train.ndim) if dim != 1]
    variance, mean = torch.var_mean(reference, dim=over, correction=0, keepdim=True)
    # a std below the resolution of float32 at this mean is rounding, not signal
    is_constant = variance.sqrt() <= torch.finfo(torch.float32).eps * mean.abs()
    std = torch.where(is_constant, 1.0, variance.sqrt())
    centred = [values.float() - mean for values in (reference, *others)]
    return [values.div_(std) for values in centred]


def assemble(
    train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], num_outputs: int
) -> Dataset:
    """A data set from raw (inputs, targets) pairs: inputs are standardised by the training split.

    Args:
        train, validation, test: inputs [example, channel, ...] of any numeric type, targets [example].
        num_outputs: number of classes.
    """
    inputs, targets = zip(train, validation, test, strict=True)
    splits = [Split(values, labels.long()) for values, labels in zip(standardise(*inputs), targets, strict=True)]
    return Dataset(*splits, num_outputs=num_outputs)
