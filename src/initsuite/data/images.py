"""Fashion-MNIST, MNIST and CIFAR-10 as tensors in memory, from files in the layouts of torchvision."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from initsuite.data.base import Dataset
from initsuite.data.cifar import read_batch
from initsuite.data.files import Source, locate
from initsuite.data.idx import find_idx, read_images, read_labels
from initsuite.data.splits import assemble, stratified_split, take_subset
from initsuite.errors import bad_file

NUM_CLASSES = 10
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FASHION_MNIST = Source(
    name="fashion_mnist",
    reader="FashionMNIST",
    layouts=("FashionMNIST/raw", "fashion-mnist", "."),
    files=IDX_FILES,
    find=find_idx,
    advice="Gzipped files (.gz) will do. On Debian and Ubuntu: apt install dataset-fashion-mnist.",
)
MNIST = Source(
    name="mnist",
    reader="MNIST",
    layouts=("MNIST/raw", "mnist", "."),
    files=IDX_FILES,
    find=find_idx,
    advice="Gzipped files (.gz) will do.",
)
CIFAR10 = Source(
    name="cifar10",
    reader="CIFAR10",
    layouts=("cifar-10-batches-py", "."),
    files=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
)
MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
"""Examples of each class in MNIST's training files; in Fashion-MNIST's each class has 6,000."""
FASHION_MNIST_COUNTS = [6000] * NUM_CLASSES


def fashion_mnist(
    *, data_dir: str | None = None, split_seed: int = 0, subset: int | None = None, download: bool = True
) -> Dataset:
    """70,000 grey images of clothes, 10 classes: 55,000 training, 5,000 validation, 10,000 test.

    Args:
        data_dir: searched first, in the layout of torchvision or as a flat folder of idx or idx.gz files.
        split_seed: chooses the validation split; the same for all trials.
        subset: training examples kept, stratified; None for all. Validation and test stay whole.
        download: fetch the files into the user's cache where they are nowhere else.

    Returns:
        Inputs [example, 1, 28, 28].

    Raises:
        ConfigError: a `data_dir` or `subset` that cannot be.
        DataError: files that are missing, damaged or of the other data set.

    References:
        Xiao, Rasul and Vollgraf 2017, Fashion-MNIST.
    """
    return _load_idx(FASHION_MNIST, MNIST_COUNTS, "MNIST", data_dir, split_seed, subset, download)


def mnist(
    *, data_dir: str | None = None, split_seed: int = 0, subset: int | None = None, download: bool = True
) -> Dataset:
    """70,000 grey images of digits, 10 classes: 55,000 training, 5,000 validation, 10,000 test.

    Arguments, result and errors as for `fashion_mnist`.

    References:
        LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition.
    """
    return _load_idx(MNIST, FASHION_MNIST_COUNTS, "Fashion-MNIST", data_dir, split_seed, subset, download)


def cifar10(
    *, data_dir: str | None = None, split_seed: int = 0, subset: int | None = None, download: bool = True
) -> Dataset:
    """60,000 colour images of things, 10 classes: 45,000 training, 5,000 validation, 10,000 test.

    Args:
        data_dir: searched first: it is, or holds, the folder cifar-10-batches-py.
        split_seed: chooses the validation split; the same for all trials.
        subset: training examples kept, stratified; None for all.
        download: fetch the files into the user's cache where they are nowhere else.

    Returns:
        Inputs [example, 3, 32, 32].

    Raises:
        ConfigError: a `data_dir` or `subset` that cannot be.
        DataError: files that are missing or damaged.

    References:
        Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    batches = []
    for path in locate(CIFAR10, data_dir, download):
        images, targets = read_batch(path)
        _check_labels("cifar10", path, targets)
        batches.append((images, targets))
    images, targets = (torch.cat(parts) for parts in zip(*batches[:-1], strict=True))
    # a tenth of the training files is 5,000 of 50,000
    return _split("cifar10", images, targets, batches[-1], len(targets) // 10, split_seed, subset)


def _load_idx(
    source: Source,
    other_counts: list[int],
    other_name: str,
    data_dir: str | None,
    split_seed: int,
    subset: int | None,
    download: bool,
) -> Dataset:
    paths = locate(source, data_dir, download)
    images, targets = _read_pair(source.name, paths[0], paths[1])
    # MNIST and Fashion-MNIST name their files alike: a flat folder may hold the other one
    if targets.bincount(minlength=NUM_CLASSES).tolist() == other_counts:
        fix = f"Set data_dir to a folder that holds those, best below {source.layouts[0]}."
        raise bad_file(source.name, paths[1], f"the labels of {other_name}", f"those of {source.name}", fix)
    test = _read_pair(source.name, paths[2], paths[3])
    # a twelfth of the training files is 5,000 of 60,000
    return _split(source.name, images, targets, test, len(targets) // 12, split_seed, subset)


def _read_pair(name: str, images_path: Path, labels_path: Path) -> tuple[Tensor, Tensor]:
    images, labels = read_images(images_path), read_labels(labels_path)
    if len(images) != len(labels):
        expected = f"{len(images)}, one for each image of {images_path.name}"
        raise bad_file(name, labels_path, f"{len(labels)} labels", expected, "Fetch both files from one place.")
    _check_labels(name, labels_path, labels)
    return images, labels


def _check_labels(name: str, path: object, labels: Tensor) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= NUM_CLASSES:
        fix = "Fetch the file again."
        raise bad_file(name, path, f"labels {low} to {high}", f"class indices 0 to {NUM_CLASSES - 1}", fix)


def _split(
    name: str,
    images: Tensor,
    targets: Tensor,
    test: tuple[Tensor, Tensor],
    num_validation: int,
    split_seed: int,
    subset: int | None,
) -> Dataset:
    """Cut a validation split out of the training files; the test files stay as they are."""
    sizes = (len(targets) - num_validation, num_validation)
    training, validation = stratified_split(targets, sizes, seed=split_seed, name=name)
    training = take_subset(training, subset, name)
    return assemble((images[training], targets[training]), (images[validation], targets[validation]), test, NUM_CLASSES)
