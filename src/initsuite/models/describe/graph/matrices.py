"""The matrices that a stored tensor holds, and where they lie in it, read off the operations that use it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from initsuite.models.describe.graph.contractions import Contraction, operation, shape_of
from initsuite.models.describe.graph.operations import VALUE_KEEPING, copies
from initsuite.models.describe.graph.recording import Recording
from initsuite.spec import Axis, Block

SAMPLES = 64
"""Entries of a matrix at which its place in the tensor is checked."""
Values = Mapping[fx.Node, Tensor]
"""Values of parameters by their placeholders."""
ABSENT = -1
"""The number of an entry that belongs to another tensor."""


@dataclass(frozen=True)
class Matrix:
    """One matrix that a contraction multiplies by, [output, input, tap...].

    Attributes:
        block: where it lies.
        fan_in: inputs that one output sums over, taps included.
        fan_out: outputs that one input feeds, taps included.
    """

    block: Block

    @property
    def fan_in(self) -> int:
        return size(self.block.inputs) * self.taps

    @property
    def fan_out(self) -> int:
        return size(self.block.outputs) * self.taps

    @property
    def taps(self) -> int:
        return math.prod(size(axis) for axis in self.block.kernel)


def size(axis: Axis) -> int:
    return math.prod(length for length, _ in axis)


class NotMoved(Exception):
    """The weight is more than entries of the tensor in other places; says what is done to it."""


@dataclass(frozen=True)
class Entries:
    """Where the entries of a parameter are in an operand.

    Attributes:
        places: the number of the entry at each place of the operand; `ABSENT` for those of other tensors.
        factor: what they are multiplied by.
        lengths: the parameter that says the length of each row, where only the direction of the rows counts.
    """

    places: Tensor
    factor: float = 1.0
    lengths: str = ""


def entries(recording: Recording, name: str, end: fx.Node, values: Values) -> Entries:
    """Follow the entries of a parameter to an operand that is computed from it.

    On the way the tensor may be moved, multiplied by a number, added to what is 0 at the values that the model has
    (a low-rank adapter at its start), and given the length of its rows by another parameter.

    Args:
        recording: the forward pass.
        name: of the parameter.
        end: the operand.
        values: the value of each parameter that has one.

    Raises:
        NotMoved: the model does something else to the tensor.
    """
    start = recording.placeholder(name)
    shape = shape_of(start)
    numbers = torch.arange(math.prod(shape)).reshape(shape)
    found: dict[fx.Node, Tensor] = {start: numbers}
    factors: dict[fx.Node, float] = {start: 1.0}
    lengths, wanted = "", recording.ancestors[end]
    for node in recording.nodes[: recording.index[end] + 1]:
        sources = [each for each in node.all_input_nodes if each in found]
        if not sources or node in found or not wanted >> recording.index[node] & 1:
            continue
        factor = _factor(recording, node, found)
        factors[node] = factors[sources[0]] * (factor or 1.0)
        if factor is not None or _adds_nothing(recording, node, sources, values):
            found[node] = found[sources[0]]
        elif copies(node):
            found[node] = _moved(node, found)
        else:
            directed = None if lengths else _given_length(recording, start, end)
            if directed is None:
                raise NotMoved(f"`{operation(node)}` changes it before it is used")
            made, lengths = directed
            found, factors = {made: numbers}, {made: 1.0}
    if end not in found:
        raise NotMoved("it is changed before it is used")
    return Entries(found[end], factors[end], lengths)


def _adds_nothing(recording: Recording, node: fx.Node, sources: Sequence[fx.Node], values: Values) -> bool:
    """Whether an operation adds something that is 0 at the values that the model has."""
    if operation(node) not in ("add", "sub") or len(sources) != 1 or shape_of(node) != shape_of(sources[0]):
        return False
    others = [each for each in node.all_input_nodes if each not in sources]
    if len(others) != 1 or node.args[0] is not sources[0]:
        return False
    added = evaluated(recording, others[0], values)
    return added is not None and not bool(added.any())


def _given_length(recording: Recording, start: fx.Node, end: fx.Node) -> tuple[fx.Node, str] | None:
    """The node that holds a parameter with rows of a given length, and the parameter that gives it.

    A tensor v is only a direction where w = g v / |v|: with g = |v| the model uses v itself, whatever v is.
    """
    shape = shape_of(start)
    direction = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for length, name in recording.parameters.items():
        sizes = shape_of(length)
        is_between = recording.ancestors[end] >> recording.index[length] & 1 and length is not start
        if (
            not is_between
            or len(sizes) != len(shape)
            or any(size not in (1, all_) for size, all_ in zip(sizes, shape, strict=True))
        ):
            continue
        values = {start: direction, length: lengths_of(direction, sizes)}
        for node in recording.nodes[recording.index[length] : recording.index[end] + 1]:
            if not recording.ancestors[end] >> recording.index[node] & 1 or shape_of(node) != shape or node is start:
                continue
            made = evaluated(recording, node, values)
            depends = recording.ancestors[node] >> recording.index[length] & 1
            if depends and made is not None and torch.allclose(made, direction, atol=1e-5):
                return node, name
    return None


def lengths_of(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    """The length of each row of a tensor, in a tensor of these sizes, which are 1 along the rows."""
    axes = [axis for axis, size in enumerate(sizes) if size == 1]
    return tensor.square().sum(axes, keepdim=True).sqrt() if axes else tensor.abs()


def evaluated(recording: Recording, end: fx.Node, values: Values) -> Tensor | None:
    """The value of a node that is computed from parameters and constants; None where one has no value."""
    found: dict[fx.Node, Any] = dict(values)
    for node in recording.nodes[: recording.index[end] + 1]:
        if node in found or not recording.ancestors[end] >> recording.index[node] & 1:
            continue
        known = recording.value(node)
        if known is not None:
            found[node] = known
            continue
        if node.op != "call_function" or any(each not in found for each in node.all_input_nodes):
            continue
        args, kwargs = map_arg((node.args, node.kwargs), found.__getitem__)
        found[node] = run_move(node, args, kwargs) if copies(node) else node.target(*args, **kwargs)  # type: ignore[operator]
    return found.get(end)


def _factor(recording: Recording, node: fx.Node, found: Mapping[fx.Node, Any]) -> float | None:
    """The number by which an operation multiplies all entries; None if it does something else."""
    if operation(node) not in ("mul", "div") or len(node.args) != 2:
        return None
    numbers = [each for each in node.args if not (isinstance(each, fx.Node) and each in found)]
    if len(numbers) != 1 or (operation(node) == "div" and numbers[0] is node.args[0]):
        return None
    number = recording.number(numbers[0])
    return None if not number else 1 / number if operation(node) == "div" else number


def _moved(node: fx.Node, found: Mapping[fx.Node, Tensor]) -> Tensor:
    """What an operation that moves entries returns; entries of other tensors are marked as absent."""

    def value(each: fx.Node) -> Any:
        if each in found:
            return found[each]
        meta = each.meta.get("val")
        return torch.full(meta.shape, ABSENT) if isinstance(meta, Tensor) else meta

    return run_move(node, map_arg(node.args, value), map_arg(node.kwargs, value))


def run_move(node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Carry out an operation that moves entries, on numbers of entries: of any dtype, and in any memory format."""
    name = operation(node)
    if name in VALUE_KEEPING:
        return args[0]
    if name in ("view", "_unsafe_view", "reshape"):
        return args[0].reshape(args[1])
    return node.target(*args, **kwargs)  # type: ignore[operator]


