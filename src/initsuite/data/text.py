"""Text, character by character: predict the next character from those before."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from initsuite.data.base import Dataset, Split
from initsuite.data.published import given_path
from initsuite.errors import bad_file, bad_value, check_number, check_whole_number

NAME = "text"
HELD_OUT = 0.1
"""The usual share of the text in the validation split, and in the test split."""


def text(*, path: str | None = None, length: int = 64, held_out: float = HELD_OUT) -> Dataset:
    """Windows of a text that do not overlap, and the same windows one character later.

    The start of the text is trained on, then come validation and test: whole pieces, so that no held-out window lies
    between two that were trained on. The vocabulary is every character in the text, in Unicode order. The
    text that comes with Python differs a little from version to version; the hash of what was read is part of the ids
    of the trials.

    Args:
        path: path of a file in UTF-8; None for the documentation topics of Python's standard library, about 0.7 million
            characters of English.
        length: characters in a window, from 1.
        held_out: share of the text in the validation split, and in the test split, above 0, below 0.5.

    Returns:
        Inputs and targets [example, time], int64 indices into the vocabulary.

    Raises:
        ConfigError: an option out of its range.
        DataError: a file that cannot be read as UTF-8, or is too short for a window in each split.
    """
    check_whole_number(NAME, "length", length)
    check_number(NAME, "held_out", held_out, above=0)
    if held_out >= 0.5:
        raise bad_value(NAME, "held_out", held_out, "a share below 0.5, as two splits of this size are held out")
    content = _topics() if path is None else _file(given_path(NAME, "path", path))
    characters = np.frombuffer(content.encode("utf-32-le"), dtype="<u4")
    vocabulary, indices = np.unique(characters, return_inverse=True)
    num_held_out = int(held_out * len(indices))
    if num_held_out <= length or len(vocabulary) < 2:
        expected = f"two different ones at least, and more than {length / held_out:.0f} in all"
        fix = "Use a longer text, or a smaller dataset.length."
        raise bad_file(NAME, path or "pydoc_data.topics", f"{len(indices)} characters", expected, fix)
    tokens = torch.from_numpy(indices.astype(np.int64).ravel())
    parts = tokens.split([len(tokens) - 2 * num_held_out, num_held_out, num_held_out])
    fingerprint = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    return Dataset(*(_windows(part, length) for part in parts), num_outputs=len(vocabulary), fingerprint=fingerprint)


text.added_options = {"held_out": HELD_OUT}  # type: ignore[attr-defined]


def _windows(tokens: Tensor, length: int) -> Split:
    """Whole windows only; the rest of the text is not used."""
    num_windows = (len(tokens) - 1) // length
    inputs, targets = (
        tokens[start : start + num_windows * length].view(num_windows, length).clone() for start in (0, 1)
    )
    return Split(inputs, targets)


def _topics() -> str:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise bad_file(NAME, path, str(error), "a text in UTF-8", "Set dataset.path=FILE.") from error
