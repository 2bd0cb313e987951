"""CIFAR-10 and CIFAR-100 from small files of the same format."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from initsuite.data.base import check_dataset
from initsuite.data.images import CIFAR10, cifar10, cifar100
from initsuite.errors import DataError


def write_cifar(folder: Path, num_examples: int = 40) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in CIFAR10.files:
        labels = [index % 10 for index in range(num_examples)]
        planes = np.repeat(
            np.array([[label, 10 * label, 20 * label] for label in labels], dtype=np.uint8), 1024, axis=1
        )
        (folder / name).write_bytes(pickle.dumps({"data": planes, "labels": labels, "batch_label": name}))
    return folder


@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "."])
def test_cifar_is_read_in_both_layouts(tmp_path, layout: str) -> None:
    write_cifar(tmp_path / "data" / layout)
    data = check_dataset(cifar10(data_dir=str(tmp_path / "data"), own_files=True), "cifar10")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [180, 20, 40]
    assert data.input_shape == (3, 32, 32)
    assert torch.equal(data.validation.targets.bincount(), torch.full((10,), 2))
    for channel in range(3):  # each plane is linear in the label, and constant within an image
        values = data.test.inputs[:, channel].flatten(1)
        assert (values == values[:, :1]).all()
        assert torch.equal(values[:10, 0].argsort(), torch.arange(10))


def test_a_batch_written_by_python_2_is_read(tmp_path) -> None:
    """The published files are pickles of protocol 2 whose keys and array bytes are Python 2 strings."""
    folder = write_cifar(tmp_path / "data")
    for name in CIFAR10.files:
        content = pickle.loads((folder / name).read_bytes())
        pixels = content["data"].tobytes()
        text = (
            b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01K" + bytes([40]) + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN"
            b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + len(pixels).to_bytes(4, "little") + pixels
            + b"tbU\x06labels](" + b"".join(b"K" + bytes([label]) for label in content["labels"]) + b"eu."
        )  # fmt: skip
        (folder / name).write_bytes(text)
    again = cifar10(data_dir=str(folder), own_files=True)
    assert torch.equal(
        again.test.inputs, cifar10(data_dir=str(write_cifar(tmp_path / "new")), own_files=True).test.inputs
    )


def pixels(num_examples: int, size: int = 3072) -> np.ndarray:
    return np.zeros((num_examples, size), np.uint8)


class Touch:
    """A pickle that would write a file when it is opened carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content, tmp: content[:-500], "unpickling says: "),
        (lambda content, tmp: b"", "unpickling says: Ran out of input"),
        (lambda content, tmp: pickle.dumps(Touch(tmp / "touched")), "unpickling says: .*is not part of an array"),
        (lambda content, tmp: pickle.dumps([1]), "`data` is NoneType of no array"),
        (lambda content, tmp: pickle.dumps({"data": pixels(4, 9)}), r"`data` is \(4, 9\) of uint8"),
        (lambda content, tmp: pickle.dumps({"data": pixels(4)}), "`labels` is NoneType of no list"),
        (lambda content, tmp: pickle.dumps({"data": pixels(4), "labels": [1]}), "`labels` is list of 1"),
        (lambda content, tmp: pickle.dumps({"data": pixels(1), "labels": [10]}), "labels 10 to 10"),
    ],
)  # fmt: skip
def test_a_damaged_batch_is_named(tmp_path, damage, message: str) -> None:
    path = write_cifar(tmp_path / "data") / "data_batch_3"
    path.write_bytes(damage(path.read_bytes(), tmp_path))
    with pytest.raises(DataError, match=f"cifar10: bad file `.*data_batch_3`: .*{message}"):
        cifar10(data_dir=str(tmp_path / "data"), own_files=True)
    assert not (tmp_path / "touched").exists()


def test_a_batch_that_cannot_be_read_is_named(tmp_path, monkeypatch) -> None:
    folder = write_cifar(tmp_path / "data")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"data_batch_1`: Permission denied. Expected a file that can be read"):
        cifar10(data_dir=str(folder), own_files=True)


def write_cifar100(folder: Path, sizes: dict[str, int], labels: str = "fine_labels") -> Path:
    """Batches whose fine label is in the red plane; the coarse ones, which must not be read, are all 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        fine = [index % 100 for index in range(size)]
        planes = np.repeat(np.array([[2 * label, 7, 9] for label in fine], dtype=np.uint8), 1024, axis=1)
        content = {"data": planes, labels: fine, "coarse_labels": [0] * size, "filenames": [f"{name}.png"] * size}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


@pytest.mark.parametrize("layout", ["cifar-100-python", "."])
def test_cifar100_has_the_fine_labels(tmp_path, layout: str) -> None:
    write_cifar100(tmp_path / "data" / layout, {"train": 2000, "test": 300})
    data = check_dataset(cifar100(data_dir=str(tmp_path / "data"), own_files=True), "cifar100")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [1800, 200, 300]
    assert (data.input_shape, data.num_outputs) == ((3, 32, 32), 100)
    assert torch.equal(data.validation.targets.bincount(), torch.full((100,), 2))
    assert torch.equal(data.test.targets[:200], torch.arange(200) % 100)
    reds = data.train.inputs[:, 0].mean((1, 2))
    step = (reds.max() - reds.min()) / 99
    assert torch.equal(((reds - reds.min()) / step).round().long(), data.train.targets)


def test_a_batch_of_the_other_cifar_is_named(tmp_path) -> None:
    folder = write_cifar100(tmp_path / "data", {"train": 200, "test": 100}, labels="labels")
    expected = (
        r"cifar100: bad file `.*train`: `fine_labels` is NoneType of no list. Expected `fine_labels`, a list of 200 "
        r"class indices. Fetch cifar-100-python.tar.gz again"
    )
    with pytest.raises(DataError, match=expected):
        cifar100(data_dir=str(folder), own_files=True)


@pytest.mark.parametrize(("load", "name"), [(cifar10, "data_batch_1"), (cifar100, "train")])
def test_other_files_than_the_published_ones_are_refused(tmp_path, load, name: str) -> None:
    write_cifar(tmp_path / "data"), write_cifar100(tmp_path / "data", {"train": 200, "test": 100})
    with pytest.raises(DataError, match=f"bad file `.*{name}`: its content is not what was published.*own_files=true"):
        load(data_dir=str(tmp_path / "data"), download=False)
