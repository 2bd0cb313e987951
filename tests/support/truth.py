"""What is true of the weights of a model, found by running it: the reference of the contract over architectures.

Where a weight lies in its parameters is read off the values: every entry of every parameter is a number of its own, and
a number that turns up in a product is looked up. Fans are counted from the operands of the product. Only which outputs
of a packed projection belong together is written down by hand, for each architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from support.watching import Product, Watch, watch

LOWEST, MOST_DISTINCT = 0.0625, 2**23
"""Distinct float32 numbers from here on: 2^23 in [1/16, 1/8), and as many below zero."""

Labels = Callable[[int], Sequence[int]]
"""For the number of outputs of a packed projection, which part each output belongs to."""


@dataclass(frozen=True)
class Architecture:
    """A model, inputs for it, and what its author says about packed projections.

    Attributes:
        build: makes the model; called under a fixed seed.
        args, kwargs: inputs.
        packed: the part of each output, by the end of the name of the parameter.
        options: what `initialize_` is given beside the law.
    """

    build: Callable[[], nn.Module]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    packed: Mapping[str, Labels] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def labels(self, name: str, outputs: int) -> Tensor:
        found = [labels for end, labels in self.packed.items() if name.endswith(end)]
        return torch.tensor(list(found[0](outputs)) if found else [0] * outputs)


@dataclass(frozen=True)
class Matrix:
    """One independent matrix of weights, as a product uses it.

    Attributes:
        parameter: the one that holds it; of several that it is computed from, the largest.
        product: number of the product.
        place: index among the matrices of the product (experts, groups of a convolution).
        rows: which outputs of the product.
        label: which part of a packed projection.
        entries: [output, input] positions in the flattened parameter; None where the weight is computed from it.
        is_lookup: whether the matrix is a table [row, feature].
    """

    parameter: str
    product: int
    place: int
    rows: Tensor
    label: int
    entries: Tensor | None
    is_lookup: bool
    fan_in: int
    fan_out: int

    def values(self, model: nn.Module, seen: Watch | None) -> Tensor:
        """[output, input], as the model multiplies by them."""
        if self.entries is not None:
            return model.get_parameter(self.parameter).detach().flatten()[self.entries].float()
        assert seen is not None
        return seen.products[self.product].matrices[self.place][self.rows].float()


def fill_with_distinct_numbers(model: nn.Module) -> Tensor:
    """Give every entry of every parameter a number of its own; returns them all, in order."""
    parameters = list(model.parameters())
    count = sum(each.numel() for each in parameters)
    assert count <= 2 * MOST_DISTINCT, f"{count} entries are too many"
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0)) * (2 * MOST_DISTINCT // count)
    numbers = LOWEST * (1 + (order % MOST_DISTINCT) / MOST_DISTINCT)
    numbers = torch.where(order < MOST_DISTINCT, numbers, -numbers)
    with torch.no_grad():
        for parameter, values in zip(parameters, numbers.split([each.numel() for each in parameters]), strict=True):
            parameter.copy_(values.reshape(parameter.shape))
    return numbers


def matrices_of(architecture: Architecture) -> list[Matrix]:
    """Every independent matrix that the model multiplies a signal by, and every table that it looks rows up in."""
    model = built(architecture)
    names, sizes = zip(*((name, each.numel()) for name, each in model.named_parameters()), strict=True)
    numbers, order = fill_with_distinct_numbers(model).sort()
    starts = torch.tensor([0, *sizes]).cumsum(0)
    found: list[Matrix] = []
    for product in watch(model, architecture.args, architecture.kwargs).products:
        nearest = torch.searchsorted(numbers, product.matrices.float().contiguous()).clamp(max=len(numbers) - 1)
        positions = order[nearest] if torch.equal(numbers[nearest], product.matrices.float()) else None
        for place in range(len(product.matrices)):
            if positions is None:
                found += _computed(product, place, dict(zip(names, sizes, strict=True)), architecture)
            else:
                found += _stored(product, place, positions[place], names, starts, architecture)
    return found


def built(architecture: Architecture) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return architecture.build().eval()


def _stored(
    product: Product, place: int, positions: Tensor, names: Sequence[str], starts: Tensor, architecture: Architecture
) -> list[Matrix]:
    """The matrices of a weight whose entries are entries of parameters, one for each parameter and part."""
    owners = torch.searchsorted(starts, positions[:, 0].contiguous(), right=True) - 1
    found = []
    for owner in owners.unique().tolist():
        rows = (owners == owner).nonzero().flatten()
        entries = positions[rows] - starts[owner]
        labels = architecture.labels(names[owner], len(rows))
        found += _parts(product, place, names[owner], rows, labels, entries)
    return found


def _computed(product: Product, place: int, sizes: Mapping[str, int], architecture: Architecture) -> list[Matrix]:
    """The matrices of a weight that is computed; none where it is no weight but a signal that never changes."""
    largest = max(sorted(product.parameters), key=lambda name: sizes[name])
    if product.matrices.numel() != sizes[largest]:
        return []
    rows = torch.arange(product.matrices.shape[1])
    return _parts(product, place, largest, rows, architecture.labels(largest, len(rows)), None)


def _parts(
    product: Product, place: int, name: str, rows: Tensor, labels: Tensor, entries: Tensor | None
) -> list[Matrix]:
    found = []
    for label in labels.unique().tolist():
        chosen = labels == label
        inputs, outputs, taps = product.matrices.shape[2], int(chosen.sum()), product.taps
        fans = (1, inputs) if product.is_lookup else (inputs, outputs * taps)
        part = None if entries is None else entries[chosen]
        found.append(Matrix(name, product.number, place, rows[chosen], label, part, product.is_lookup, *fans))
    return found


def parts(*sizes: int) -> Labels:
    """Outputs that lie one part after the other: as many equal parts, or parts of these sizes."""

    def labels(outputs: int) -> list[int]:
        each = [outputs // sizes[0]] * sizes[0] if len(sizes) == 1 else list(sizes)
        assert sum(each) == outputs, f"{outputs} outputs are not {each}"
        return [part for part, size in enumerate(each) for _ in range(size)]

    return labels


def repeating(*sizes: int) -> Labels:
    """Outputs that lie head by head, each with parts of these sizes."""
    head = [part for part, size in enumerate(sizes) for _ in range(size)]
    return lambda outputs: head * (outputs // len(head))
