"""Training that stops in the middle and goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from initsuite.engine.checkpoint import Checkpoint
from initsuite.engine.loop import train_stack
from initsuite.engine.manner import Manner
from initsuite.engine.stack import Member
from initsuite.spec import TrialResult


def bits(results: Sequence[TrialResult]) -> np.ndarray:
    """[trial, number]: all that training measures."""
    return np.array([[*r.curve.train_loss, *r.curve.val_loss, *r.curve.val_score, r.test_score] for r in results])


def resumed(stack: Sequence[Member], manner: Manner, folder: Path, *, after: int) -> list[TrialResult]:
    """Train a stack that is interrupted once, after so many evaluations, and ends from its checkpoint."""
    checkpoint, seen = Checkpoint(folder / "stack.pt", 0.0, {"stack_id": "a"}), []

    def stop(evaluation: object) -> None:
        seen.append(evaluation)
        if len(seen) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_stack(stack, manner=manner, on_evaluation=stop, checkpoint=checkpoint)
    return train_stack(stack, manner=manner, checkpoint=checkpoint)
