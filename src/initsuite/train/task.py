"""What the parts of a launch pass to each other: a trial with its cell, a stack, and a stack ready to be trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from initsuite.engine.workload import Cell
from initsuite.spec import PROTOCOL_VERSION, Curve, Status, Trial, TrialResult, short_hash

Pair = tuple[Cell, Trial]


@dataclass(frozen=True)
class Stack:
    """Trials to be trained together.

    Attributes:
        trial_ids: in the order of the stack.
        device: cpu or cuda.
    """

    trial_ids: tuple[str, ...]
    device: str

    @property
    def stack_id(self) -> str:
        """What the bits of its results depend on, on one kind of machine; every stack has one thread."""
        return short_hash([self.trial_ids, self.device, PROTOCOL_VERSION])


@dataclass(frozen=True)
class Task:
    """A stack with its trials, ready to be trained.

    Attributes:
        lease: the name of the lease that the launch holds on it, or on the task that it is a part of.
    """

    stack: Stack
    trials: tuple[Trial, ...]
    lease: str = ""

    def part(self, trials: Sequence[Trial]) -> Task:
        ids = tuple(trial.trial_id for trial in trials)
        return Task(replace(self.stack, trial_ids=ids), tuple(trials), self.lease)


def checkpoint_path(directory: Path, stack_id: str) -> Path:
    return directory / f"{stack_id}.pt"


def failure(trial: Trial, error: str, stack_size: int, device: str) -> TrialResult:
    """The result of a trial that raised; `error` is the traceback."""
    nothing = Curve(np.array([], dtype=int), *(np.array([]) for _ in range(3)))
    nan = math.nan
    return TrialResult(trial, Status.FAILED, nothing, nan, None, nan, nan, stack_size, device, error)
