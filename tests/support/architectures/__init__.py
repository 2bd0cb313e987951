"""The architectures of the contract, by name: each a model built from configuration, with inputs.

In the folder tests, `python -m support.architectures [part of a name ...]` prints how each of them fares.
"""

from __future__ import annotations

from importlib import import_module

from support.truth import Architecture

GROUPS = ("by_hand", "from_torchvision", "from_timm", "from_transformers", "from_geometric")


def architectures(group: str) -> dict[str, Architecture]:
    """Those of one group, whose library is imported only here: that takes seconds."""
    return getattr(import_module(f"support.architectures.{group}"), group.upper())
