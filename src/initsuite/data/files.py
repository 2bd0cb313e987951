"""Where the files of a data set are: the user's folder, the system's, the user's cache; else they are downloaded."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from initsuite.data.base import Dataset
from initsuite.data.published import check_published, given_path, read_file
from initsuite.data.torchvision_import import import_torchvision
from initsuite.errors import DataError, bad_value
from initsuite.files import cache_root
from initsuite.spec import short_hash

SYSTEM_ROOT = Path("/usr/share/datasets")
"""Where Debian's package dataset-fashion-mnist puts its files."""
TIMEOUT_S = 20.0
"""Seconds a download may stay silent; otherwise a machine behind a closed firewall would wait for minutes."""

FIX = "Fetch it again, or say dataset.own_files=true if it is your own: its hash is then part of the ids."

Find = Callable[[Path, str], "Path | None"]
"""(folder, name of a file) -> its path, None if it is not there."""


def plain_file(folder: Path, name: str) -> Path | None:
    """The file of exactly this name."""
    return folder / name if (folder / name).is_file() else None


@dataclass(frozen=True)
class Source:
    """A data set as files.

    Attributes:
        name: name of the data set.
        reader: name of torchvision's class, which downloads.
        layouts: folders below a root that may hold the files, the most specific first.
        files: names of all files.
        find: finds a file in a folder by its name.
        advice: another way to get the files; one sentence.
        unpack: (path, bytes of the file) -> its content.
        splits: torchvision's names of the parts that it downloads separately, straight into the given folder; empty
            where it fetches all files at once, into a folder of its own.
    """

    name: str
    reader: str
    layouts: tuple[str, ...]
    files: tuple[str, ...]
    find: Find = plain_file
    advice: str = ""
    splits: tuple[str, ...] = ()
    unpack: Callable[[Path, bytes], bytes] = lambda path, stored: stored


class Files:
    """The files of a data set: the published ones, to the last bit, or a person's own.

    Each is read once. The hash of those that are a person's own becomes part of the ids of trials (`named`); of those
    that are published nothing does, which is why a bit that differs is refused.

    Args:
        source: what they are.
        data_dir, download: as for `locate`; a person's own are never downloaded.
        own_files: whether they are a person's own, in the format of the published ones.

    Raises:
        ConfigError, DataError: as `locate`; or `own_files` without a `data_dir`.
    """

    def __init__(self, source: Source, data_dir: str | None, download: bool, own_files: bool) -> None:
        for option, value in (("own_files", own_files), ("download", download)):
            if not isinstance(value, bool):
                raise bad_value(source.name, option, value, "true or false")
        if own_files and data_dir is None:
            raise bad_value(source.name, "own_files", True, "a `data_dir` that holds them", "Set data_dir=FOLDER.")
        self.source, self._is_own = source, own_files
        self._paths = locate(source, data_dir, download and not own_files, elsewhere=not own_files)
        self._hashes: list[str] = []

    def read(self) -> Iterator[tuple[Path, bytes]]:
        """Each file and its content, unpacked.

        Raises:
            DataError: a file that cannot be read or unpacked, or is not the published one.
        """
        name = self.source.name
        for path in self._paths:
            stored = read_file(name, path)
            content = self.source.unpack(path, stored)
            if self._is_own:
                self._hashes.append(hashlib.sha256(content).hexdigest())
            else:
                check_published(name, path, stored, content, fix=FIX)
            yield path, content

    def named(self, dataset: Dataset) -> Dataset:
        """The data set made of them, with a fingerprint where they are a person's own."""
        return replace(dataset, fingerprint=short_hash(self._hashes)) if self._is_own else dataset


def locate(source: Source, data_dir: str | None, download: bool, *, elsewhere: bool = True) -> list[Path]:
    """The paths of `source.files`, in their order, all from one folder.

    Looks in `data_dir` and, if they may be `elsewhere`, in the system's folder and the cache, in this order; then
    torchvision downloads into the cache.

    Raises:
        ConfigError: `data_dir` is not a folder.
        DataError: `data_dir` holds some of the files but not all; the files are nowhere and were not downloaded.
    """
    roots = [SYSTEM_ROOT, cache_root()] if elsewhere else []
    if data_dir is not None:
        root = given_path(source.name, "data_dir", data_dir)
        if not root.is_dir():
            fix = "Create it, or set data_dir=null to search the system folder and the cache."
            raise bad_value(source.name, "data_dir", data_dir, "a folder that exists", fix)
        roots.insert(0, root)
        _refuse_partial(source, root)
    if found := _search(source, roots):
        return found
    failure = _download(source) if download else "none is fetched" if not elsewhere else "download=false"
    if elsewhere and (found := _search(source, [cache_root()])):
        return found
    searched = ", ".join(map(str, roots))
    raise DataError(
        f"{source.name}: no data files ({failure}). Looked below: {searched}. Expected in one folder "
        f"({' or '.join(source.layouts)} below data_dir): {', '.join(source.files)}. "
        f"Put them there and set data_dir=FOLDER, or connect to the network. {source.advice}".rstrip()
    )


def _listed(source: Source, roots: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Path]]]:
    """The folders in which the files may be, each with those that are there, by name."""
    for folder in (root / layout for root in roots for layout in source.layouts):
        yield folder, {name: path for name in source.files if (path := source.find(folder, name))}


def _search(source: Source, roots: Sequence[Path]) -> list[Path]:
    """All files from the first folder that has all of them; empty where none has."""
    return next((list(paths.values()) for _, paths in _listed(source, roots) if len(paths) == len(source.files)), [])


def _refuse_partial(source: Source, root: Path) -> None:
    """Whoever supplies files and misspells one must not silently get other data."""
    for folder, paths in _listed(source, [root]):
        missing = [name for name in source.files if name not in paths]
        if paths and missing:
            raise DataError(
                f"{source.name}: missing files in `data_dir`='{folder}': {', '.join(missing)}. Expected all of: "
                f"{', '.join(source.files)}. Add them, or set data_dir=null."
            )


def _download(source: Source) -> str:
    """Fetch into the cache; returns what went wrong, "" if nothing did."""
    reader: Any = getattr(import_torchvision().datasets, source.reader)
    try:
        cache_root().mkdir(parents=True, exist_ok=True)
        with _socket_timeout(TIMEOUT_S):
            for split in source.splits:
                reader(str(cache_root() / source.layouts[0]), split=split, download=True)
            if not source.splits:
                reader(str(cache_root()), train=False, download=True)
    except (OSError, RuntimeError, AssertionError, EOFError) as error:  # URLError and timeouts are OSErrors
        return f"the download failed: {' '.join(str(error).split()) or type(error).__name__}"
    return ""


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """For torchvision, which opens its URLs without a timeout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
