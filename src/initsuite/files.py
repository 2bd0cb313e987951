"""Files that are written whole or not at all, and the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
