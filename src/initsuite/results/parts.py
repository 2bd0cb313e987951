"""The parts of a results store: Parquet files that never change, with a hash of their bytes in their names.

    trials/<time>-<random>.<hash of the curves>.<hash of the trials>.parquet, and curves/ under the same name

Whatever changes a bit of a part is noticed: its trials are missing then, and are trained again. Parts of older versions
have no hash, but the checksums of their pages.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import uuid
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from initsuite.errors import StoreError
from initsuite.files import write_whole
from initsuite.results.columns import FORMER_NAMES, KINDS

_DIGITS = 16
"""Hexadecimal, of SHA-256: 64 bits."""
_HASHES = re.compile(rf"((?:\.[0-9a-f]{{{_DIGITS}}})+)\.parquet$")
MOST_LOOKS = 100
"""How often a reader lists a store that changes under its hands."""


def new_name() -> str:
    """A name for parts that no others have; names sort by the time of writing."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"


def write_parts(directory: Path, name: str, contents: Mapping[str, pa.Table | bytes]) -> str:
    """Write the parts of one name, curves before trials.

    Args:
        contents: by kind, a table, or the bytes of a part.

    Returns:
        The name of their files.

    Raises:
        StoreError: they cannot be written.
    """
    written = {kind: _as_bytes(contents[kind]) for kind in KINDS if kind in contents}
    full = ".".join([name, *map(_hash, written.values()), "parquet"])
    for kind, content in written.items():
        write_whole(directory / kind / full, lambda path, content=content: path.write_bytes(content))
    return full


def parts_in(directory: Path) -> list[Path]:
    """All parts of a store, trials first, the oldest of each kind first."""
    return [part for kind in ("trials", "curves") for part in sorted((directory / kind).glob("*.parquet"))]


def checked_table(part: Path) -> pa.Table:
    """What a part holds, as it was written.

    Raises:
        pa.ArrowException: it is not what was written.
        OSError: it cannot be read.
    """
    content = part.read_bytes()
    hashes = _HASHES.search(part.name)
    if hashes and _hash(content) not in hashes[1].split("."):
        raise pa.ArrowInvalid("its content is not that of its name")
    with pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True) as file:
        return file.read(use_threads=False)  # a part is small, its threads are not


def refuse_disk(where: str, part: Path, error: Exception) -> None:
    """Pass over an error that comes from damaged content.

    Raises:
        StoreError: it comes from the disk or the permissions, and the part may be whole.
    """
    if getattr(error, "errno", None):
        raise StoreError(f"{where}: cannot read `{part}`: {error}. Fix the disk and try again.") from error


class PartReader:
    """Reads each part of a store once, and puts damaged ones away.

    Args:
        kept: what is kept of a table of this kind.

    Attributes:
        damaged: parts that could not be read, where they are now.
    """

    def __init__(self, directory: Path, kept: Callable[[str, pa.Table], pa.Table] = lambda kind, table: table) -> None:
        self.directory, self.kept = directory, kept
        self.damaged: list[Path] = []
        self._tables: dict[Path, pa.Table | None] = {}  # None of a damaged one

    def together(self) -> dict[Path, pa.Table]:
        """All good parts as they stood together at one moment.

        A prune puts parts away after it has written new ones with what they held: the store is looked at again until
        nothing has come or gone.

        Raises:
            StoreError: it changes all the time, or cannot be read.
        """
        for _ in range(MOST_LOOKS):
            listed = parts_in(self.directory)
            tables = {part: self.get(part) for part in listed}
            still = [part for part in listed if part in self._tables and not self._is_away(part)]
            if parts_in(self.directory) == still:
                return {part: table for part, table in tables.items() if table is not None}
        raise StoreError(
            f"store: `{self.directory}` changes faster than it can be read. Expected a store with a few writers. "
            "Read it again when they have ended."
        )

    def get(self, part: Path) -> pa.Table | None:
        """A part, read and checked whole; None if it is damaged, or has gone in the meantime."""
        if part not in self._tables:
            try:
                kind = part.parent.name
                self._tables[part] = self.kept(kind, _with_columns_of(KINDS[kind], checked_table(part)))
            except FileNotFoundError:
                if self._is_away(part):  # another reader was faster
                    self.damaged.append(self._quarantine(part))
                return None
            except (pa.ArrowException, OSError) as error:
                refuse_disk("store", part, error)
                self._tables[part] = None
                self._put_away(part, error)
        return self._tables[part]

    def _quarantine(self, part: Path) -> Path:
        return self.directory / "quarantine" / f"{part.parent.name}-{part.name}"

    def _is_away(self, part: Path) -> bool:
        return not part.exists() and self._quarantine(part).exists()

    def _put_away(self, part: Path, error: Exception) -> None:
        place = self._quarantine(part)
        try:
            place.parent.mkdir(exist_ok=True)
            os.replace(part, place)
        except OSError:  # a store that is read-only here: leave the part where it is
            place = part
        self.damaged.append(place)
        text = f"store: damaged part `{place}` is left out: {error}. Its trials will be run again."
        warnings.warn(text, stacklevel=5)


def _with_columns_of(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """A table with the columns of a schema: missing values in those it lacks, accuracy where it names no metric.

    Raises:
        pa.ArrowException: it lacks one and has another of an unknown name, which no version has written.
    """
    if table.schema.equals(schema):
        return table
    table = table.rename_columns([FORMER_NAMES.get(name, name) for name in table.column_names])
    lacking = [name for name in schema.names if name not in table.column_names]
    unknown = sorted(set(table.column_names) - set(schema.names))
    if lacking and unknown:
        raise pa.ArrowInvalid(f"it has no column {lacking[0]}, but {unknown[0]!r}")
    for name in lacking:
        value = pa.scalar("accuracy" if name == "metric" else None, schema.field(name).type)
        table = table.append_column(name, pa.repeat(value, len(table)))
    return table.select(schema.names).cast(schema)


def _as_bytes(content: pa.Table | bytes) -> bytes:
    if isinstance(content, bytes):
        return content
    sink = io.BytesIO()
    pq.write_table(content, sink, write_page_checksum=True)
    return sink.getvalue()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
