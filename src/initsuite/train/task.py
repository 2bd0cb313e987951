"""What the parts of a launch pass to each other: a trial with its cell, a stack, and a stack ready to be trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from initsuite.engine.manner import STACKED, Manner
from initsuite.engine.workload import Cell
from initsuite.provenance import code_state
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
        manner: how its trials are computed.
    """

    stack: Stack
    trials: tuple[Trial, ...]
    lease: str = ""
    manner: Manner = STACKED

    def part(self, trials: Sequence[Trial]) -> Task:
        ids = tuple(trial.trial_id for trial in trials)
        return replace(self, stack=replace(self.stack, trial_ids=ids), trials=tuple(trials))


Done = Callable[[Task], None]
"""Called with each task, after the last of its parts: its lease can go."""


def checkpoint_path(directory: Path, stack_id: str) -> Path:
    return directory / f"{stack_id}.pt"


def identity_of(stack: Stack) -> dict[str, str]:
    """What must be equal for a stack to continue from a checkpoint."""
    return {
        "stack_id": stack.stack_id,
        "trial_ids": " ".join(stack.trial_ids),
        "protocol_version": str(PROTOCOL_VERSION),
        "torch_version": str(torch.__version__),
        "code": code_state(),
    }


def can_continue(identity: Mapping[str, str], stored: Collection[str]) -> bool:
    """Whether a stack with such a checkpoint may be trained again: as long as none of its trials is stored.

    Args:
        identity: of the checkpoint.
        stored: ids of trials.
    """
    version, trial_ids = int(identity.get("protocol_version", 0)), identity.get("trial_ids", "").split()
    return version > PROTOCOL_VERSION or (version == PROTOCOL_VERSION and set(trial_ids).isdisjoint(stored))


def failure(trial: Trial, error: str, stack_size: int, device: str) -> TrialResult:
    """The result of a trial that raised; `error` is the traceback."""
    nothing = Curve(np.array([], dtype=int), *(np.array([]) for _ in range(3)))
    nan = math.nan
    return TrialResult(trial, Status.FAILED, nothing, nan, None, nan, nan, stack_size, device, error)
