"""Fashion-MNIST, MNIST and Kuzushiji-MNIST from small files of the same format; the first from the real ones too."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import random
import re
import socket
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch

from initsuite.config.workload import frame_id_of
from initsuite.data import files, published
from initsuite.data.base import check_dataset
from initsuite.data.images import IDX_FILES, fashion_mnist, kmnist, mnist
from initsuite.data.torchvision_import import import_torchvision
from initsuite.errors import ConfigError, DataError

REAL = Path("/usr/share/datasets/fashion-mnist")
NUM_TRAIN, NUM_TEST = 240, 60
LOADERS = {"fashion_mnist": fashion_mnist, "mnist": mnist, "kmnist": kmnist}
FOLDERS = {"fashion_mnist": "FashionMNIST/raw", "mnist": "MNIST/raw", "kmnist": "KMNIST/raw"}
LOAD_LIMIT_S = 10.0
"""Loading takes 1.5 s on two idle cores; the rest is room for a busy machine."""


@pytest.fixture(autouse=True)
def no_other_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the real system folder nor the user's cache nor the network is touched."""
    monkeypatch.setattr(files, "SYSTEM_ROOT", tmp_path / "system")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def idx_bytes(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return header + values.astype(np.uint8).tobytes()


def idx_content() -> dict[str, bytes]:
    """The four files by name; each image is filled with 20 times its label."""
    content = {}
    for prefix, count in (("train", NUM_TRAIN), ("t10k", NUM_TEST)):
        labels = np.arange(count) % 10
        images = np.broadcast_to(20 * labels[:, None, None], (count, 28, 28))
        content[f"{prefix}-images-idx3-ubyte"] = idx_bytes(images)
        content[f"{prefix}-labels-idx1-ubyte"] = idx_bytes(labels)
    return content


def write_idx(folder: Path, replaced: Mapping[str, bytes] | None = None, *, gzipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**idx_content(), **(replaced or {})}.items():
        path = folder / (f"{name}.gz" if gzipped else name)
        path.write_bytes(gzip.compress(content) if gzipped else content)
    return folder


def refuse_download(monkeypatch: pytest.MonkeyPatch, reader: str, error: Exception) -> list[object]:
    """Let torchvision's class fail; returns the socket time-outs it ran under."""
    seen: list[object] = []

    def fail(*arguments, **options):
        seen.append(socket.getdefaulttimeout())
        raise error

    monkeypatch.setattr(import_torchvision().datasets, reader, fail)
    return seen


# ---- idx


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("layout", ["torchvision", "flat"])
def test_idx_files_are_read_plain_and_gzipped_in_both_layouts(tmp_path, name, gzipped, layout) -> None:
    write_idx(tmp_path / "data" / (FOLDERS[name] if layout == "torchvision" else "."), gzipped=gzipped)
    data = check_dataset(LOADERS[name](data_dir=str(tmp_path / "data"), own_files=True), name)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [220, 20, 60]
    assert data.input_shape == (1, 28, 28)
    for split in (data.train, data.validation, data.test):
        greys = split.inputs.mean((1, 2, 3))  # linear in the label: each image kept its own
        step = (greys.max() - greys.min()) / 9
        assert torch.equal(((greys - greys.min()) / step).round().long(), split.targets)
    assert torch.equal(data.validation.targets.bincount(), torch.full((10,), 2))


def test_the_test_split_keeps_the_order_of_its_file(tmp_path) -> None:
    data = mnist(data_dir=str(write_idx(tmp_path / "data")), own_files=True)
    assert torch.equal(data.test.targets, torch.arange(NUM_TEST) % 10)


def test_a_subset_leaves_validation_and_test_whole(tmp_path) -> None:
    folder = str(write_idx(tmp_path / "data"))
    whole, part = (mnist(data_dir=folder, subset=subset, own_files=True) for subset in (None, 50))
    assert torch.equal(part.train.targets.bincount(), torch.full((10,), 5))
    assert torch.equal(part.validation.targets, whole.validation.targets)
    assert len(part.test) == NUM_TEST
    with pytest.raises(ConfigError, match=re.escape("mnist: bad value `subset`=221. Expected null, or 1 to the 220")):
        mnist(data_dir=folder, subset=221, own_files=True)


def test_the_split_seed_moves_the_validation_split(tmp_path) -> None:
    folder = str(write_idx(tmp_path / "data"))
    orders = [mnist(data_dir=folder, split_seed=seed, own_files=True).train.targets for seed in (0, 1)]
    assert not torch.equal(*orders)


def test_folders_are_searched_in_order(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(files, "check_published", lambda *arguments, **options: None)
    empty = tmp_path / "empty"
    empty.mkdir()
    write_idx(tmp_path / "cache/initsuite/MNIST/raw")
    assert len(mnist(download=False).test) == NUM_TEST
    assert len(mnist(data_dir=str(empty), download=False).test) == NUM_TEST
    small = {
        "t10k-images-idx3-ubyte": idx_bytes(np.zeros((3, 28, 28))),
        "t10k-labels-idx1-ubyte": idx_bytes(np.arange(3)),
    }
    write_idx(tmp_path / "system/mnist", small, gzipped=True)
    assert len(mnist(download=False).test) == 3
    smaller = {
        "t10k-images-idx3-ubyte": idx_bytes(np.zeros((2, 28, 28))),
        "t10k-labels-idx1-ubyte": idx_bytes(np.arange(2)),
    }
    assert len(mnist(data_dir=str(write_idx(tmp_path / "data", smaller)), download=False).test) == 2


CONTENT = idx_content()
IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = IDX_FILES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (IMAGES, CONTENT[IMAGES][:-9], "188167 bytes. Expected 188176 bytes, by its header for 240 x 28 x 28"),
        (TEST_LABELS, CONTENT[TEST_LABELS] + b"x", "69 bytes. Expected 68 bytes"),
        (IMAGES, b"", "it begins with nothing. Expected an idx3 file of bytes, which begins with 00 00 08 03"),
        (LABELS, b"<html>404</html>", "it begins with 3c 68 74 6d. Expected an idx1 file"),
        (TEST_IMAGES, idx_bytes(np.zeros((0, 28, 28))), "at least one"),
        (LABELS, idx_bytes(np.zeros(239)), "239 labels. Expected 240, one for each image of train-images"),
        (TEST_LABELS, idx_bytes(np.arange(NUM_TEST)), "labels 0 to 59. Expected class indices 0 to 9"),
    ],
)
@pytest.mark.parametrize("gzipped", [False, True])
def test_a_damaged_idx_file_is_named(tmp_path, name: str, content: bytes, message: str, gzipped: bool) -> None:
    folder = write_idx(tmp_path / "data", {name: content}, gzipped=gzipped)
    with pytest.raises(DataError, match=f"bad file `.*{name}.*{re.escape(message)}"):
        mnist(data_dir=str(folder), own_files=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-200], "gzip says: Compressed file ended"),
        (lambda content: b"not gzip", "gzip says: Not a gzipped file"),
        (lambda content: content[:40] + b"\xff" * 40 + content[80:], "gzip says: "),
    ],
)
def test_a_damaged_gzip_file_is_named(tmp_path, damage, message: str) -> None:
    folder = write_idx(tmp_path / "data", gzipped=True)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    expected = f"train-images-idx3-ubyte.gz`: {message}.*Expected a complete gzip file. Fetch the file again"
    with pytest.raises(DataError, match=expected):
        mnist(data_dir=str(folder), own_files=True)


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch) -> None:
    folder = write_idx(tmp_path / "data")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte`: Permission denied. Expected a file that can be read"
    ):
        mnist(data_dir=str(folder), own_files=True)


# ---- the published files, and one's own


def publish(monkeypatch: pytest.MonkeyPatch, name: str, *, packed: bool = False) -> dict[str, bytes]:
    """Let the small files be those that were published; returns their content."""
    content = idx_content()
    known = {f"{file}.gz": gzip.compress(one, mtime=0) for file, one in content.items()} if packed else content
    digests = {file: hashlib.sha256(one).hexdigest() for file, one in known.items()}
    monkeypatch.setitem(published.PUBLISHED, name, digests)
    return content


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_flipped_bit_in_a_published_file_is_refused(tmp_path, monkeypatch, gzipped: bool) -> None:
    publish(monkeypatch, "mnist")
    folder = write_idx(tmp_path / "data", gzipped=gzipped)
    options = {"data_dir": str(folder), "download": False}
    assert mnist(**options).fingerprint == ""  # however it is packed: the small files are packed differently each time
    rng, unpack = random.Random(0), gzip.decompress if gzipped else bytes
    for name in IDX_FILES:
        path = folder / (f"{name}.gz" if gzipped else name)
        whole = path.read_bytes()
        for place in [rng.randrange(len(whole)) for _ in range(12)]:
            damaged = whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :]
            path.write_bytes(damaged)
            with contextlib.suppress(OSError, EOFError, zlib.error):
                if unpack(damaged) == unpack(whole):  # the date in a packed file, or bits that fill up its last byte
                    continue
            with pytest.raises(DataError, match=rf"bad file `.*{name}"):
                mnist(**options)
        path.write_bytes(whole)
    assert len(mnist(**options).test) == NUM_TEST


