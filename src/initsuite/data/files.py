"""Where the files of a data set lie: the user's folder, the system's, the user's cache; else they are downloaded."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initsuite.data.torchvision_import import import_torchvision
from initsuite.errors import DataError, bad_value
from initsuite.files import cache_root

SYSTEM_ROOT = Path("/usr/share/datasets")
"""Where Debian's package dataset-fashion-mnist puts its files."""
TIMEOUT_S = 20.0
"""Seconds a download may stay silent; a machine behind a closed firewall would else wait for minutes."""

Find = Callable[[Path, str], "Path | None"]
"""(folder, name of a file) -> where it is, None where it is not."""


def plain_file(folder: Path, name: str) -> Path | None:
    """The file of exactly this name."""
    return folder / name if (folder / name).is_file() else None


@dataclass(frozen=True)
class Source:
    """A data set as files.

    Attributes:
        name: of the data set.
        reader: name of torchvision's class, which downloads.
        layouts: folders below a root in which the files may lie, the most specific first.
        files: names of all files.
        find: finds a file of a folder by its name.
        advice: how else to get the files; one sentence.
        splits: torchvision's names of the parts that it downloads one by one, straight into the folder that it is
            given; empty where it fetches all files at once, into a folder of its own.
    """

    name: str
    reader: str
    layouts: tuple[str, ...]
    files: tuple[str, ...]
    find: Find = plain_file
    advice: str = ""
    splits: tuple[str, ...] = ()


def locate(source: Source, data_dir: str | None, download: bool) -> list[Path]:
    """The paths of `source.files`, in their order, all from one folder.

    Looks in `data_dir`, then in the system's folder, then in the cache; then torchvision downloads into the cache.

    Raises:
        ConfigError: `data_dir` is not a folder.
        DataError: `data_dir` holds some of the files but not all; the files are nowhere and were not downloaded.
    """
    roots = [SYSTEM_ROOT, cache_root()]
    if data_dir is not None:
        root = Path(data_dir).expanduser()
        if not root.is_dir():
            fix = "Create it, or set data_dir=null to search the system folder and the cache."
            raise bad_value(source.name, "data_dir", data_dir, "a folder that exists", fix)
        roots.insert(0, root)
        _refuse_partial(source, root)
    found = _search(source, roots)
    if found:
        return found
    failure = _download(source) if download else "download=false"
    found = _search(source, [cache_root()])
    if not found:
        raise _not_found(source, roots, failure)
    return found


def _paths(source: Source, folder: Path) -> list[Path | None]:
    return [source.find(folder, name) for name in source.files]


def _folders(source: Source, roots: Sequence[Path]) -> list[Path]:
    return [root / layout for root in roots for layout in source.layouts]


def _search(source: Source, roots: Sequence[Path]) -> list[Path]:
    """All files from the first folder that has all of them; empty where none has."""
    for folder in _folders(source, roots):
        paths = [path for path in _paths(source, folder) if path is not None]
        if len(paths) == len(source.files):
            return paths
    return []


def _refuse_partial(source: Source, root: Path) -> None:
    """Someone who supplies files and misspells one must not get other data without a word."""
    for folder in _folders(source, [root]):
        paths = dict(zip(source.files, _paths(source, folder), strict=True))
        missing = [name for name, path in paths.items() if path is None]
        if 0 < len(missing) < len(source.files):
            raise DataError(
                f"{source.name}: missing files in `data_dir`='{folder}': {', '.join(missing)}. Expected all of: "
                f"{', '.join(source.files)}. Add them, or set data_dir=null."
            )


def _download(source: Source) -> str:
    """Fetch into the cache; returns what went wrong, "" where nothing did."""
    reader: Any = getattr(import_torchvision().datasets, source.reader)
    try:
        cache_root().mkdir(parents=True, exist_ok=True)
        with _socket_timeout(TIMEOUT_S):
            for split in source.splits:
                reader(str(cache_root() / source.layouts[0]), split=split, download=True)
            if not source.splits:
                reader(str(cache_root()), train=False, download=True)
    except (OSError, RuntimeError, AssertionError, EOFError) as error:  # URLError and time-outs are OSErrors
        return f"the download failed: {' '.join(str(error).split()) or type(error).__name__}"
    return ""


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torchvision opens its URLs without a time-out of their own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _not_found(source: Source, roots: Sequence[Path], failure: str) -> DataError:
    searched = ", ".join(str(root) for root in roots)
    return DataError(
        f"{source.name}: no data files ({failure}). Looked below: {searched}. Expected in one folder "
        f"({' or '.join(source.layouts)} below data_dir): {', '.join(source.files)}. "
        f"Put them there and set data_dir=FOLDER, or connect to the network. {source.advice}".rstrip()
    )
