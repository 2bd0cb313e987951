"""Reading idx files, plain or gzipped.

Not torchvision's reader: it takes no gzip, and importing it takes more than a second.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

from initsuite.errors import bad_file

FIX = "Fetch the file again, or delete it to have another folder searched."
UNSIGNED_BYTE = 8
"""Type code in the idx header, for the only type these data sets use."""


def find_idx(folder: Path, stem: str) -> Path | None:
    """The file `stem`, else `stem.gz`, in a folder; None if there is neither."""
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)


def find_packed(folder: Path, stem: str) -> Path | None:
    """The file `stem.gz`, else `stem`, in a folder; None if there is neither."""
    return next((path for path in (folder / f"{stem}.gz", folder / stem) if path.is_file()), None)


def images_of(path: Path, content: bytes) -> Tensor:
    """Images of an idx3 file.

    Args:
        path: where it lies, for messages.
        content: its bytes, unpacked.

    Returns:
        [example, 1, height, width], uint8.

    Raises:
        DataError: a damaged file, or one that is not idx3 of bytes.
    """
    return _read(path, content, num_axes=3).unsqueeze(1)


def labels_of(path: Path, content: bytes) -> Tensor:
    """Labels of an idx1 file; arguments as for `images_of`.

    Returns:
        [example], int64.

    Raises:
        DataError: a damaged file, or one that is not idx1 of bytes.
    """
    return _read(path, content, num_axes=1).long()


def _read(path: Path, content: bytes, num_axes: int) -> Tensor:
    shape = _checked_shape(path, content, num_axes)
    # a bytearray, because torch warns about read-only memory
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=len(content) - math.prod(shape)).view(shape)


def unpacked(path: Path, stored: bytes) -> bytes:
    """The bytes of a file, unpacked where its name ends in .gz.

    Raises:
        DataError: a damaged gzip file.
    """
    try:
        return gzip.decompress(stored) if path.suffix == ".gz" else stored
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise bad_file("idx", path, f"gzip says: {error}", "a complete gzip file", FIX) from error


def _checked_shape(path: Path, content: bytes, num_axes: int) -> list[int]:
    """Header: two zero bytes, the type, the number of axes, then the length of each axis as four big-endian bytes."""
    header = bytes([0, 0, UNSIGNED_BYTE, num_axes])
    if content[:4] != header:
        expected = f"an idx{num_axes} file of bytes, which begins with {header.hex(' ')}"
        raise bad_file("idx", path, f"it begins with {content[:4].hex(' ') or 'nothing'}", expected, FIX)
    start = 4 + 4 * num_axes
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    size = start + math.prod(shape)
    if len(content) != size or math.prod(shape) == 0:
        expected = f"{size} bytes, by its header for {' x '.join(map(str, shape))} values, at least one"
        raise bad_file("idx", path, f"{len(content)} bytes", expected, FIX)
    return shape