def test_the_error_says_what_differs_and_what_to_do(tmp_path, monkeypatch) -> None:
    folder = write_idx(tmp_path / "data", gzipped=True)
    with pytest.raises(DataError) as caught:
        mnist(data_dir=str(folder), download=False)
    assert str(caught.value) == (
        f"mnist: bad file `{folder}/{IDX_FILES[0]}.gz`: its content is not what was published (a bit of it differs, or "
        f"more). Expected the published `{IDX_FILES[0]}`, on whose examples the ids of trials rest. Fetch it again, or "
        "say dataset.own_files=true if it is your own: its hash is then part of the ids."
    )
    publish(monkeypatch, "fashion_mnist")
    with pytest.raises(DataError, match=f"{IDX_FILES[0]}.gz`: the file of fashion_mnist. Expected the published"):
        mnist(data_dir=str(folder), download=False)


def test_of_packed_files_alone_the_packed_ones_are_read_and_compared(tmp_path, monkeypatch) -> None:
    """As published with Kuzushiji-MNIST: what a plain file should be is not known."""
    publish(monkeypatch, "kmnist", packed=True)
    folder = write_idx(tmp_path / "data")
    with pytest.raises(
        DataError, match=rf"nothing is known to compare it with. Expected the published `{IDX_FILES[0]}\.gz`"
    ):
        kmnist(data_dir=str(folder), download=False)
    for name, content in idx_content().items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    assert len(kmnist(data_dir=str(folder), download=False).test) == NUM_TEST


