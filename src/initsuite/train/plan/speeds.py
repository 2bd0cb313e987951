"""The memory of this machine: how fast it trained a workload, kept in the user's cache folder between launches."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from initsuite.errors import StoreError
from initsuite.files import cache_root, read_json, write_whole
from initsuite.spec import short_hash
from initsuite.train.plan.widths import Speed

KEPT_S = 14 * 24 * 3600
"""A measurement older than two weeks is made again: drivers, neighbours and libraries change."""
GROWTH = 2
"""Speeds measured for so many times fewer trials are measured again: wider stacks, or more processes, may pay now."""


@dataclass(frozen=True)
class Measured:
    """What was timed, and for how many trials: few trials are not worth the timing of wide stacks."""

    num_trials: int
    speeds: tuple[Speed, ...]

    def is_enough(self, num_trials: int) -> bool:
        return num_trials <= GROWTH * self.num_trials

    def plain(self) -> dict[str, Any]:
        return {"num_trials": self.num_trials, "speeds": [asdict(speed) for speed in self.speeds]}


def measured(plain: Any) -> Measured | None:
    """From plain values; None if they are of another kind, of an older version for example."""
    try:
        return Measured(int(plain["num_trials"]), tuple(Speed(**speed) for speed in plain["speeds"]))
    except (KeyError, TypeError, ValueError):
        return None


@functools.cache
def machine(device: str, threads: int) -> str:
    """What the speed of a workload depends on, but for the workload.

    Args:
        device: cpu or cuda:N.
        threads: of the whole launch.
    """
    gpu = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else ""
    return short_hash([platform.node(), _processor(), os.cpu_count(), threads, gpu, torch.__version__])


def recall(key: str) -> Measured | None:
    """What was measured on this machine lately; None if nothing was.

    Args:
        key: names the workload, the machine and what the user pinned.
    """
    entry = _read(_file()).get(key)
    if not isinstance(entry, dict) or not time.time() - entry.get("measured_at", 0) < KEPT_S:
        return None
    return measured(entry)


def remember(key: str, known: Measured) -> None:
    """Keep speeds for later launches. A cache that cannot be written is no reason to stop."""
    path = _file()
    entry = {"measured_at": time.time(), **known.plain()}
    with contextlib.suppress(OSError, StoreError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: temporary.write_text(json.dumps({**_read(path), key: entry})))


def _file() -> Path:
    return cache_root() / "speeds.json"


def _read(path: Path) -> Mapping[str, Any]:
    entries = read_json(path)
    return entries if isinstance(entries, dict) else {}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor that has no name there
        return platform.processor()
