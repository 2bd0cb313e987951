"""Street View House Numbers from small MATLAB files of the same format."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from initsuite.data import files
from initsuite.data.base import check_dataset
from initsuite.data.svhn import svhn
from initsuite.data.torchvision_import import import_torchvision
from initsuite.errors import DataError

SIZES = {"train": 140, "test": 30}


@pytest.fixture(autouse=True)
def no_other_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SYSTEM_ROOT", tmp_path / "system")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def content(num_examples: int) -> dict[str, Any]:
    """As published: the label of the digit 0 is 10. The red plane holds the digit, the first row is black."""
    labels = np.arange(num_examples) % 10 + 1
    images = np.zeros((32, 32, 3, num_examples), np.uint8)
    images[1:, :, 0, :] = 20 * (labels % 10)
    images[1:, :, 1, :] = 3 * (labels % 10)
    images[1:, 1:, 2, :] = 50
    return {"X": images, "y": labels.astype(np.uint8)[:, None]}


def write_svhn(folder: Path, **replaced: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in SIZES.items():
        savemat(folder / f"{split}_32x32.mat", replaced.get(split, content(size)), do_compression=True)
    return folder


@pytest.mark.parametrize("layout", ["svhn", "."])
def test_the_files_are_read_in_both_layouts(tmp_path, layout: str) -> None:
    write_svhn(tmp_path / "data" / layout)
    data = check_dataset(svhn(data_dir=str(tmp_path / "data"), own_files=True), "svhn")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [130, 10, 30]
    assert (data.input_shape, data.num_outputs) == ((3, 32, 32), 10)
    assert torch.equal(data.test.targets, (torch.arange(30) + 1) % 10)  # the label 10 is the digit 0
    assert torch.equal(data.validation.targets.sort().values, torch.arange(10))
    for split in (data.train, data.validation, data.test):
        reds = split.inputs[:, 0, 1:].mean((1, 2))  # each image kept its own label
        step = (reds.max() - reds.min()) / 9
        assert torch.equal(((reds - reds.min()) / step).round().long(), split.targets)
        blues = split.inputs[:, 2]  # rows are rows: the first row and the first column are dark
        assert torch.equal(blues[:, 0, :], blues[:, :, 0])
        assert (blues[:, 1:, 1:] > blues[:, :1, :1]).all()
        assert (split.inputs[:, 0, 0] == split.inputs[:1, 0, :1, :1].flatten()).all()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"y": content(4)["y"]}, "`X` is () of object. Expected `X` (32, 32, 3, example) of uint8"),
        ({"X": content(4)["X"][:28], "y": content(4)["y"]}, "`X` is (28, 32, 3, 4) of uint8"),
        ({"X": content(4)["X"] / 255, "y": content(4)["y"]}, "`X` is (32, 32, 3, 4) of float64"),
        ({"X": content(4)["X"]}, "`y` is () of object. Expected `y` (4, 1) of whole numbers"),
        ({"X": content(4)["X"], "y": content(5)["y"]}, "`y` is (5, 1) of uint8"),
        ({"X": content(4)["X"], "y": content(4)["y"] + 10}, "labels 11 to 14. Expected class indices 0 to 9"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, broken: dict[str, Any], message: str) -> None:
    folder = write_svhn(tmp_path / "data", train=broken)
    with pytest.raises(DataError, match=f"svhn: bad file `.*train_32x32.mat`: {re.escape(message)}"):
        svhn(data_dir=str(folder), own_files=True)


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b"", lambda whole: b"<html>404</html>" * 99]
)
def test_a_damaged_file_is_named(tmp_path, damage) -> None:
    path = write_svhn(tmp_path / "data") / "test_32x32.mat"
    path.write_bytes(damage(path.read_bytes()))
    expected = r"test_32x32.mat`: scipy says: .*Expected a MATLAB file of version 5. Fetch the file again"
    with pytest.raises(DataError, match=expected):
        svhn(data_dir=str(tmp_path / "data"), own_files=True)


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch) -> None:
    folder = write_svhn(tmp_path / "data")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"train_32x32.mat`: Permission denied. Expected a file that can be read"):
        svhn(data_dir=str(folder), own_files=True)


def test_both_parts_are_downloaded_into_a_folder_of_their_own(tmp_path, monkeypatch) -> None:
    fetched = []

    def fetch(root: str, split: str, download: bool) -> None:
        assert download
        fetched.append(split)
        Path(root).mkdir(parents=True, exist_ok=True)
        savemat(Path(root) / f"{split}_32x32.mat", content(SIZES[split]))

    monkeypatch.setattr(import_torchvision().datasets, "SVHN", fetch)
    monkeypatch.setattr(files, "check_published", lambda *arguments, **options: None)
    assert len(svhn().test) == SIZES["test"]
    assert fetched == ["train", "test"]
    assert sorted(path.name for path in (tmp_path / "cache/initsuite").iterdir()) == ["svhn"]


def test_other_files_than_the_published_ones_are_refused(tmp_path) -> None:
    write_svhn(tmp_path / "data")
    with pytest.raises(DataError, match=r"svhn: bad file `.*train_32x32.mat`: its content is not what was published"):
        svhn(data_dir=str(tmp_path / "data"), download=False)
