"""Checkpoints of a stack in training, so that an interrupted one continues where it stopped."""

from __future__ import annotations

import math
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from initsuite.errors import StoreError
from initsuite.files import write_whole

Snapshot = dict[str, Any]
"""A plain tree of tensors on the CPU, numbers and strings."""


@dataclass
class Checkpoint:
    """The checkpoint file of one stack.

    Attributes:
        path: path of the file; its folder is made when the first checkpoint is written.
        every_s: least seconds between two checkpoints, and before the first, from 0.
        identity: what must be equal for the numbers to continue (stack, versions); other checkpoints are ignored.
    """

    path: Path
    every_s: float
    identity: Mapping[str, str]
    _saved_at: float = field(default_factory=time.perf_counter, repr=False)
    _is_refused: bool = field(default=False, repr=False)

    def load(self, layout: Sequence[str]) -> Snapshot | None:
        """The last snapshot of a stack with this layout of tensors; None if there is none.

        A snapshot that cannot be used is None too, with a warning that says why.
        """
        if not self.path.exists():
            return None
        try:
            with zipfile.ZipFile(self.path) as parts:
                damaged = parts.testzip()  # torch.load does not compare checksums
            stored = torch.load(self.path, map_location="cpu", weights_only=True)
            identity, snapshot = stored["identity"], stored["snapshot"]
        except Exception as error:  # zipfile, pickle and torch each have their own errors for damage
            damaged, identity, snapshot = f"{type(error).__name__}: {error}", None, None
        if damaged is not None or identity is None:
            return self._ignored(f"damaged ({damaged})")
        expected = self._identity(layout)
        differing = sorted(key for key in identity.keys() | expected if identity.get(key) != expected.get(key))
        return self._ignored(f"of another {differing[0]}") if differing else snapshot

    def save(self, layout: Sequence[str], snapshot: Callable[[], Snapshot]) -> None:
        """Write a snapshot if it is time for one. A failing disk is reported once, and training goes on.

        Args:
            layout: layout of the tensors of the stack.
            snapshot: makes the snapshot; called only when it is time.
        """
        if time.perf_counter() - self._saved_at < self.every_s:
            return
        stored = {"identity": self._identity(layout), "snapshot": snapshot()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, lambda temporary: torch.save(stored, temporary))
        except (StoreError, OSError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
            if not self._is_refused:
                _warn_of_disk(self.path, "written", error.__cause__ or error)
            self._is_refused = True
        self._saved_at = time.perf_counter()

    def save_now(self, layout: Sequence[str], snapshot: Callable[[], Snapshot]) -> None:
        """Write a snapshot whether it is time or not, for a launch that stops here."""
        self._saved_at = -math.inf
        self.save(layout, snapshot)

    def _identity(self, layout: Sequence[str]) -> dict[str, str]:
        return {**self.identity, "layout": "; ".join(layout)}

    def _ignored(self, what: str) -> None:
        warnings.warn(f"Checkpoint: `{self.path}` is {what}. The stack starts over.", stacklevel=3)


def put_checkpoint(path: Path, content: bytes) -> None:
    """Write a checkpoint that was saved on another machine. A failing disk is reported, and training goes on."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: temporary.write_bytes(content))
    except (StoreError, OSError) as error:
        _warn_of_disk(path, "written", error.__cause__ or error)


def stored_step(path: Path) -> int:
    """The step that a stack with this checkpoint goes on from; 0 where there is none that can be read."""
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["snapshot"]["step"])
    except Exception:  # pickle and torch each have their own errors for damage
        return 0


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint and what killed processes left of it, once the results of its stack are stored."""
    _remove([path, *path.parent.glob(f".{path.name}.*.tmp")])


def remove_checkpoints(folder: Path, is_needed: Callable[[Mapping[str, str]], bool]) -> None:
    """Delete the checkpoints that nobody will read again, damaged ones among them, and files that are half written.

    Args:
        folder: nobody is writing into it.
        is_needed: takes what a checkpoint says that its numbers are of: the `identity` that it was saved with.
    """
    old = [path for path in folder.glob("*.pt") if not is_needed(_stored_identity(path))]
    _remove([*old, *folder.glob(".*.tmp")])


def _stored_identity(path: Path) -> Mapping[str, str]:
    """Nothing if the checkpoint is damaged. Its tensors are not read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["identity"]
    except Exception:  # pickle and torch each have their own errors for damage
        return {}


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _warn_of_disk(path, "removed", error)


def _warn_of_disk(path: Path, what: str, error: BaseException) -> None:
    warnings.warn(f"Checkpoint: `{path}` cannot be {what} ({error}). Training goes on.", stacklevel=3)
