"""Fashion-MNIST, MNIST, Kuzushiji-MNIST, CIFAR-10 and CIFAR-100 as tensors in memory, from files in the layouts of
torchvision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from initsuite.data.base import Dataset, read_from_files
from initsuite.data.cifar import CIFAR10_BATCH, CIFAR100_BATCH, Batch, batch_of
from initsuite.data.files import Files, Source
from initsuite.data.idx import find_idx, find_packed, images_of, labels_of, unpacked
from initsuite.data.splits import check_labels, cut_validation
from initsuite.errors import bad_file

NUM_CLASSES = 10
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MNIST = Source(
    "mnist",
    "MNIST",
    ("MNIST/raw", "mnist", "."),
    IDX_FILES,
    find=find_idx,
    advice="Gzipped files (.gz) will do.",
    unpack=unpacked,
)
KMNIST = replace(
    MNIST,
    name="kmnist",
    reader="KMNIST",
    layouts=("KMNIST/raw", "kmnist", "."),
    find=find_packed,
    advice="The gzipped files (.gz) are needed: of these is known what was published.",
)
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


@read_from_files
def fashion_mnist(
    *,
    data_dir: str | None = None,
    split_seed: int = 0,
    subset: int | None = None,
    download: bool = True,
    own_files: bool = False,
) -> Dataset:
    """70,000 grey images of clothes, 10 classes: 55,000 training, 5,000 validation, 10,000 test.

    Args:
        data_dir: searched first, in the layout of torchvision or as a flat folder of idx or idx.gz files.
        split_seed: chooses the validation split, the same for all trials.
        subset: training examples kept, stratified; None for all. Validation and test stay whole.
        download: fetch the files into the user's cache if they are nowhere else.
        own_files: whether the files in `data_dir` are your own, in this format: their hash is then part of the ids of
            trials. Otherwise they must be the published ones, to the last bit.

    Returns:
        Inputs [example, 1, 28, 28].

    Raises:
        ConfigError: a `data_dir` that is no folder, a `subset` out of range.
        DataError: files that are missing, or are not the published ones; files of your own that are damaged.

    References:
        Xiao, Rasul and Vollgraf 2017, Fashion-MNIST.
    """
    return _load_idx(Files(FASHION_MNIST, data_dir, download, own_files), split_seed, subset)


@read_from_files
def mnist(
    *,
    data_dir: str | None = None,
    split_seed: int = 0,
    subset: int | None = None,
    download: bool = True,
    own_files: bool = False,
) -> Dataset:
    """70,000 grey images of digits, 10 classes: 55,000 training, 5,000 validation, 10,000 test.

    Arguments, result and errors as for `fashion_mnist`.

    References:
        LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition.
    """
    return _load_idx(Files(MNIST, data_dir, download, own_files), split_seed, subset)


@read_from_files
def kmnist(
    *,
    data_dir: str | None = None,
    split_seed: int = 0,
    subset: int | None = None,
    download: bool = True,
    own_files: bool = False,
) -> Dataset:
    """70,000 grey images of cursive Japanese characters, 10 classes: 55,000 training, 5,000 validation, 10,000 test.

    Arguments, result and errors as for `fashion_mnist`.

    References:
        Clanuwat et al. 2018, Deep learning for classical Japanese literature (Kuzushiji-MNIST).
    """
    return _load_idx(Files(KMNIST, data_dir, download, own_files), split_seed, subset)


@read_from_files
def cifar10(
    *,
    data_dir: str | None = None,
    split_seed: int = 0,
    subset: int | None = None,
    download: bool = True,
    own_files: bool = False,
) -> Dataset:
    """60,000 colour images of things, 10 classes: 45,000 training, 5,000 validation, 10,000 test.

    Arguments and errors as for `fashion_mnist`; `data_dir` is, or holds, the folder cifar-10-batches-py.

    Returns:
        Inputs [example, 3, 32, 32].

    References:
        Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    return _load_cifar(Files(CIFAR10, data_dir, download, own_files), CIFAR10_BATCH, split_seed, subset)


@read_from_files
def cifar100(
    *,
    data_dir: str | None = None,
    split_seed: int = 0,
    subset: int | None = None,
    download: bool = True,
    own_files: bool = False,
) -> Dataset:
    """60,000 colour images of things, 100 classes (the fine labels): 45,000 training, 5,000 validation, 10,000 test.

    Arguments, result, errors and reference as for `cifar10`; the folder is cifar-100-python.
    """
    return _load_cifar(Files(CIFAR100, data_dir, download, own_files), CIFAR100_BATCH, split_seed, subset)


def _load_cifar(files: Files, kind: Batch, split_seed: int, subset: int | None) -> Dataset:
    """The last file of a source is the test batch."""
    batches = []
    for path, content in files.read():
        images, targets = batch_of(path, content, kind)
        check_labels(targets, kind.num_classes, kind.name, path)
        batches.append((images, targets))
    images, targets = (torch.cat(parts) for parts in zip(*batches[:-1], strict=True))
    held_out = len(targets) // 10  # 5,000 of 50,000
    training = images, targets
    return files.named(cut_validation(training, batches[-1], held_out, split_seed, subset, kind.num_classes, kind.name))


def _load_idx(files: Files, split_seed: int, subset: int | None) -> Dataset:
    name, content = files.source.name, files.read()
    training, test = (_next_pair(name, content) for _ in range(2))
    held_out = len(training[1]) // 12  # 5,000 of 60,000
    return files.named(cut_validation(training, test, held_out, split_seed, subset, NUM_CLASSES, name))


def _next_pair(name: str, files: Iterator[tuple[Path, bytes]]) -> tuple[Tensor, Tensor]:
    """Images and labels, which follow them."""
    images_path, content = next(files)
    images = images_of(images_path, content)
    labels_path, content = next(files)
    labels = labels_of(labels_path, content)
    if len(images) != len(labels):
        expected = f"{len(images)}, one for each image of {images_path.name}"
        raise bad_file(name, labels_path, f"{len(labels)} labels", expected, "Fetch both files from one place.")
    check_labels(labels, NUM_CLASSES, name, labels_path)
    return images, labels
