"""The facts about each parameter that a recorded forward pass shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, fx, nn

from initsuite import rng
from initsuite.models.describe.graph.contractions import Contraction, operation, shape_of
from initsuite.models.describe.graph.matrices import ABSENT, Matrix, NotMoved, entries, matrices, placed, size, steps
from initsuite.models.describe.graph.recording import Recording
from initsuite.models.describe.graph.roles import Consumption, Roles
from initsuite.models.describe.graph.splits import Part, parts
from initsuite.models.describe.layers import Facts
from initsuite.spec import Axis, Block, Role

NOT_USED = "the recorded forward pass does not use it"
PLAIN = ("t", "clone", "_to_copy", "detach", "alias")
MOST_BLOCKS = 4096
"""More independent matrices than that are not looked for in one tensor."""


@dataclass(frozen=True)
class Piece:
    """One matrix of a weight, and where its outputs are in the recorded pass.

    Attributes:
        start: the node that holds its outputs: the contraction's, or a part of it.
        use: the contraction.
    """

    start: fx.Node
    use: Contraction


@dataclass
class Reading:
    """What a recorded pass shows.

    Attributes:
        recording: the pass.
        roles: what consumes each parameter.
        facts: by the name of the parameter; `parts` are empty.
        pieces: of each weight, one for each of its blocks.
        weight_of: the weight whose layer each bias belongs to.
        kept: why a parameter keeps its value, by its name.
        lengths: parameters that say the length of the rows of another one, whose direction alone counts, by name.
        values: of the parameters, by their placeholders; those that have one.
        norm_nodes: names of the scales and shifts of norms by the operations that use them.
        multiplied_at: where each multiplier meets the signal.
    """

    recording: Recording
    roles: Roles
    facts: dict[str, Facts] = field(default_factory=dict)
    pieces: dict[str, Sequence[Piece]] = field(default_factory=dict)
    weight_of: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, str] = field(default_factory=dict)
    values: dict[fx.Node, Tensor] = field(default_factory=dict, repr=False)
    norm_nodes: dict[fx.Node, list[str]] = field(default_factory=dict)
    multiplied_at: dict[str, fx.Node] = field(default_factory=dict)


@rng.float32_on_cpu()
def read(recording: Recording, model: nn.Module) -> Reading:
    """Read the facts about the parameters of a model off its recorded forward pass."""
    reading = Reading(recording, Roles(recording))
    for node, name in recording.parameters.items():
        if not (parameter := model.get_parameter(name)).is_meta:
            reading.values[node] = parameter.detach().cpu()
    users = {node: list(node.users) for node in recording.nodes}
    for name, parameter in model.named_parameters():
        if not reading.roles.is_used(name):
            reading.kept[name] = NOT_USED
        elif not parameter.is_complex():
            _read_one(reading, model, name, users)
    for name, direction in reading.lengths.items():
        if direction in reading.facts and name not in reading.facts:
            reading.kept[name] = f"it is the length of the rows of `{direction}`"
    return reading


def _read_one(reading: Reading, model: nn.Module, name: str, users: Mapping[fx.Node, Sequence[fx.Node]]) -> None:
    uses = reading.roles.uses_of.get(name, ())
    if uses:
        try:
            _read_weight(reading, name, uses, users)
        except NotMoved as error:
            reading.kept[name] = str(error)
        return
    consumed, unknown = reading.roles.consumptions(name)
    roles = {each.role for each in consumed}
    if unknown or len(roles) != 1:
        reading.kept[name] = f"its use in `{unknown}` is not known" if unknown else "it is used in several ways"
        return
    _read_other(reading, model, name, consumed[0])


def _read_weight(
    reading: Reading, name: str, uses: Sequence[Contraction], users: Mapping[fx.Node, Sequence[fx.Node]]
) -> None:
    products = [use for use in uses if not use.is_look_up]
    if not products:
        _read_table(reading, name, uses[0])
        return
    blocks: dict[Block, Piece] = {}
    taken: set[int] = set()
    factor, shape = 1.0, tuple(_shape(reading, name))
    for use in products:
        found = _plain(reading, name, use) or _traced(reading, name, use)
        factor = found[1]
        for matrix in found[0]:
            if matrix.block.offset in taken:
                continue  # the same entries in another contraction: the first use counts
            taken.add(matrix.block.offset)
            for block, start in _split(reading, use, matrix, users):
                blocks[block] = Piece(start, use)
    if sum(size(block.outputs) * Matrix(block).fan_in for block in blocks) != _count(shape):
        raise NotMoved("the recorded forward pass uses a part of it")
    reading.facts[name] = _as_facts(shape, list(blocks), factor)
    reading.pieces[name] = list(blocks.values())


def _shape(reading: Reading, name: str) -> tuple[int, ...]:
    return shape_of(reading.recording.placeholder(name))


def _count(shape: Sequence[int]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total


def _read_table(reading: Reading, name: str, use: Contraction) -> None:
    """A look-up sums over one row."""
    features = shape_of(use.weight)[-1]
    reading.facts[name] = Facts(Role.EMBEDDING, 1, features)
    reading.pieces[name] = [Piece(use.node, use)]


def _plain(reading: Reading, name: str, use: Contraction) -> tuple[list[Matrix], float] | None:
    """The matrices of a weight that is used as it is stored, as most are: found without a look at its entries."""
    node, operation_name = use.weight, operation(use.node)
    transpositions = 0
    while node not in reading.recording.parameters:
        if operation(node) not in PLAIN or len(node.all_input_nodes) != 1:
            return None
        transpositions += operation(node) == "t"
        (node,) = node.all_input_nodes
    shape = shape_of(node)
    if operation_name in ("convolution", "_convolution") and not transpositions:
        is_transposed, groups = bool(use.node.args[6]), int(use.node.args[8])  # type: ignore[arg-type]
        return [Matrix(block) for block in _of_kernel(shape, is_transposed, groups)], 1.0
    if operation_name in ("mm", "addmm") and len(shape) == 2 and transpositions == use.is_second:
        return [Matrix(Block(((shape[0], shape[1]),), ((shape[1], 1),)))], 1.0
    return None


def _of_kernel(shape: Sequence[int], is_transposed: bool, groups: int) -> list[Block]:
    strides = [_count(shape[axis + 1 :]) for axis in range(len(shape))]
    rows = shape[0] // groups
    first, second = ((rows, strides[0]),), ((shape[1], strides[1]),)
    outputs, inputs = (second, first) if is_transposed else (first, second)
    kernel: tuple[Axis, ...] = tuple(((length, stride),) for length, stride in zip(shape[2:], strides[2:], strict=True))
    return [Block(outputs, inputs, kernel, group * rows * strides[0]) for group in range(groups)]


def _traced(reading: Reading, name: str, use: Contraction) -> tuple[list[Matrix], float]:
    """The matrices of a weight that the model moves before it multiplies by it."""
    where = entries(reading.recording, name, use.weight, reading.values)
    if where.lengths:
        reading.lengths[where.lengths] = name
    found = []
    for matrix in matrices(use, where.places):
        own = _present(matrix)
        block = placed(own) if own.numel() else None
        if block is None:
            raise NotMoved("it is used in an order that is not known")
        found.append(Matrix(block))
    if len(found) > MOST_BLOCKS:
        raise NotMoved(f"it holds {len(found):,} matrices")
    return found, where.factor


def _present(matrix: Tensor) -> Tensor:
    """The rows and columns of a matrix of entry numbers that belong to this tensor, where it is one of several."""
    if matrix.numel() and int(matrix.min()) > ABSENT:
        return matrix
    for axis in range(matrix.ndim):
        others = [each for each in range(matrix.ndim) if each != axis]
        matrix = matrix.index_select(axis, (matrix >= 0).any(dim=others).nonzero().flatten()) if others else matrix
    return matrix


def _split(
    reading: Reading, use: Contraction, matrix: Matrix, users: Mapping[fx.Node, Sequence[fx.Node]]
) -> list[tuple[Block, fx.Node]]:
    """The parts of a matrix whose outputs go different ways."""
    is_grouped = operation(use.node) in ("convolution", "_convolution") and use.node.args[8] != 1
    found: Sequence[Part] = () if is_grouped else parts(reading.roles, use, users)
    if len(found) < 2 or size(matrix.block.outputs) != sum(len(part.channels) for part in found):
        return [(matrix.block, use.node)]
    rows = _line(matrix.block.outputs)
    split = []
    for part in found:
        places = [rows[channel] for channel in part.channels]
        axis = _axis(places)
        if axis is None:
            return [(matrix.block, use.node)]
        split.append((replace(matrix.block, outputs=axis, offset=matrix.block.offset + places[0]), part.start))
    return split


def _line(axis: Axis) -> list[int]:
    """The entry numbers along an axis, from 0."""
    line = [0]
    for length, stride in axis:
        line = [before + place * stride for before in line for place in range(length)]
    return line


def _axis(places: Sequence[int]) -> Axis | None:
    return steps([place - places[0] for place in places])


def _as_facts(shape: tuple[int, ...], blocks: list[Block], factor: float) -> Facts:
    """The facts about a weight that holds these matrices; a layout only where they are not blocks of rows."""
    first = Matrix(blocks[0])
    facts = Facts(Role.WEIGHT, first.fan_in, first.fan_out, factor=factor)
    ordered = sorted(blocks, key=lambda block: block.offset)
    for is_transposed in (False, True):
        rows = [size(block.inputs if is_transposed else block.outputs) for block in ordered]
        if ordered == _of_rows(shape, rows, is_transposed):
            blocks[:] = ordered
            return replace(facts, blocks=tuple(rows) if len(rows) > 1 else (), is_transposed=is_transposed)
    return replace(facts, layout=tuple(blocks))


def _of_rows(shape: tuple[int, ...], rows: Sequence[int], is_transposed: bool) -> list[Block]:
    """The blocks of a tensor [output, input, ...] with so many rows each, or [input, output, ...] if transposed."""
    if len(shape) < 2 or (is_transposed and len(shape) == 2) or sum(rows) != shape[0]:
        return []
    found, row = [], 0
    for count in rows:
        (block,) = _of_kernel((count, *shape[1:]), is_transposed, 1)
        found.append(replace(block, offset=row * _count(shape[1:])))
        row += count
    return found


def _read_other(reading: Reading, model: nn.Module, name: str, use: Consumption) -> None:
    """A parameter that is no weight."""
    shape = _shape(reading, name)
    facts = Facts(use.role, 0, 0)
    if use.role is Role.BIAS and use.contraction is not None:
        reading.weight_of[name] = use.contraction.parameters[0]
    elif use.role is Role.EMBEDDING:
        facts = Facts(use.role, 1, shape[-1], parts=(use.part,) if use.part else ())
    elif use.role in (Role.NORM_SCALE, Role.NORM_SHIFT):
        affine = reading.roles.affine(name, use.operand)
        if affine is None:
            reading.kept[name] = "the model changes it before it uses it"
            return
        facts = replace(facts, factor=affine[0], offset=affine[1])
        reading.norm_nodes.setdefault(use.node, []).append(name)
    elif use.role is Role.MULTIPLIER:
        own = _own_value(model.get_parameter(name))
        if own is None:
            reading.kept[name] = "it scales the signal by values of its own"
            return
        facts = replace(facts, own=own)
        reading.multiplied_at[name] = use.node
    reading.facts[name] = facts


def _own_value(parameter: nn.Parameter) -> float | None:
    """The value that all entries have; 1 on the meta device, None where they differ."""
    if parameter.is_meta:
        return 1.0
    first = parameter.detach().flatten()[0]
    return float(first) if bool((parameter.detach() == first).all()) else None
