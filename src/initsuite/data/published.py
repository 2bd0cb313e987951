"""Whether the files of a data set are the published ones, to the last bit: ids promise the examples they stand for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from initsuite.errors import bad_file, bad_value

_IMAGES, _LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
PUBLISHED = {
    "mnist": {
        _IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        _LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        _TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        _TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        _IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        _LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        _TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        _TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    "kmnist": {
        f"{_IMAGES}.gz": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        f"{_LABELS}.gz": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        f"{_TEST_IMAGES}.gz": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        f"{_TEST_LABELS}.gz": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    },
    "cifar10": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    "cifar100": {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    },
    "svhn": {
        "train_32x32.mat": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        "test_32x32.mat": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    },
    "digits": {"digits": "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"},
    "image_fit": {
        "china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "flower.jpg": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    },
}
"""Digests of the files by data set and name: SHA-256, of CIFAR MD5, as published with them or given by many who hold
them. A name that ends in .gz means the packed file; those of MNIST and Fashion-MNIST are of the content, which is the
same however it was packed. That of the digits, which scikit-learn reads, is of the grey values and labels as bytes."""


def given_path(where: str, name: str, value: object) -> Path:
    """A path as a user wrote it, `~` resolved.

    Raises:
        ConfigError: it is none.
    """
    try:
        if isinstance(value, str) and value.strip() and "\0" not in value:
            return Path(value).expanduser()
    except RuntimeError:  # ~nobody
        pass
    raise bad_value(where, name, value, "a path")


def read_file(name: str, path: Path) -> bytes:
    """The content of a file of a data set.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise bad_file(name, path, error.strerror, "a file that can be read", "Check its permissions.") from error


def check_published(name: str, path: Path, stored: bytes, unpacked: bytes | None = None, *, fix: str) -> None:
    """Refuse a file that is not the published one.

    Args:
        name: name of the data set.
        path: where the file is; its name, with or without .gz, says which one it should be.
        stored: its bytes.
        unpacked: its content, where it is packed.
        fix: what to do; one sentence.

    Raises:
        DataError: a bit of it differs, or it is the file of another data set.
    """
    contents = {path.name: stored, path.name.removesuffix(".gz"): stored if unpacked is None else unpacked}
    known = PUBLISHED[name]
    if any(file in known and _digest(content, known[file]) == known[file] for file, content in contents.items()):
        return
    others = [
        other
        for other, digests in PUBLISHED.items()
        for file, content in contents.items()
        if file in digests and _digest(content, digests[file]) == digests[file]
    ]
    got = (
        f"the file of {others[0]}" if others else "its content is not what was published (a bit of it differs, or more)"
    )
    if not contents.keys() & known.keys():
        got = "nothing is known to compare it with"
    expected = f"the published `{_named(path, known)}`, on whose examples the ids of trials rest"
    raise bad_file(name, path, got, expected, fix)


def _named(path: Path, known: dict[str, str]) -> str:
    """The name that the published file has, packed where only that one is known."""
    stem = path.name.removesuffix(".gz")
    return next((name for name in (stem, f"{stem}.gz") if name in known), path.name)


def _digest(content: bytes, like: str) -> str:
    return hashlib.new("md5" if len(like) == 32 else "sha256", content, usedforsecurity=False).hexdigest()
