"""What a data set is to the engine: three splits of tensors and the size of the output."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


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
