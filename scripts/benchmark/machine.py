"""The machine a benchmark ran on, and how fast it multiplies matrices."""

from __future__ import annotations

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from benchmark.timing import Timing
from initsuite.provenance import provenance

SGEMM_SIZE = 2048
"""Rows and columns: 48 MB for the three matrices, larger than most caches, and a fifth of a second on one core."""


def machine() -> dict[str, Any]:
    """CPU model, cores, threads, library versions, commit, and the GPU if there is one."""
    return {
        "cpu": _cpu_model(),
        "cores": num_cores(),
        "python": platform.python_version(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        **provenance(),
    }


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Others:
    """What other processes take of the cores, from now on: a ratio that was measured beside them is not to be trusted.

    Programs that this process has started count as others until they have ended.
    """

    def __init__(self) -> None:
        self._begin = self._times()

    def share(self) -> float:
        """Processor time of all processes but this one and its ended children, over that of all cores, 0 to 1."""
        busy_s, own_s, cores_s = (now - then for now, then in zip(self._times(), self._begin, strict=True))
        return min(1.0, max(0.0, busy_s - own_s) / max(cores_s, 0.01))

    @staticmethod
    def _times() -> tuple[float, float, float]:
        """Busy seconds of all cores, those of this process and its children, and all seconds of all cores."""
        cores = psutil.cpu_times()
        whole_s = sum(cores) - getattr(cores, "guest", 0.0) - getattr(cores, "guest_nice", 0.0)  # counted in user, too
        return whole_s - cores.idle - getattr(cores, "iowait", 0.0), sum(os.times()[:4]), whole_s


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def sgemm(num_products: int = 4) -> Timing:
    """Products of two square float32 matrices, on each core its own, side by side as stacks are trained; the amount is
    in GFLOP of all cores together, 2 n^3 per product."""

    def multiply(matrices: Tensor, count: int) -> None:
        torch.set_num_threads(1)  # of this Python thread
        for _ in range(count):
            torch.mm(matrices[0], matrices[1], out=matrices[2])

    cores = range(num_cores())
    matrices = [torch.randn(3, SGEMM_SIZE, SGEMM_SIZE) for _ in cores]
    with ThreadPoolExecutor(len(cores)) as pool:
        for count in (1, num_products):  # the first product makes the threads
            begin = time.perf_counter()
            for _ in pool.map(multiply, matrices, [count] * len(cores)):
                pass
        seconds = time.perf_counter() - begin
    amount = len(cores) * num_products * 2 * SGEMM_SIZE**3 / 1e9
    return Timing(seconds, amount, gflop=amount)
