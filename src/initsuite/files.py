"""Files that are written whole or not at all, and the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from initsuite.errors import StoreError


def cache_root() -> Path:
    """`initsuite` in $XDG_CACHE_HOME, which is ~/.cache unless set (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "initsuite"


def folder_for(root: Path, *names: str) -> Path:
    """A folder below `root` for names that come from elsewhere, a server for example.

    Raises:
        StoreError: a name that would lead out of the folder, or is none.
    """
    for name in names:
        if name in ("", ".", "..") or not name.isprintable() or {"/", "\\", ":"}.intersection(name):
            raise StoreError(
                f"store: bad `name`={name!r} of a folder in {root}. Expected a name without separators. "
                "It was not chosen here: ask whoever runs the server it comes from."
            )
    return root.joinpath(*names)


def write_whole(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name and rename it: whatever kills the process, a file of this name is whole.

    Args:
        target: path of the file; its folder is made if missing, the folders above are not.
        write: writes to the given temporary path, `.NAME.*.tmp` in the same folder.

    Raises:
        StoreError: no room, no permission, no disk. What was there before is still there.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    with writing("store", target):
        try:
            target.parent.mkdir(exist_ok=True)
            write(temporary)
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def own_place(path: Path, inside: Path) -> Path:
    """A path to write to, below a folder that others can write into: links that they planted are not followed.

    A link in place of the file goes, what it leads to stays.

    Raises:
        StoreError: as in `own_folder`.
    """
    own_folder(path.parent, inside)
    if path.is_symlink():
        path.unlink()
    return path


def own_folder(folder: Path, inside: Path) -> Path:
    """A folder to write into, itself or on its way no link that leads out of `inside`.

    Raises:
        StoreError: it is one.
    """
    if not folder.resolve().is_relative_to(inside.resolve()):
        raise StoreError(
            f"store: cannot write into `{folder}`: it is, or lies in, a link that leads out, to {folder.resolve()}. "
            f"Expected a folder below {inside}. Remove the link, or choose another folder."
        )
    return folder


@contextlib.contextmanager
def writing(where: str, path: Path) -> Iterator[None]:
    """Explain why a file cannot be written: a `StoreError` instead of an `OSError`."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{where}: cannot write `{path}`: {error.strerror or error}. "
            "Expected room and permission. What was stored is intact: fix the disk and run the command again."
        ) from error


class _Log(io.RawIOBase):
    """An open file that drops what its disk has no room for."""

    def __init__(self, number: int) -> None:
        self._number = number

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def write(self, data: Any, /) -> int:
        try:
            return os.write(self._number, data)
        except OSError:
            return len(data)


def lasting(stream: TextIO) -> TextIO:
    """A stream like this one that drops lines while the disk of its file is full: no log ends what it reports on.

    Terminals and pipes are returned as they are.
    """
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # a stream without a file
        return stream
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty():
        return stream
    file = io.BufferedWriter(_Log(stream.fileno()))
    return io.TextIOWrapper(file, stream.encoding, stream.errors, line_buffering=True)


def sealed(content: Any) -> str:
    """Content as JSON with a hash of it, so that whatever changes the file is noticed: `read_sealed`."""
    return _compact({"content": content, "sha256": _seal(content)})


def read_sealed(path: Path) -> Any:
    """What a sealed file holds; a file that was written before there were seals is taken as it is.

    Raises:
        ValueError: it is not what was written.
        OSError: it cannot be read.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not found.keys() & {"content", "sha256"}:
        return found
    if found.keys() != {"content", "sha256"} or found["sha256"] != _seal(found["content"]):
        raise ValueError("its content is not what was written")
    return found["content"]


def _seal(content: Any) -> str:
    return hashlib.sha256(_compact(content).encode()).hexdigest()


def _compact(content: Any) -> str:
    """JSON without a character that means nothing."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def read_json(path: Path) -> Any:
    """What a JSON file holds; None if it is missing or unreadable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
