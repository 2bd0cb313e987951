"""The embedded default data set: handwritten digits that scikit-learn ships, so that nothing is downloaded."""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from pathlib import Path

import numpy as np
import torch

from initsuite.data.base import Dataset, fixed_by_options
from initsuite.data.published import check_published
from initsuite.data.splits import assemble, stratified_split
from initsuite.errors import bad_file
from initsuite.wording import first_line

FIX = "Install scikit-learn again: it has them."
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
    rows = _rows()
    grey, labels = rows[:, :-1], rows[:, -1]
    check_published("digits", Path("digits"), grey.tobytes() + labels.tobytes(), fix=FIX)
    images, targets = torch.from_numpy(grey.astype(np.float64)).view(-1, 1, 8, 8), torch.from_numpy(labels).long()
    train, validation, test = (
        (images[index], targets[index]) for index in stratified_split(targets, SIZES, seed=split_seed, name="digits")
    )
    return assemble(train, validation, test, num_outputs=10)


def _rows() -> np.ndarray:
    """What `sklearn.datasets.load_digits` reads, [example, 64 grey values and the label] uint8, without the second that
    importing it takes."""
    package = importlib.util.find_spec("sklearn")
    folder = Path(package.origin).parent if package and package.origin else Path("sklearn")
    path = folder / "datasets" / "data" / "digits.csv.gz"
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()
        return np.array([line.split(b",") for line in lines], dtype=np.float64).astype(np.uint8)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise bad_file("digits", path, first_line(error), "the digits that scikit-learn ships", FIX) from error
