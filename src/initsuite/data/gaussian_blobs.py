"""Gaussian blobs: a synthetic classification problem of any size whose best possible accuracy is known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from initsuite.data.base import Dataset
from initsuite.data.splits import assemble, drawn_sizes
from initsuite.errors import bad_value, check_number, check_whole_number
from initsuite.rng import generator

NAME = "gaussian_blobs"


def gaussian_blobs(
    *,
    num_classes: int = 10,
    num_features: int = 20,
    separation: float = 4.0,
    num_train: int = 2000,
    num_validation: int = 500,
    num_test: int = 500,
    data_seed: int = 0,
) -> Dataset:
    """Classes of unit variance around equidistant centres: x = m_c + z, z ~ N(0, I).

    m_c = separation / sqrt(2) q_c with orthonormal q_c in a random direction, so that |m_c - m_d| = separation. The
    best classifier takes the nearest centre and is right with probability

        E[Phi(z + separation / sqrt(2))^(num_classes - 1)], z ~ N(0, 1),

    which is Phi(separation / 2) for two classes, and 0.875 for ten at a separation of 4. The examples of a split are
    spread evenly over the classes. Each split has its own random stream: its size leaves the others as they are.

    Args:
        num_classes: from 2.
        num_features: length of an input, from num_classes.
        separation: distance between two centres, in standard deviations within a class, from 0.
        num_train, num_validation, num_test: number of examples, from 1.
        data_seed: draws centres and examples, the same for all trials.

    Returns:
        Inputs [example, feature], standardised feature by feature.

    Raises:
        ConfigError: an option out of its range.
    """
    check_whole_number(NAME, "num_classes", num_classes, minimum=2)
    check_whole_number(NAME, "num_features", num_features)
    check_number(NAME, "separation", separation, minimum=0)
    sizes = drawn_sizes(NAME, num_train, num_validation, num_test, data_seed)
    if num_features < num_classes:
        expected = f"a whole number from num_classes={num_classes}, so that all centres can have one distance"
        raise bad_value(NAME, "num_features", num_features, expected)
    centres = _centres(num_classes, num_features, separation, data_seed)
    train, validation, test = (_draw(centres, size, data_seed, name) for name, size in sizes.items())
    return assemble(train, validation, test, num_classes)


def _centres(num_classes: int, num_features: int, separation: float, data_seed: int) -> Tensor:
    """[class, feature], float64."""
    draws = torch.randn(num_features, num_classes, dtype=torch.float64, generator=generator(data_seed, "data", NAME))
    return separation / math.sqrt(2) * torch.linalg.qr(draws).Q.T


def _draw(centres: Tensor, num_examples: int, data_seed: int, split: str) -> tuple[Tensor, Tensor]:
    """Inputs [example, feature], and targets that go through the classes in turn."""
    stream = generator(data_seed, "data", f"{NAME}/{split}")
    targets = torch.arange(num_examples) % len(centres)
    noise = torch.randn(num_examples, centres.shape[1], dtype=torch.float64, generator=stream)
    return centres[targets] + noise, targets
