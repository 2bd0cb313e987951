"""Settings for training: how the process gets memory, and what the thread that trains does with small numbers."""

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
    """The context in which training runs. Several Python threads may be in it, each with settings of its own.

    Each computes in one thread: so rounding does not depend on the number of cores, and nobody waits for a core that
    is busy elsewhere.

    Numbers below 1e-38 become 0 (float32; 2e-308 in float64). They arise where a unit is dead: its momentum shrinks
    to the smallest of them and stays there. Measured: they slow an elementwise product down 30 times, a matrix product
    180 times.
    """
    _keep_freed_memory()
    _map_without_warning()
    threads, is_flushed = torch.get_num_threads(), _flushes()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(is_flushed)
        torch.set_num_threads(threads)


def _flushes() -> bool:
    """Whether this thread takes numbers that are almost 0 for 0; torch sets that and does not say it."""
    smallest = sys.float_info.min
    return smallest * 0.5 == 0


@functools.cache
def _map_without_warning() -> None:
    """No warning that `torch.vmap` carries an operation out for one trial after the other: a plan measures what that
    costs, and the warning would come again from each thread."""
    torch._C._functorch._set_vmap_fallback_warning_enabled(False)  # pyright: ignore[reportAttributeAccessIssue]


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