def matrices(use: Contraction, places: Tensor) -> list[Tensor]:
    """The matrices [output, input, tap...] that a contraction multiplies by, each as numbers of entries.

    Args:
        use: the contraction.
        places: the numbers of the entries at each place of its weight.
    """
    name = operation(use.node)
    if name in ("convolution", "_convolution"):
        is_transposed, groups = use.node.args[6], use.node.args[8]
        parts = places.chunk(int(groups))  # type: ignore[arg-type]
        return [part.transpose(0, 1) if is_transposed else part for part in parts]
    if name == "sum":
        return _of_weighted_sum(use, places)
    if name in ("bmm", "baddbmm", "addbmm", "_grouped_mm"):
        if places.stride(0) == 0:  # one matrix, repeated for each member of the batch
            places = places[:1]
        return list(places.transpose(1, 2) if use.is_second else places)
    if places.ndim == 1:
        return [places[None]]
    return [places.T if use.is_second and name != "linear" else places]


def _of_weighted_sum(use: Contraction, places: Tensor) -> list[Tensor]:
    """A product with a weight that is summed over some axes: one row for each place along the others."""
    (product,) = use.node.all_input_nodes
    ndim = product.meta["val"].ndim
    places = places.reshape([1] * (ndim - places.ndim) + list(places.shape))
    axes = [axis % ndim for axis in use.node.args[1]]  # type: ignore[union-attr, operator]
    kept = [axis for axis in range(ndim) if axis not in axes]
    rows = places.permute(*kept, *axes).reshape(math.prod(places.shape[axis] for axis in kept), -1)
    return [row[None] for row in rows]


def placed(matrix: Tensor) -> Block | None:
    """Where a matrix [output, input, tap...] of entry numbers lies; None if its axes cannot be told from each other."""
    origin = int(matrix[(0,) * matrix.ndim])
    axes = []
    for axis in range(matrix.ndim):
        line = matrix[(0,) * axis + (slice(None),) + (0,) * (matrix.ndim - axis - 1)] - origin
        found = steps(line.tolist())
        if found is None:
            return None
        axes.append(found)
    block = Block(axes[0], axes[1], tuple(axes[2:]), origin)
    generator = torch.Generator().manual_seed(0)
    sample = [torch.randint(length, (SAMPLES,), generator=generator) for length in matrix.shape]
    lines = [matrix[(0,) * axis + (slice(None),) + (0,) * (matrix.ndim - axis - 1)] for axis in range(matrix.ndim)]
    expected = torch.stack([line[each] - origin for line, each in zip(lines, sample, strict=True)]).sum(0) + origin
    return block if torch.equal(matrix[tuple(sample)], expected) and origin != ABSENT else None


def steps(line: Sequence[int]) -> Axis | None:
    """Entry numbers along an axis, from 0, as (size, stride) pairs; None if they are in no such order."""
    if len(line) == 1:
        return ((1, 1),)
    stride = line[1]
    run = next((place for place, number in enumerate(line) if number != place * stride), len(line))
    if not stride or len(line) % run:
        return None
    if run == len(line):
        return ((run, stride),)
    outer = steps(line[::run])
    inner = line[:run]
    is_repeated = all(
        line[first + place] - line[first] == inner[place] for first in range(0, len(line), run) for place in range(run)
    )
    return (*outer, (run, stride)) if outer and is_repeated else None
