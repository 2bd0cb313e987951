"""Distinct names: where two cells or contexts share a label, the options in which they differ are added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def distinct_labels(labels: Sequence[str], configs: Sequence[Any], ids: Sequence[str]) -> list[str]:
    """Labels made unique by the differing entries of their configurations, and by an id where they do not differ.

    Args:
        labels: [thing].
        configs: [thing], trees of plain values.
        ids: [thing], unique.

    Example:
        >>> distinct_labels(["he", "he", "zero"], [{"gain": 1}, {"gain": 2}, {}], ["a", "b", "c"])
        ['he (gain=1)', 'he (gain=2)', 'zero']
    """
    flat = [dict(_flatten(config)) for config in configs]
    named = list(labels)
    for label in _repeated(labels):
        members = [index for index, other in enumerate(labels) if other == label]
        keys = sorted({key for index in members for key in flat[index]})
        differing = [key for key in keys if len({repr(flat[index].get(key)) for index in members}) > 1]
        for index in members:
            options = ", ".join(f"{key.rsplit('.', 1)[-1]}={flat[index].get(key)}" for key in differing)
            named[index] = f"{label} ({options or ids[index][:6]})"
    clashing = _repeated(named)
    return [f"{label} {ids[index][:6]}" if label in clashing else label for index, label in enumerate(named)]


def _repeated(labels: Sequence[str]) -> set[str]:
    return {label for label, count in Counter(labels).items() if count > 1}


def _flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, Mapping):
        if prefix:
            yield prefix, tree
        return
    for key, value in tree.items():
        yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
