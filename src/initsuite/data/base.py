"""What a data set is to the engine: three splits of tensors and the size of the output."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.errors import bad_value


@dataclass(frozen=True)
class Split:
    """Examples in memory.

    Attributes:
        inputs: [example, channel, height, width], float32, standardised by the mean and std of the training split.
        targets: [example], int64 class indices.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test split. Validation chooses; test is read once, by scoring trials."""

    train: Split
    validation: Split
    test: Split
    num_outputs: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example, without the batch axis."""
        return tuple(self.train.inputs.shape[1:])


def check_dataset(dataset: object, where: str) -> Dataset:
    """Pass on a data set that the engine can train on; for what a user's own function returned.

    Args:
        dataset: what was returned.
        where: the name of the function, for the message.

    Raises:
        ConfigError: not a `Dataset`, or a split with wrong types, shapes or targets.
    """
    if not isinstance(dataset, Dataset):
        fix = "Return initsuite.data.base.Dataset(train=Split(inputs, targets), ..., num_outputs=10)."
        raise bad_value(where, "return value", type(dataset).__name__, "a Dataset", fix)
    num_outputs = dataset.num_outputs
    if isinstance(num_outputs, bool) or not isinstance(num_outputs, int) or num_outputs < 2:
        raise bad_value(where, "num_outputs", num_outputs, "a number of classes from 2")
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        if not isinstance(split, Split):
            raise bad_value(where, name, type(split).__name__, "a Split(inputs, targets)")
        _check_inputs(split, where, name)
        _check_targets(split, where, name, num_outputs)
        if tuple(split.inputs.shape[1:]) != dataset.input_shape:
            expected = f"{list(dataset.input_shape)}, the shape of one training example"
            raise bad_value(where, f"{name}.inputs.shape[1:]", list(split.inputs.shape[1:]), expected)
    return dataset


def _check_inputs(split: Split, where: str, name: str) -> None:
    inputs = split.inputs
    if not isinstance(inputs, Tensor) or inputs.dtype != torch.float32:
        got = str(getattr(inputs, "dtype", type(inputs).__name__))
        fix = "initsuite.data.splits.standardise makes float32 inputs of mean 0 and std 1."
        raise bad_value(where, f"{name}.inputs", got, "a torch.float32 tensor", fix)
    if inputs.ndim < 2 or len(inputs) == 0:
        expected = "[example, channel, height, width] or [example, feature], at least one example"
        raise bad_value(where, f"{name}.inputs.shape", list(inputs.shape), expected)
    if not inputs.isfinite().all():
        fix = "A constant feature divided by its std does this; initsuite.data.splits.standardise guards against it."
        raise bad_value(where, f"{name}.inputs", "NaN or infinity", "finite values", fix)


def _check_targets(split: Split, where: str, name: str, num_outputs: int) -> None:
    targets = split.targets
    if not isinstance(targets, Tensor) or targets.dtype != torch.int64:
        got = str(getattr(targets, "dtype", type(targets).__name__))
        raise bad_value(where, f"{name}.targets", got, "a torch.int64 tensor of class indices", "Use `.long()`.")
    if targets.shape != split.inputs.shape[:1]:
        expected = f"{[len(split.inputs)]}, one class index for each example"
        raise bad_value(where, f"{name}.targets.shape", list(targets.shape), expected)
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= num_outputs:
        expected = f"class indices 0 to {num_outputs - 1}"
        raise bad_value(
            where, f"{name}.targets", f"{low} to {high}", expected, "Count classes from 0, or raise num_outputs."
        )
