"""Stored plans: how trials were packed, so that a rerun packs them the same way and gets the same bits.

<dir>/plans/*.json    what one launch decided before it trained: its stacks, and what it said about them
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from initsuite.files import write_whole
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
        write_whole(self.directory / name, lambda path: path.write_text(json.dumps(plan)))

    def read(self) -> list[Stack]:
        """All stacks, those of the newest plan first. A plan that is damaged, or of another version, is skipped."""
        stacks: dict[Stack, None] = {}
        for path in sorted(self.directory.glob("*.json"), reverse=True):
            try:
                plan = json.loads(path.read_text())
                found = [Stack(**{**stack, "trial_ids": tuple(stack["trial_ids"])}) for stack in plan["stacks"]]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if plan.get("protocol_version") == PROTOCOL_VERSION:
                stacks |= dict.fromkeys(found)
        return list(stacks)


def still_valid(stacks: Iterable[Stack], missing: Iterable[str], device: str, max_stack: int | None) -> list[Stack]:
    """Stored stacks that can be trained as they were planned.

    All of their trials are missing, each in one stack only, and what the user pins (`max_stack`) holds.
    """
    left, valid = set(missing), []
    for stack in stacks:
        is_narrow = max_stack is None or len(stack.trial_ids) <= max_stack
        if is_narrow and stack.device == device and left.issuperset(stack.trial_ids):
            left -= set(stack.trial_ids)
            valid.append(stack)
    return valid
