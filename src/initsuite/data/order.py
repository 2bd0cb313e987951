"""The order of the batches: a function of the seed alone, so that all initializers of a seed see the same batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from initsuite.errors import bad_value
from initsuite.rng import generator

DRAWN_AT_ONCE, MOST_EPOCHS = 1 << 16, 64
"""Indices of a seed that are drawn together, in whole epochs: two at least, since a batch may span two."""


class BatchOrder:
    """Consecutive cuts of `batch_size` from a stream of fresh permutations, one per epoch, drawn as they are needed.

    A batch may span two epochs: no example is dropped, and after whole epochs each was seen equally often. Each epoch
    has its own random stream: any step is found without those before it, and another batch size cuts the same stream.

    Args:
        num_examples: size of the training split, from 1.
        batch_size: examples per step, 1 to `num_examples`.
        seeds: seeds of the trials.
        device: where the indices live.

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> order = BatchOrder(num_examples=4, batch_size=2, seeds=[0])
        >>> torch.cat([order[0], order[1]], 1).sort().values
        tensor([[0, 1, 2, 3]])
    """

    def __init__(
        self, num_examples: int, batch_size: int, seeds: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        if num_examples < 1:
            raise bad_value("BatchOrder", "num_examples", num_examples, "a whole number from 1")
        if not 1 <= batch_size <= num_examples:
            fix = f"Set batch_size={num_examples} or less, or train on more examples (`dataset.subset`)."
            raise bad_value("BatchOrder", "batch_size", batch_size, f"1 to the {num_examples} training examples", fix)
        self.num_examples, self.batch_size, self.seeds, self.device = num_examples, batch_size, tuple(seeds), device
        self._begin, self._drawn = 0, torch.empty(len(self.seeds), 0, dtype=torch.int64, device=device)

    def __getitem__(self, step: int) -> Tensor:
        """The batch of a step, counted from 0: [seed, example], int64 indices into the training split."""
        at = step * self.batch_size - self._begin
        if not 0 <= at <= self._drawn.shape[1] - self.batch_size:
            epoch, at = divmod(step * self.batch_size, self.num_examples)
            self._begin, self._drawn = epoch * self.num_examples, self._draw(epoch)
        return self._drawn[:, at : at + self.batch_size]

    def _draw(self, first: int) -> Tensor:
        """Some epochs, from `first` on: [seed, example]."""
        epochs = range(first, first + max(2, min(MOST_EPOCHS, DRAWN_AT_ONCE // self.num_examples)))
        streams = [
            torch.cat([torch.randperm(self.num_examples, generator=_stream(seed, epoch)) for epoch in epochs])
            for seed in self.seeds
        ]
        return torch.stack(streams).to(self.device)


def _stream(seed: int, epoch: int) -> torch.Generator:
    return generator(seed, "data_order", str(epoch))
