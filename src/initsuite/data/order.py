"""The order of the batches: a function of the seed alone, so that all initializers of a seed see the same batches."""

from __future__ import annotations

import torch
from torch import Tensor

from initsuite.errors import bad_value
from initsuite.rng import generator


def batch_indices(num_examples: int, batch_size: int, num_steps: int, seed: int) -> Tensor:
    """Consecutive cuts of `batch_size` from a stream of fresh permutations, one per epoch.

    A batch may span two epochs: no example is dropped, and after whole epochs each was seen equally often. Each epoch
    has its own random stream: a larger budget only appends steps, and another batch size cuts the same stream.

    Args:
        num_examples: size of the training split, from 1.
        batch_size: examples per step, 1 to `num_examples`.
        num_steps: the budget, from 0.
        seed: seed of the trial.

    Returns:
        [step, example], int64 indices into the training split.

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> batch_indices(num_examples=4, batch_size=2, num_steps=2, seed=0).flatten().sort().values
        tensor([0, 1, 2, 3])
    """
    if num_examples < 1:
        raise bad_value("batch_indices", "num_examples", num_examples, "a whole number from 1")
    if not 1 <= batch_size <= num_examples:
        fix = f"Set batch_size={num_examples} or less, or train on more examples (`dataset.subset`)."
        raise bad_value("batch_indices", "batch_size", batch_size, f"1 to the {num_examples} training examples", fix)
    if num_steps < 0:
        raise bad_value("batch_indices", "num_steps", num_steps, "a whole number from 0")
    needed = num_steps * batch_size
    num_epochs = max(1, -(-needed // num_examples))
    epochs = [
        torch.randperm(num_examples, generator=generator(seed, "data_order", str(epoch))) for epoch in range(num_epochs)
    ]
    return torch.cat(epochs)[:needed].view(num_steps, batch_size)
