"""The memory of this machine: how fast it trained a workload, kept in the user's cache folder between launches."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from initsuite.engine.planner import Speed
from initsuite.spec import short_hash

KEPT_S = 14 * 24 * 3600
"""A measurement older than two weeks is made again: drivers, neighbours and libraries change."""


def recall(workload: str, device: str, threads: int) -> list[dict[str, float]]:
    """Speeds of a workload on this machine, as plain values; none where it was not measured lately.

    Args:
        workload: a key of it.
        device: cpu or cuda:N.
        threads: of the whole launch.
    """
    entry = _read(_file()).get(f"{_machine(device, threads)}/{workload}")
    return entry["speeds"] if entry and time.time() - entry["measured_at"] < KEPT_S else []


def remember(workload: str, device: str, threads: int, speeds: Sequence[Speed]) -> None:
    """Keep speeds for later launches. A cache that cannot be written is no reason to stop."""
    path = _file()
    entry = {"measured_at": time.time(), "speeds": [asdict(speed) for speed in speeds]}
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({**_read(path), f"{_machine(device, threads)}/{workload}": entry}))
        os.replace(temporary, path)


def _file() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "initsuite" / "speeds.json"


def _read(path: Path) -> Mapping[str, dict]:
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _machine(device: str, threads: int) -> str:
    """What the speed of a workload depends on, but for the workload."""
    gpu = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else ""
    return short_hash([platform.node(), _processor(), os.cpu_count(), threads, gpu, torch.__version__])


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor that has no name there
        return platform.processor()
