"""Imports that wait until the first line has been said."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def late_imports() -> Iterator[None]:
    """Import torch and what needs it, without the garbage collector, which would only walk through it.

    What is imported is no garbage, not even at exit, and stays out of the collector's sight from then on.
    """
    is_first = "torch" not in sys.modules
    gc.disable()
    try:
        yield
    finally:
        if is_first:
            gc.freeze()
        gc.enable()
