"""How fast this machine trains a stack: from the user's cache, or timed now. No composition and no number rests on it.

It is for the time that people are told, and for the choice between threads and processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from initsuite.engine.workload import Workload
from initsuite.errors import StoreError
from initsuite.files import cache_root, read_json, write_whole
from initsuite.spec import short_hash

KEPT_S = 14 * 24 * 3600
"""A timing older than two weeks is repeated: drivers, neighbours and libraries change."""
TOO_SLOW = 2.0
"""A stack that takes this many times as long as its timing promised has the timing forgotten."""


@dataclass(frozen=True)
class Speed:
    """How fast one thread, or a GPU, trains a stack: medians of several short samples, in seconds.

    Attributes:
        step_s: of a step.
        evaluation_s: of an evaluation on the validation split.
        measured_at: Unix time, seconds.
        is_remembered: not measured by this launch.
    """

    step_s: float
    evaluation_s: float
    measured_at: float
    is_remembered: bool = False

    def stack_s(self, workload: Workload) -> float:
        """Seconds that one stack of a workload takes."""
        evaluations = -(-workload.max_steps // workload.eval_every)
        return workload.max_steps * self.step_s + evaluations * self.evaluation_s

    def line(self, width: int) -> str:
        """What was measured, for the user; `width` is that of the stack."""
        each = f"{1e3 * self.step_s / width:.3g} ms per step and trial"
        if not self.is_remembered:
            return f"{each}, measured"
        day = datetime.fromtimestamp(self.measured_at, UTC).date()
        return f"{each}, remembered from {day}: replan=true measures again"


@dataclass
class Speeds:
    """The speeds of stacks on one machine, by what a stack computes (`PlannedGroup.computes`).

    Attributes:
        machine: what else they depend on.
        is_forgetful: start without those that are remembered.
        known: by key, what this launch has measured or recalled.
    """

    machine: str
    is_forgetful: bool = False
    known: dict[str, Speed] = field(default_factory=dict)

    def recall(self, stack: str) -> Speed | None:
        """What this launch or an earlier one measured; None if nothing recent is known."""
        key = self._key(stack)
        if key not in self.known and not self.is_forgetful and (found := _remembered(key)):
            self.known[key] = found
        return self.known.get(key)

    def remember(self, stack: str, step_s: float, evaluation_s: float) -> Speed:
        """Keep a timing of now, for this launch and later ones."""
        key, speed = self._key(stack), Speed(step_s, evaluation_s, time.time())
        self.known[key] = speed
        entry = asdict(speed)
        del entry["is_remembered"]
        _write({**_read(), key: entry})
        return speed

    def forget(self, stack: str) -> None:
        """Have the next launch measure again."""
        key = self._key(stack)
        self.known.pop(key, None)
        _write({name: entry for name, entry in _read().items() if name != key})

    def _key(self, stack: str) -> str:
        return f"{stack}/{self.machine}"


def machine(device: str) -> str:
    """What the speed of a stack depends on, besides itself."""
    gpu = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else ""
    return short_hash([platform.node(), _processor(), os.cpu_count(), gpu, torch.__version__])


def _remembered(key: str) -> Speed | None:
    """What was recently measured on this machine."""
    return _recent(_read().get(key))


def _recent(entry: Any) -> Speed | None:
    """A timing that is not too old; None for anything else, as older versions wrote it."""
    try:
        speed = Speed(**entry, is_remembered=True)
        return speed if time.time() - speed.measured_at < KEPT_S and speed.step_s >= 0 <= speed.evaluation_s else None
    except TypeError:
        return None


def _file() -> Path:
    return cache_root() / "speeds.json"


def _read() -> Mapping[str, Any]:
    entries = read_json(_file())
    return entries if isinstance(entries, dict) else {}


def _write(entries: Mapping[str, Any]) -> None:
    """Keep timings, those that are still recent."""
    path, recent = _file(), {key: entry for key, entry in entries.items() if _recent(entry)}
    with contextlib.suppress(OSError, StoreError):  # a cache that cannot be written is no reason to stop
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: temporary.write_text(json.dumps(recent)))


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor without a name there
        return platform.processor()
