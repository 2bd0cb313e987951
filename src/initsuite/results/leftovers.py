"""What killed commands left of a store: half-written files, probes, pieces of leases. Nobody reads them."""

from __future__ import annotations

import contextlib
from pathlib import Path

FOLDERS = ("trials", "curves", "plans", "claims", "checkpoints")
"""Where commands write under a temporary name."""


def leftovers(directory: Path) -> list[Path]:
    """Files that are removed by the command that makes them, unless that is killed. Leases that are whole are none."""
    half_written = [path for folder in FOLDERS for path in (directory / folder).glob(".*.tmp")]
    pieces = [path for path in (directory / "claims").glob("*") if path.suffix not in (".json", ".tmp")]
    return [*half_written, *pieces, *directory.glob(".writable-*")]


def remove_leftovers(directory: Path) -> None:
    """Remove them from a store of which all leases are held, so that whoever wrote them is gone."""
    for path in leftovers(directory):
        with contextlib.suppress(OSError):  # gone already, or a folder that is read-only here: it stays
            path.unlink()
