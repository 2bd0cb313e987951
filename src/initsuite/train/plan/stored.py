"""Stored plans: how trials were packed, so that a rerun packs them the same way and gets the same bits.

<dir>/plans/*.json    what one launch decided before it trained: its stacks, and what it said about them
"""

from __future__ import annotations

import contextlib
import os
import uuid
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from initsuite.files import read_sealed, sealed, write_whole
from initsuite.spec import PROTOCOL_VERSION
from initsuite.train.task import Stack


class Plans:
    """The plans of a results folder, newest last."""

    def __init__(self, results_dir: Path) -> None:
        self.directory = results_dir / "plans"

    def save(self, stacks: Sequence[Stack], notes: Sequence[str] = ()) -> None:
        """Store a plan before it is carried out.

        Args:
            notes: why stacks are narrower than their workload asks for.

        Raises:
            StoreError: it cannot be written.
        """
        content = [asdict(stack) for stack in stacks]
        plan = {"protocol_version": PROTOCOL_VERSION, "stacks": content, "notes": list(notes)}
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}.json"
        write_whole(self.directory / name, lambda path: path.write_text(sealed(plan)))

    def read(self) -> list[Stack]:
        """All stacks, those of the newest plan first. A plan of another version is skipped, a damaged one put away."""
        stacks: dict[Stack, None] = {}
        for path in sorted(self.directory.glob("*.json"), reverse=True):
            try:
                plan = read_sealed(path)
                if plan["protocol_version"] == PROTOCOL_VERSION:
                    stacks |= dict.fromkeys(map(_stack, plan["stacks"]))
            except OSError:
                continue
            except (ValueError, KeyError, TypeError) as error:
                self._put_away(path, error)
        return list(stacks)

    def _put_away(self, path: Path, error: Exception) -> None:
        place = self.directory.parent / "quarantine" / f"plans-{path.name}"
        with contextlib.suppress(OSError):  # a folder that is read-only here: it stays
            place.parent.mkdir(exist_ok=True)
            os.replace(path, place)
        warnings.warn(f"plans: damaged plan `{path}` is left out: {error}. Its trials are packed again.", stacklevel=3)


def _stack(found: Any) -> Stack:
    """A stack as it was stored.

    Raises:
        KeyError, TypeError: it is none.
    """
    trial_ids, device = found["trial_ids"], found["device"]
    is_stack = isinstance(trial_ids, list) and all(isinstance(one, str) for one in trial_ids) and trial_ids
    if not is_stack or not isinstance(device, str):
        raise TypeError("a stack without ids of trials, or without a device")
    return Stack(tuple(trial_ids), device)


def still_valid(stacks: Iterable[Stack], missing: Iterable[str], device: str, widest: int | None) -> list[Stack]:
    """Stored stacks that can be trained as they were planned.

    All of their trials are missing, each in one stack only, and none is wider than the user asks for or memory allows.
    """
    left, valid = set(missing), []
    for stack in stacks:
        is_narrow = widest is None or len(stack.trial_ids) <= widest
        if is_narrow and stack.device == device and left.issuperset(stack.trial_ids):
            left -= set(stack.trial_ids)
            valid.append(stack)
    return valid
