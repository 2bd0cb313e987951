"""Which tests are slow is measured: `PYTHONPATH=tests python -m pytest -n 0 -p support.times` writes
tests/slow.txt again.

Run it on an idle machine, with OMP_NUM_THREADS=1. A test function is slow if a test of it takes more than `LIMIT` on
average, of processor time, with that of the programs it starts. What was not run keeps its place.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

LIMIT = 0.1
"""Seconds. With the tests above it, the fast suite would take more than two minutes on two cores."""
FILE = Path(__file__).parents[1] / "slow.txt"

_taken: dict[str, list[float]] = defaultdict(list)


def slow_functions() -> set[str]:
    """The functions of the file, as pytest names them, without parameters."""
    return set(FILE.read_text(encoding="utf-8").split())


def function_of(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = sum(os.times()[:4])
    found = yield
    _taken[function_of(item)].append(sum(os.times()[:4]) - before)
    return found


def pytest_sessionfinish() -> None:
    slow = {name for name, times in _taken.items() if sum(times) > LIMIT * len(times)}
    kept = {name for name in slow_functions() - _taken.keys() if (FILE.parents[1] / name.partition("::")[0]).is_file()}
    FILE.write_text("".join(f"{name}\n" for name in sorted(slow | kept)), encoding="utf-8")
