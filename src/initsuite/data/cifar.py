"""Reading the batch files of CIFAR-10 and CIFAR-100: pickles of numpy arrays, opened without running anything else."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initsuite.errors import bad_file

SHAPE = (3, 32, 32)
ALLOWED = {"_reconstruct", "scalar", "ndarray", "dtype", "encode", "_frombuffer"}
"""What numpy arrays and Python 2 byte strings are rebuilt from."""


@dataclass(frozen=True)
class Batch:
    """How the batch files of the two data sets differ.

    Attributes:
        name: name of the data set.
        labels: key of the class indices.
        num_classes: number of classes.
        archive: the published file that holds the batches.
    """

    name: str
    labels: str
    num_classes: int
    archive: str

    @property
    def fix(self) -> str:
        return f"Fetch {self.archive} again and unpack it."


CIFAR10_BATCH = Batch("cifar10", "labels", 10, "cifar-10-python.tar.gz")
CIFAR100_BATCH = Batch("cifar100", "fine_labels", 100, "cifar-100-python.tar.gz")


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays, strings, lists and dicts; refuses every other global."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name.split(".")[0] not in {"numpy", "_codecs"} or global_name not in ALLOWED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not part of an array")
        return super().find_class(module_name, global_name)


def batch_of(path: Path, stored: bytes, kind: Batch = CIFAR10_BATCH) -> tuple[Tensor, Tensor]:
    """Images and labels of one batch file.

    Args:
        path: where it lies, for messages.
        stored: its bytes.
        kind: of which of the two data sets.

    Returns:
        [example, 3, 32, 32] uint8 and [example] int64.

    Raises:
        DataError: a damaged file, or one that is not a batch of this kind.
    """
    content = _content(path, stored, kind)
    data, labels = (content.get("data"), content.get(kind.labels)) if isinstance(content, dict) else (None, None)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3072,) or len(data) == 0:
        got = f"`data` is {getattr(data, 'shape', type(data).__name__)} of {getattr(data, 'dtype', 'no array')}"
        raise bad_file(kind.name, path, got, "`data` [example, 3072] of uint8, at least one example", kind.fix)
    if not isinstance(labels, list) or len(labels) != len(data) or not all(isinstance(label, int) for label in labels):
        got = f"`{kind.labels}` is {type(labels).__name__} of {len(labels) if isinstance(labels, list) else 'no list'}"
        raise bad_file(kind.name, path, got, f"`{kind.labels}`, a list of {len(data)} class indices", kind.fix)
    return torch.from_numpy(data.copy()).view(-1, *SHAPE), torch.tensor(labels, dtype=torch.int64)


def _content(path: Path, stored: bytes, kind: Batch) -> Any:
    try:
        return _ArrayUnpickler(io.BytesIO(stored), encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise bad_file(kind.name, path, f"unpickling says: {error}", "a pickled batch of CIFAR", kind.fix) from error
