"""Fashion-MNIST, MNIST, Kuzushiji-MNIST, CIFAR-10 and CIFAR-100 as tensors in memory, from files in the layouts of
torchvision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from initsuite.data.base import Dataset, fixed_by_options
from initsuite.data.cifar import CIFAR10_BATCH, CIFAR100_BATCH, Batch, read_batch
from initsuite.data.files import Source, locate
from initsuite.data.idx import find_idx, read_images, read_labels
from initsuite.data.splits import check_labels, cut_validation
from initsuite.errors import bad_file

NUM_CLASSES = 10
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MNIST = Source(
    "mnist", "MNIST", ("MNIST/raw", "mnist", "."), IDX_FILES, find=find_idx, advice="Gzipped files (.gz) will do."
)
KMNIST = replace(MNIST, name="kmnist", reader="KMNIST", layouts=("KMNIST/raw", "kmnist", "."))
FASHION_MNIST = replace(
    MNIST,
    name="fashion_mnist",
    reader="FashionMNIST",
    layouts=("FashionMNIST/raw", "fashion-mnist", "."),
    advice=f"{MNIST.advice} On Debian and Ubuntu: apt install dataset-fashion-mnist.",
)
CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
CIFAR10 = Source("cifar10", "CIFAR10", layouts=("cifar-10-batches-py", "."), files=CIFAR10_FILES)
CIFAR100 = Source("cifar100", "CIFAR100", layouts=("cifar-100-python", "."), files=("train", "test"))
MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
"""Examples of each class in MNIST's training files; in those of Fashion-MNIST and Kuzushiji-MNIST each has 6,000."""
EVEN_COUNTS = [6000] * NUM_CLASSES
FASHION_MNIST_START = [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
"""The first training labels of Fashion-MNIST."""


@fixed_by_options
def fashion_mnist(
    *, data_dir: str | None = None, split_seed: int = 0, subset: int | None = None, download: bool = True
) -> Dataset:
    """70,000 grey images of clothes, 10 classes: 55,000 training, 5,000 validation, 10,000 test.

    Args:
        data_dir: searched first, in the layout of torchvision or as a flat folder of idx or idx.gz files.
        split_seed: chooses the validation split, the same for all trials.
        subset: training examples kept, stratified; None for all. Validation and test stay whole.
        download: fetch the files into the user's cache if they are nowhere else.

    Returns:
        Inputs [example, 1, 28, 28].

    Raises:
        ConfigError: a `data_dir` that is no folder, a `subset` out of range.
        DataError: files that are missing, damaged or those of another data set.

    References:
        Xiao, Rasul and Vollgraf 2017, Fashion-MNIST.
    """
    return _load_idx(FASHION_MNIST, data_dir, split_seed, subset, download)


@fixed_by_options
def mnist(
    *, data_dir: str | None = None, split_seed: int = 0, subset: int | None = None, download: bool = True
) -> Dataset:
    """70,000 grey images of digits, 10 classes: 55,000 training, 5,000 validation, 10,000 test.

    Arguments, result and errors as for `fashion_mnist`.

    References:
        LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition.
    """
    return _load_idx(MNIST, data_dir, split_seed, subset, download)


@fixed_by_options
def kmnist(
    *, data_dir: str | None = None, split_seed: int = 0, subset: int | None = None, download: bool = True
) -> Dataset:
    """70,000 grey images of cursive Japanese characters, 10 classes: 55,000 training, 5,000 validation, 10,000 test.

    Arguments, result and errors as for `fashion_mnist`.

    References:
        Clanuwat et al. 2018, Deep learning for classical Japanese literature (Kuzushiji-MNIST).
    """
    return _load_idx(KMNIST, data_dir, split_seed, subset, download)


@fixed_by_options
def cifar10(
    *, data_dir: str | None = None, split_seed: int = 0, subset: int | None = None, download: bool = True
) -> Dataset:
    """60,000 colour images of things, 10 classes: 45,000 training, 5,000 validation, 10,000 test.

    Arguments and errors as for `fashion_mnist`; `data_dir` is, or holds, the folder cifar-10-batches-py.

    Returns:
        Inputs [example, 3, 32, 32].

    References:
        Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    return _load_cifar(CIFAR10, CIFAR10_BATCH, data_dir, split_seed, subset, download)


@fixed_by_options
def cifar100(
    *, data_dir: str | None = None, split_seed: int = 0, subset: int | None = None, download: bool = True
) -> Dataset:
    """60,000 colour images of things, 100 classes (the fine labels): 45,000 training, 5,000 validation, 10,000 test.

    Arguments, result, errors and reference as for `cifar10`; the folder is cifar-100-python.
    """
    return _load_cifar(CIFAR100, CIFAR100_BATCH, data_dir, split_seed, subset, download)


def _load_cifar(
    source: Source, kind: Batch, data_dir: str | None, split_seed: int, subset: int | None, download: bool
) -> Dataset:
    """The last file of a source is the test batch."""
    batches = []
    for path in locate(source, data_dir, download):
        images, targets = read_batch(path, kind)
        check_labels(targets, kind.num_classes, source.name, path)
        batches.append((images, targets))
    images, targets = (torch.cat(parts) for parts in zip(*batches[:-1], strict=True))
    held_out = len(targets) // 10  # 5,000 of 50,000
    training = images, targets
    return cut_validation(training, batches[-1], held_out, split_seed, subset, kind.num_classes, source.name)


def _load_idx(source: Source, data_dir: str | None, split_seed: int, subset: int | None, download: bool) -> Dataset:
    paths = locate(source, data_dir, download)
    training, test = (_read_pair(source.name, *pair) for pair in (paths[:2], paths[2:]))
    # the three name their files alike: a flat folder may hold those of another
    kind = _recognised(training[1])
    if kind not in (None, source.reader):
        fix = f"Set data_dir to a folder that holds those, best below {source.layouts[0]}."
        raise bad_file(source.name, paths[1], f"the labels of {kind}", f"those of {source.name}", fix)
    held_out = len(training[1]) // 12  # 5,000 of 60,000
    return cut_validation(training, test, held_out, split_seed, subset, NUM_CLASSES, source.name)


def _recognised(targets: Tensor) -> str | None:
    """Which of the three published data sets these training labels are, as torchvision calls it; None for others."""
    counts = targets.bincount(minlength=NUM_CLASSES).tolist()
    if counts == EVEN_COUNTS:
        return "FashionMNIST" if targets[: len(FASHION_MNIST_START)].tolist() == FASHION_MNIST_START else "KMNIST"
    return "MNIST" if counts == MNIST_COUNTS else None


def _read_pair(name: str, images_path: Path, labels_path: Path) -> tuple[Tensor, Tensor]:
    images, labels = read_images(images_path), read_labels(labels_path)
    if len(images) != len(labels):
        expected = f"{len(images)}, one for each image of {images_path.name}"
        raise bad_file(name, labels_path, f"{len(labels)} labels", expected, "Fetch both files from one place.")
    check_labels(labels, NUM_CLASSES, name, labels_path)
    return images, labels
