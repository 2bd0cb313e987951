"""What killed commands left of a store: half-written files, probes, pieces of leases. Nobody reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

FOLDERS = ("trials", "curves", "plans", "claims", "checkpoints")
"""Where commands write under a temporary name."""


def leftovers(directory: Path) -> list[Path]:
    """Files that are removed by the command that makes them, unless that is killed. Leases that are whole are none."""
    half_written = [path for folder in FOLDERS for path in (directory / folder).glob(".*.tmp")]
    pieces = [path for path in (directory / "claims").glob("*") if path.suffix not in (".json", ".tmp")]
    return [*half_written, *pieces, *directory.glob(".writable-*")]


def remove_leftovers(found: Iterable[Path]) -> None:
    """Remove what was found while all leases of the store were held, so that whoever wrote it is gone."""
    for path in found:
        with contextlib.suppress(OSError):  # gone already, or a folder that is read-only here: it stays
            path.unlink()
