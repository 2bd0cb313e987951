"""Settings of the process that trains: how it gets memory, and how it treats numbers that are almost 0."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Names of glibc's <malloc.h>."""


@contextmanager
def for_training() -> Iterator[None]:
    """The context in which training runs.

    Numbers below 1e-38 become 0 (float32; 2e-308 in float64). They arise where a unit is dead: its momentum shrinks
    to the smallest of them and stays there. Measured: they slow an elementwise product down 30 times, a matrix product
    180 times.
    """
    _keep_freed_memory()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@functools.cache
def _keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next step.

    Otherwise each large tensor is fresh memory from the system, zeroed page by page when first written, and returned
    at the end of the step. Another C library is left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
        mallopt(TOP_PAD, 64 << 20)


def _start_threads() -> None:
    """Start torch's threads while small numbers are flushed: a thread inherits the setting of the one that starts it.

    If torch has computed in parallel before this module is imported, its threads stay unflushed: slower, with the same
    numbers down to 1e-38.
    """
    torch.set_flush_denormal(True)
    torch.ones(1 << 20).add_(1)
    torch.set_flush_denormal(False)


_start_threads()
