"""The adding problem: remember two marked numbers of a long sequence and give their sum."""

from __future__ import annotations

import torch

from initsuite.data.base import Dataset, Split, fixed_by_options
from initsuite.data.splits import drawn_sizes
from initsuite.errors import check_whole_number
from initsuite.rng import generator

NAME = "adding"


@fixed_by_options
def adding(
    *,
    length: int = 50,
    num_train: int = 10_000,
    num_validation: int = 1000,
    num_test: int = 1000,
    data_seed: int = 0,
) -> Dataset:
    """At each time a number, uniform on [0, 1], and a marker, which is 1 at one time of the first half and one of the
    second, 0 elsewhere. The target is the sum of the two marked numbers.

    Always answering 1 has a mean squared error of 1/6, the variance of that sum. Nothing is standardised. The papers
    draw new sequences at every step; here a fixed set is drawn once. Each split has its own random stream: its size
    leaves the others as they are.

    Args:
        length: numbers in a sequence, from 2.
        num_train, num_validation, num_test: number of examples, from 1.
        data_seed: draws the examples, the same for all trials.

    Returns:
        Inputs [example, time, 2], targets [example, 1].

    Raises:
        ConfigError: an option out of its range.

    References:
        Hochreiter and Schmidhuber 1997, Long short-term memory, section 5.4. Le, Jaitly and Hinton 2015 (identity
        recurrent networks), section 4.1.
    """
    check_whole_number(NAME, "length", length, minimum=2)
    counts = drawn_sizes(NAME, num_train, num_validation, num_test, data_seed)
    return Dataset(*(_draw(length, count, data_seed, name) for name, count in counts.items()), num_outputs=1)


def _draw(length: int, count: int, seed: int, split: str) -> Split:
    stream = generator(seed, "data", f"{NAME}/{split}")
    numbers = torch.rand(count, length, generator=stream)
    half = length // 2
    first = torch.randint(0, half, (count, 1), generator=stream)
    second = torch.randint(half, length, (count, 1), generator=stream)
    marked = torch.cat([first, second], 1)
    markers = torch.zeros(count, length).scatter_(1, marked, 1.0)
    return Split(torch.stack([numbers, markers], 2), numbers.gather(1, marked).sum(1, keepdim=True))
