"""Every draw has a name: the stream of a draw depends on nothing but (seed, purpose, name)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stream_seed(seed: int, purpose: str, name: str = "") -> int:
    """A 63-bit seed from a hash, the same on every machine and Python version."""
    digest = hashlib.blake2b(f"{seed}\0{purpose}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, purpose: str, name: str = "") -> torch.Generator:
    """A fresh CPU generator for one named draw, so that adding or reordering layers moves no other draw.

    torch's CPU generator keeps the low 32 bits of its seed: two of 10,000 streams coincide with probability 1 %.

    Args:
        seed: seed of the trial.
        purpose: what the draw is for: `init`, `data_order`, `split`.
        name: name of what is drawn: a parameter, an epoch.
    """
    import torch

    return torch.Generator().manual_seed(stream_seed(seed, purpose, name))


@contextmanager
def isolated(seed: int, purpose: str, name: str = "") -> Iterator[None]:
    """The global streams of Python, numpy and torch (CPU) start from a named seed; afterwards they are as before.

    For code of users, which draws from them whatever generator it is given.
    """
    import torch

    start = stream_seed(seed, purpose, name)
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(start)
        random.seed(start)
        np.random.seed(start % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002


@contextmanager
def float32_on_cpu() -> Iterator[None]:
    """New tensors are float32 on the CPU, whatever `torch.set_default_dtype` and `torch.set_default_device` say."""
    import torch

    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        if torch.get_default_device().type != "cpu":  # a device context slows every call of torch down
            stack.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
