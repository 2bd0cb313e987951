"""Neighbours: processes that keep the cores busy while something is timed.

python -m benchmark.neighbours        one of them; it ends when its standard input does
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import psutil

from benchmark.launches import Place
from benchmark.machine import num_cores
from benchmark.timing import Arm, Timing
from initsuite.errors import InitsuiteError

IS_BUSY = "busy"
"""What a neighbour writes once it computes."""


@contextmanager
def neighbours(count: int, environment: Mapping[str, str]) -> Iterator[Callable[[], float]]:
    """Busy processes, ended on leaving, however that happens; they end too when this process is killed.

    Yields:
        A function that returns the processor time that all of them have had so far, seconds.

    Raises:
        InitsuiteError: one that does not start, or that ends before it is told to.
    """
    processes: list[subprocess.Popen[str]] = []

    def processor_s() -> float:
        for process in processes:
            if (code := process.poll()) is not None:
                raise InitsuiteError(
                    f"benchmark: a busy neighbour has ended `code`={code}. Expected one process per core that computes "
                    "until the timing ends. Was it killed? Start the row again."
                )
        times = [psutil.Process(process.pid).cpu_times() for process in processes]
        return sum(each.user + each.system for each in times)

    try:
        for _ in range(count):
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmark.neighbours"],
                    env=dict(environment),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
        for process in processes:
            assert process.stdout
            if process.stdout.readline().strip() != IS_BUSY:
                process.wait()  # its output has ended, and so will it
        processor_s()
        yield processor_s
        processor_s()
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()


def beside_neighbours(arm: Arm, place: Place) -> Arm:
    """An arm with one busy neighbour per core."""

    def run() -> Timing:
        with neighbours(num_cores(), place.environment()) as processor_s:
            before_s = processor_s()
            timing = arm.run()
            share = (processor_s() - before_s) / (timing.seconds * num_cores())
        return replace(timing, note=f"the neighbours had {share:.0%} of the cores")

    return Arm(f"{arm.label}, beside {num_cores()} busy processes", run)


def compute() -> None:
    """Compute on one core without a pause: Python and matrix products, a few milliseconds of each in turn."""
    import torch

    def end_with_input() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_input, daemon=True).start()
    torch.set_num_threads(1)
    left, right, out = torch.rand(3, 512, 512)
    print(IS_BUSY, flush=True)
    while True:
        sum(range(200_000))
        torch.mm(left, right, out=out)


if __name__ == "__main__":
    compute()
