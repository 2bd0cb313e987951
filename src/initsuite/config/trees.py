"""Nested dictionaries of plain values, as configurations are once they are read: places in them, and new ones from old.

Trees are never changed in place: those of many jobs share their equal parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Tree = dict[str, Any]
Path = tuple[str, ...]
ABSENT = object()
"""What is found where there is nothing."""
REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
"""An interpolation that names another key."""


def get(tree: Any, path: Path) -> Any:
    """The value at a path; `ABSENT` if there is none.

    Example:
        >>> get({"a": {"b": 1}}, ("a", "b")), get({"a": 1}, ("a", "b")) is ABSENT
        (1, True)
    """
    for key in path:
        if not isinstance(tree, dict) or key not in tree:
            return ABSENT
        tree = tree[key]
    return tree


def put(tree: Tree, path: Path, value: Any) -> Tree:
    """The tree with another value at a path; `ABSENT` removes it. Parts off the path are shared.

    Example:
        >>> put({"a": {"b": 1}, "c": 2}, ("a", "b"), 3), put({"a": 1, "c": 2}, ("a",), ABSENT)
        ({'a': {'b': 3}, 'c': 2}, {'c': 2})
    """
    key, rest = path[0], path[1:]
    if rest:
        below = tree.get(key)
        value = put(below if isinstance(below, dict) else {}, rest, value)
    if value is ABSENT:
        return {name: item for name, item in tree.items() if name != key}
    return {**tree, key: value}


def paths(tree: Any, start: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is not a dictionary, and every empty dictionary, with its path.

    Example:
        >>> list(paths({"a": {"b": [1]}, "c": {}}))
        [(('a', 'b'), [1]), (('c',), {})]
    """
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from paths(value, (*start, str(key)))
    else:
        yield start, tree


def overlap(a: Path, b: Path) -> bool:
    """Whether one of two paths is the other or leads to it."""
    shorter = min(len(a), len(b))
    return a[:shorter] == b[:shorter]


def outermost(places: Iterable[Path]) -> list[Path]:
    """The paths that no other one leads to.

    Example:
        >>> outermost([("a", "b"), ("c",), ("a",)])
        [('a',), ('c',)]
    """
    kept: list[Path] = []
    for path in sorted(set(places), key=len):
        if not any(overlap(path, other) for other in kept):
            kept.append(path)
    return sorted(kept)


def is_reference(value: Any) -> bool:
    """Whether a value holds an interpolation (`${...}`), itself or in a list or dictionary."""
    if isinstance(value, list | dict):
        return any(map(is_reference, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and "${" in value


def references(tree: Mapping[str, Any]) -> dict[Path, Any]:
    """The values of a tree that hold interpolations, by their path."""
    return {path: value for path, value in paths(tree) if is_reference(value)}


def followed(value: Any, whole: Mapping[str, Any]) -> Any:
    """A value of a file, or what stands in the whole configuration under the key that it refers to.

    Example:
        >>> followed("${a.b}", {"a": {"b": 1}}), followed("a.b", {})
        (1, 'a.b')
    """
    match = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return get(whole, tuple(match.group(1).split("."))) if match else value
