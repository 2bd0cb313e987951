"""How fast this machine trains a workload: from earlier plans, from the user's cache, or timed now."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from initsuite.engine.workload import Cell
from initsuite.errors import StoreError
from initsuite.files import cache_root, read_json, write_whole
from initsuite.spec import short_hash
from initsuite.train.plan.composition import Group
from initsuite.train.plan.placement import WORKER_START_S, WORTH, Limits, Speed, choose
from initsuite.train.workers import Pools, Workers

KEPT_S = 14 * 24 * 3600
"""A measurement older than two weeks is repeated: drivers, neighbours and libraries change."""
GROWTH = 2
"""Speeds measured for this many times fewer trials are measured again: wider stacks or more processes may pay now."""
WIDTHS = {"cpu": (1, 4, 16, 32, 64, 128), "cuda": (1, 16, 64, 256, 512, 1024)}
"""Widths that are timed, by device. Wider ones gain nothing and store their results later."""
MIN_STEPS, MAX_STEPS, LONG_ENOUGH_S = 3, 20, 0.2
"""Steps that time a width: short ones are repeated for 0.2 s, so that one hiccup of the machine does not decide."""
MEASURING_SHARE = 0.02
"""What measuring may cost, as a share of the time that the trials would take one at a time."""
WORSE = 1.1
"""A width whose time per trial is this much above the best ends the search."""
WORKERS_PAY_FROM_S = 20 * WORKER_START_S
"""Work that takes longer than this in one process, in seconds, is worth starting workers to time them: 5 % at most."""


@dataclass
class Speeds:
    """The speeds of workloads on one machine, under what the user pins.

    Attributes:
        pools: where stacks are timed.
        pins: the machine and what the user pins; part of every key.
        planned: by key, as plain values: the speeds behind earlier plans, then those behind the next one.
    """

    pools: Pools
    pins: str
    planned: dict[str, Any] = field(default_factory=dict)

    def recall(self, group: Group, num_trials: int = 0) -> tuple[Speed, ...] | None:
        """What earlier plans knew, so that a rerun chooses as the first run did, else what the cache remembers.

        None if neither knows it, or if it was measured for many fewer than `num_trials` trials.
        """
        key = self._key(group)
        for entry in (self.planned.get(key, {}), _cached(key)):
            speeds = _speeds_in(entry, num_trials)
            if speeds is not None:
                self.planned[key] = {name: entry[name] for name in ("num_trials", "speeds")}
                return speeds
        return None

    def measure(self, group: Group, cell: Cell, limits: Limits) -> tuple[Speed, ...]:
        """Time stacks of a cell whose initializer works, and remember the speeds of its group.

        Empty where there is too little work to compare anything.
        """
        speeds = tuple(self._time(group, cell, limits))
        self.remember(group, speeds)
        return speeds

    def remember(self, group: Group, speeds: Sequence[Speed]) -> None:
        """Keep speeds for the next plan, and for later launches."""
        key, path = self._key(group), _file()
        known = {"num_trials": len(group.pairs), "speeds": [asdict(speed) for speed in speeds]}
        self.planned[key] = known
        if not speeds:
            return
        entries = {**_read(path), key: {"measured_at": time.time(), **known}}
        with contextlib.suppress(OSError, StoreError):  # a cache that cannot be written is no reason to stop
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda temporary: temporary.write_text(json.dumps(entries)))

    def _key(self, group: Group) -> str:
        return f"{group.key}/{self.pins}"

    def _time(self, group: Group, cell: Cell, limits: Limits) -> list[Speed]:
        """Time widths with all threads, the best of them with one, and with worker processes where these may pay."""
        executor, (workers, threads) = self.pools.here.executor, limits.place
        member = executor.member(cell)
        widths = widths_for(limits.device, len(group.pairs), limits.max_width)
        num_steps = len(group.pairs) * group.num_steps
        seconds = measure(lambda width, steps: executor.step_s(member, width, steps, threads), widths, num_steps)
        if len(seconds) < min(2, len(widths)):
            return []  # too little work: nothing was compared
        speeds = [Speed(width, workers, threads, step_s) for width, step_s in seconds.items()]
        if limits.workers is None and limits.device == "cpu" and threads > 1:
            best = min(seconds, key=lambda width: seconds[width] / width)
            single = [Speed(width, 1, 1, executor.step_s(member, width, 3, 1)) for width in sorted({1, best})]
            speeds += single
            speeds += self._time_workers(group, cell, limits, speeds, single)
        return speeds

    def _time_workers(
        self, group: Group, cell: Cell, limits: Limits, speeds: Sequence[Speed], single: Sequence[Speed]
    ) -> list[Speed]:
        """Time worker processes of one thread each, if they could save more than they cost."""
        hoped = [replace(speed, workers=limits.threads) for speed in single]
        here_s, there_s = (choose(known, group, limits).seconds for known in (speeds, hoped))
        if here_s < max(WORKERS_PAY_FROM_S, WORTH * there_s):
            return []
        pool = self.pools.get(limits.threads)
        if isinstance(pool, Workers):
            with contextlib.suppress(ChildProcessError):  # too wide for the memory of several processes
                return [replace(speed, step_s=pool.step_s(cell, speed.width, 3, 1)) for speed in hoped]
        return []


def measure(step_s: Callable[[int, int], float], widths: Sequence[int], num_steps: int) -> dict[int, float]:
    """Time widths in this process, narrow ones first, until wider ones stop gaining or the time for measuring is spent.

    Args:
        step_s: (width, steps to take) -> seconds per step.
        widths: rising, from 1.
        num_steps: those of all trials together.

    Returns:
        Seconds per step, by width.
    """
    first_s = step_s(widths[0], MIN_STEPS)
    seconds = {widths[0]: first_s}
    left_s = MEASURING_SHARE * first_s * num_steps - MIN_STEPS * first_s
    for last, width in pairwise(widths):
        each_s = seconds[last] / last
        steps = int(min(MAX_STEPS, left_s / (each_s * width), max(MIN_STEPS, LONG_ENOUGH_S / (each_s * width))))
        if steps < MIN_STEPS or each_s > WORSE * min(step_s / width for width, step_s in seconds.items()):
            break
        seconds[width] = step_s(width, steps)
        left_s -= steps * seconds[width]
    return seconds


def widths_for(device: str, num_trials: int, max_width: int) -> list[int]:
    """The widths worth timing for this many trials."""
    top = min(num_trials, max_width, WIDTHS[device][-1])
    return [*(width for width in WIDTHS[device] if width < top), top]


def machine(device: str, threads: int) -> str:
    """What the speed of a workload depends on, besides the workload itself and the threads of a stack."""
    gpu = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else ""
    return short_hash([platform.node(), _processor(), os.cpu_count(), threads, gpu, torch.__version__])


def _speeds_in(entry: Any, num_trials: int) -> tuple[Speed, ...] | None:
    """Speeds from plain values; None if they were measured for many fewer trials, or by an older version."""
    try:
        is_enough = num_trials <= GROWTH * int(entry["num_trials"])
        return tuple(Speed(**speed) for speed in entry["speeds"]) if is_enough else None
    except (KeyError, TypeError, ValueError):
        return None


def _cached(key: str) -> Any:
    """What was recently measured on this machine."""
    entry = _read(_file()).get(key)
    is_fresh = isinstance(entry, dict) and time.time() - entry.get("measured_at", 0) < KEPT_S
    return entry if is_fresh else None


def _file() -> Path:
    return cache_root() / "speeds.json"


def _read(path: Path) -> Mapping[str, Any]:
    entries = read_json(path)
    return entries if isinstance(entries, dict) else {}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor without a name there
        return platform.processor()
