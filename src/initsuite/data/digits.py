"""The embedded default data set: handwritten digits that scikit-learn ships, so that nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from initsuite.data.base import Dataset, fixed_by_options
from initsuite.data.published import check_published
from initsuite.data.splits import assemble, stratified_split

SIZES = (1197, 300, 300)
"""Training, validation, test; the last two are a sixth each."""


@fixed_by_options
def digits(*, split_seed: int = 0) -> Dataset:
    """1,797 images of 8 x 8 grey values 0 to 16, 10 classes, split into 1,197 / 300 / 300.

    Args:
        split_seed: chooses the split, the same for all trials.

    Returns:
        Inputs [example, 1, 8, 8].

    Raises:
        DataError: scikit-learn's file is not the one that it published.

    References:
        Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI (its test part).
    """
    from sklearn.datasets import load_digits  # a second of imports that other data sets do not need

    bunch: Any = load_digits()
    content = bunch.images.astype(np.uint8).tobytes() + bunch.target.astype(np.uint8).tobytes()
    check_published("digits", Path("digits"), content, fix="Install scikit-learn again: it has them.")
    images, targets = torch.from_numpy(bunch.images).unsqueeze(1), torch.from_numpy(bunch.target).long()
    train, validation, test = (
        (images[index], targets[index]) for index in stratified_split(targets, SIZES, seed=split_seed, name="digits")
    )
    return assemble(train, validation, test, num_outputs=10)