def test_files_of_ones_own_are_part_of_the_ids(tmp_path) -> None:
    folder = write_idx(tmp_path / "data")
    frame = {"dataset": {"name": "mnist", "_target_": "initsuite.data.images.mnist", "metric": "accuracy", "loss": ""}}
    frame |= {"model": {"name": "mlp", "_target_": "initsuite.models.mlp.Mlp"}, "activation": {}}
    frame |= dict.fromkeys(("batch_size", "max_steps", "eval_every"), 1)

    def ids(**options: Any) -> str:
        tree = {**frame, "dataset": {**frame["dataset"], "data_dir": str(folder), **options}}
        return frame_id_of(tree, lambda: mnist(data_dir=str(folder), own_files=True))

    own, plain = ids(own_files=True), ids(own_files=False)
    assert plain == ids() != own  # as before there was this option, and without reading the files
    packed = write_idx(tmp_path / "packed", gzipped=True)
    assert (
        mnist(data_dir=str(packed), own_files=True).fingerprint
        == mnist(data_dir=str(folder), own_files=True).fingerprint
    )
    write_idx(folder, {TEST_LABELS: idx_bytes((np.arange(NUM_TEST) + 1) % 10)})
    assert ids(own_files=True) != own
    assert ids() == plain


@pytest.mark.parametrize(
    ("options", "message"), [({}, "`own_files`=True. Expected a `data_dir`"), ({"data_dir": "."}, "no data files")]
)
def test_files_of_ones_own_are_looked_for_in_one_place(tmp_path, monkeypatch, options, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "system/mnist")
    with pytest.raises((ConfigError, DataError), match=message):
        mnist(own_files=True, **options)


