"""Street View House Numbers, cropped digits, from the published MATLAB files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initsuite.data.base import Dataset, read_from_files
from initsuite.data.files import Files, Source
from initsuite.data.splits import check_labels, cut_validation
from initsuite.errors import bad_file

NUM_CLASSES = 10
SHAPE = (32, 32, 3)
FIX = "Fetch the file again, or delete it to have another folder searched."
FILES = ("train_32x32.mat", "test_32x32.mat")
SVHN = Source("svhn", "SVHN", layouts=("svhn", "."), files=FILES, splits=("train", "test"))


@read_from_files
def svhn(
    *,
    data_dir: str | None = None,
    split_seed: int = 0,
    subset: int | None = None,
    download: bool = True,
    own_files: bool = False,
) -> Dataset:
    """99,289 colour images of house numbers, 10 classes: 68,025 training, 5,232 validation, 26,032 test.

    The classes are uneven: 1 is 18.9 % of the training files. The 531,131 easier extra images are not used.

    Arguments and errors as for `images.fashion_mnist`; `data_dir` holds train_32x32.mat and test_32x32.mat, or a folder
    svhn with them.

    Returns:
        Inputs [example, 3, 32, 32]; the target is the digit.

    References:
        Netzer et al. 2011, Reading digits in natural images with unsupervised feature learning, format 2.
    """
    files = Files(SVHN, data_dir, download, own_files)
    training, test = (content_of(path, stored) for path, stored in files.read())
    held_out = len(training[1]) // 14  # 5,232 of 73,257
    return files.named(cut_validation(training, test, held_out, split_seed, subset, NUM_CLASSES, "svhn"))


def content_of(path: Path, stored: bytes) -> tuple[Tensor, Tensor]:
    """Images and digits of one file; `X` [height, width, channel, example], `y` [example, 1] with 10 for the digit 0.

    Args:
        path: where it lies, for messages.
        stored: its bytes.

    Returns:
        [example, 3, 32, 32] uint8 and [example] int64.

    Raises:
        DataError: a damaged file, or one that is not in this format.
    """
    content = _content(path, stored)
    images, labels = (np.asarray(content.get(key)) for key in ("X", "y"))
    if images.dtype != np.uint8 or images.shape[:3] != SHAPE or images.ndim != 4 or images.shape[3] == 0:
        got = f"`X` is {images.shape} of {images.dtype}"
        raise bad_file("svhn", path, got, "`X` (32, 32, 3, example) of uint8, at least one example", FIX)
    num_examples = images.shape[3]
    if labels.dtype.kind not in "ui" or labels.shape not in ((num_examples, 1), (1, num_examples)):
        got = f"`y` is {labels.shape} of {labels.dtype}"
        raise bad_file("svhn", path, got, f"`y` ({num_examples}, 1) of whole numbers", FIX)
    digits = torch.from_numpy(labels.ravel().astype(np.int64))
    digits[digits == NUM_CLASSES] = 0
    check_labels(digits, NUM_CLASSES, "svhn", path)
    return torch.from_numpy(np.ascontiguousarray(images.transpose(3, 2, 0, 1))), digits


def _content(path: Path, stored: bytes) -> dict[str, Any]:
    from scipy.io import loadmat  # a third of a second of imports that other data sets do not need

    try:
        return loadmat(io.BytesIO(stored), variable_names=("X", "y"))
    except Exception as error:  # a damaged file raises nearly anything
        raise bad_file("svhn", path, f"scipy says: {error}", "a MATLAB file of version 5", FIX) from error
