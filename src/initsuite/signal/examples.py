"""Where in a tensor the examples of a batch are, followed through a recorded forward pass by shapes alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, fx

from initsuite.models.describe.graph.contractions import operation, shape_of
from initsuite.models.describe.graph.recording import Recording

MERGING = ("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "_reshape_alias", "flatten", "unflatten")
"""Operations that keep the order of all entries and change the axes."""
TURNING = ("permute", "transpose", "t", "movedim")
DROPPING = ("select", "unbind", "mean", "sum", "amax", "amin", "max", "min", "var", "std", "argmax")
"""Operations that may take an axis away."""


@dataclass(frozen=True)
class Place:
    """Entry i of an axis belongs to example (i // inner) % batch.

    Attributes:
        axis: the axis, from 0.
        inner: how many entries in a row belong to one example: above 1 where other axes were merged behind it.
    """

    axis: int
    inner: int = 1


def places_of(recording: Recording, batch: int) -> dict[fx.Node, Place]:
    """For each node in which examples can be told from each other, where they are."""
    found: dict[fx.Node, Place] = {}
    for node in recording.nodes:
        if node in recording.inputs:
            if shape_of(node)[:1] == (batch,):
                found[node] = Place(0)
        elif place := _behind(node, found, batch):
            found[node] = place
    return found


def _behind(node: fx.Node, found: Mapping[fx.Node, Place], batch: int) -> Place | None:
    sources = [each for each in node.all_input_nodes if each in found]
    if not sources:
        return None
    source = max(sources, key=lambda each: (len(_shape(each)), math.prod(_shape(each))))
    before, after, place, name = _shape(source), _shape(node), found[source], operation(node)
    if name in MERGING:
        return _merged(before, after, place, batch)
    if name in TURNING and (turned := _turned(node, name, len(before))):
        place = Place(turned.index(place.axis), place.inner)
    elif name in DROPPING and len(after) < len(before):
        axes = _axes(node, len(before))
        if place.axis in axes:
            return None
        place = Place(place.axis - sum(axis < place.axis for axis in axes), place.inner)
    elif name == "getitem" and not after:
        return place  # several tensors: each has the place of the first
    elif len(after) > len(before):
        place = Place(place.axis + len(after) - len(before), place.inner)
    is_kept = place.axis < len(after) and after[place.axis] % (batch * place.inner) == 0
    return place if is_kept else None


def _shape(node: fx.Node) -> tuple[int, ...]:
    """The shape of the first tensor that a node returns."""
    value = node.meta.get("val")
    value = value[0] if isinstance(value, tuple | list) and value else value
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _merged(before: Sequence[int], after: Sequence[int], place: Place, batch: int) -> Place | None:
    """The order of entries stays: an example changes every `period` of them."""
    period = place.inner * math.prod(before[place.axis + 1 :])
    for axis, size in enumerate(after):
        stride = math.prod(after[axis + 1 :])
        if period % stride == 0 and stride * size >= period * batch and size > 1:
            return Place(axis, period // stride)
    return None if batch > 1 else Place(0)


def _turned(node: fx.Node, name: str, ndim: int) -> list[int]:
    """The former axis of each axis."""
    axes = list(range(ndim))
    if name == "t":
        return axes[::-1]
    if name == "permute":
        return [axis % ndim for axis in node.args[1]]  # type: ignore[union-attr, operator]
    if name == "transpose":
        first, second = (int(axis) % ndim for axis in node.args[1:3])  # type: ignore[arg-type]
        axes[first], axes[second] = axes[second], axes[first]
        return axes
    return []


def _axes(node: fx.Node, ndim: int) -> list[int]:
    given = node.args[1] if len(node.args) > 1 else 0
    return [axis % ndim for axis in (given if isinstance(given, list | tuple) else [given])]  # type: ignore[operator]


def by_example(values: Tensor, place: Place | None, batch: int, units: int) -> Tensor | None:
    """[example, place, unit]; None where examples or units cannot be told from each other.

    Args:
        values: what a layer puts out.
        place: where its examples are.
        batch: how many there are.
        units: the axis of the units; negative ones count from the end.
    """
    units %= values.ndim
    if place is None or units == place.axis or values.shape[place.axis] % (batch * place.inner):
        return None
    moved = values.movedim((place.axis, units), (0, -1))
    split = moved.reshape(-1, batch, place.inner, math.prod(moved.shape[1:-1]), moved.shape[-1])
    return split.transpose(0, 1).reshape(batch, -1, moved.shape[-1])