# ---- where files lie


def test_a_data_dir_that_does_not_exist_is_refused(tmp_path) -> None:
    write_idx(tmp_path / "system/mnist")
    with pytest.raises(ConfigError, match=r"mnist: bad value `data_dir`=.*Expected a folder that exists. Create it"):
        mnist(data_dir=str(tmp_path / "tpyo"))


def test_a_data_dir_with_some_of_the_files_is_refused(tmp_path) -> None:
    write_idx(tmp_path / "system/mnist")
    folder = write_idx(tmp_path / "data")
    (folder / IDX_FILES[3]).rename(folder / "test-labels")
    with pytest.raises(DataError, match=f"missing files in `data_dir`=.*: {IDX_FILES[3]}. Expected all of: train"):
        mnist(data_dir=str(folder))


@pytest.mark.parametrize("error", [URLError("no route"), RuntimeError("Error downloading:\n no route"), TimeoutError()])
def test_a_failed_download_says_where_it_looked_and_what_to_do(tmp_path, monkeypatch, error) -> None:
    timeouts = refuse_download(monkeypatch, "FashionMNIST", error)
    before = socket.getdefaulttimeout()
    with pytest.raises(DataError) as caught:
        fashion_mnist()
    message = str(caught.value)
    assert re.search(r"the download failed: .*(no route|TimeoutError)", message)
    assert f"Looked below: {tmp_path / 'system'}, {tmp_path / 'cache/initsuite'}. Expected in one folder" in message
    assert "set data_dir=FOLDER, or connect to the network" in message
    assert message.endswith("On Debian and Ubuntu: apt install dataset-fashion-mnist.")
    assert "\n" not in message
    assert timeouts == [files.TIMEOUT_S]
    assert socket.getdefaulttimeout() == before


def test_without_download_nothing_is_fetched(monkeypatch) -> None:
    seen = refuse_download(monkeypatch, "MNIST", RuntimeError("must not be called"))
    with pytest.raises(DataError, match=re.escape("mnist: no data files (download=false). Looked below:")):
        mnist(download=False)
    assert seen == []


def test_downloaded_files_are_used(tmp_path, monkeypatch) -> None:
    publish(monkeypatch, "fashion_mnist")

    def fetch(root: str, train: bool, download: bool) -> None:
        assert download
        write_idx(Path(root) / "FashionMNIST/raw")

    monkeypatch.setattr(import_torchvision().datasets, "FashionMNIST", fetch)
    assert len(fashion_mnist().test) == NUM_TEST
    assert (tmp_path / "cache/initsuite/FashionMNIST/raw").is_dir()


# ---- the real images


@pytest.mark.skipif(not REAL.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist(monkeypatch) -> None:
    monkeypatch.setattr(files, "SYSTEM_ROOT", REAL.parent)
    import_torchvision()
    begin = time.perf_counter()
    data = fashion_mnist(download=False)
    assert time.perf_counter() - begin < LOAD_LIMIT_S
    check_dataset(data, "fashion_mnist")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [55_000, 5_000, 10_000]
    assert (data.validation.targets.bincount() == 500).all()
    assert (data.test.targets.bincount() == 1000).all()
    # mean and std of the published training images, 0.2860 and 0.3530 of white: black lies at -mean / std
    assert data.train.inputs.min().item() == pytest.approx(-0.2860 / 0.3530, abs=0.005)
    assert data.train.inputs.max().item() == pytest.approx((1 - 0.2860) / 0.3530, abs=0.01)
    assert data.test.targets[:5].tolist() == [9, 2, 1, 1, 6]  # as published
    with pytest.raises(DataError, match=r"the file of fashion_mnist. Expected the published `train-images"):
        kmnist(data_dir=str(REAL), download=False)
