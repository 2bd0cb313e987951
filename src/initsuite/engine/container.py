"""Memory that a container, or a job of a cluster, leaves to this process: Linux control groups, versions 1 and 2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

_LIMITS = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By version: the files of limit and use, and what of the use is a cache that the system drops when it needs room."""
_ROOT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def container_free(root: Path = _ROOT, own: Path = _OWN) -> float:
    """Bytes that this process may still take before it, or another one of its group, is killed; infinity without limit.

    Each group above counts as well: the least is left.

    References:
        Linux kernel documentation, Control Group v2, "Memory Interface Files"; Control Groups v1, "Memory Resource
        Controller".
    """
    return min((_left(folder, version) for folder, version in _groups(root, own)), default=math.inf)


def _groups(root: Path, own: Path) -> Iterator[tuple[Path, int]]:
    """The folders of the groups that this process is in, with their version, innermost first."""
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):  # another system
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top, version = root, 2
        elif "memory" in controllers.split(","):
            top, version = root / "memory", 1
        else:
            continue
        folder = top / path.lstrip("/")
        yield from ((one, version) for one in (folder, *folder.parents) if one.is_relative_to(top))


def _left(folder: Path, version: int) -> float:
    limit, use, cache = _LIMITS[version]
    try:
        most = int((folder / limit).read_text())
        cached = dict(line.split(" ", 1) for line in (folder / "memory.stat").read_text().splitlines()).get(cache, 0)
        return max(0.0, most - int((folder / use).read_text()) + int(cached))
    except (OSError, ValueError):  # no limit ("max"), or a group whose files are elsewhere
        return math.inf
