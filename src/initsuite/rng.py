"""Every draw has a name: the stream of a draw depends on nothing but (seed, purpose, name)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

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
