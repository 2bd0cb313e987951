"""What follows the products of a model, measured.

The results of all products are replaced by samples, and what arrives at the next product is compared with them: it may
be an affine map of them (nothing follows), a function of each element, or a gate. Elsewhere nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from support.truth import Architecture, Matrix, built
from support.watching import Arrival, Product, Watch, watch

LEVELS = (-2.0, -1.0, 0.0, 1.0, 2.0)
ROUNDING = 2e-3
"""Of float32 through a few operations, relative to the root mean square."""
SAMPLING = 3.0
"""Times 1/sqrt(n), about the standard error, what a gain may be off that is measured on n of the samples, not all."""
ROUGHNESS = 0.5
"""The same where all n are used, which are quantiles and not random."""
GAIN_TOLERANCE = 0.02
Source = tuple[int, int]
"""A product and a part of its outputs."""


@dataclass(frozen=True)
class Replay:
    """What arrives at each product when the results of all products are replaced by samples."""

    zero: list[Arrival]
    normal: list[Arrival]
    other: list[Arrival]
    summed: list[Arrival]
    levels: list[Arrival]
    outputs: frozenset[int]


@dataclass(frozen=True)
class Following:
    """What follows one part of a product: the gains that are right, empty where none can be told."""

    gains: tuple[float, ...]
    tolerance: float = GAIN_TOLERANCE


class Follower:
    """Measures what follows the products of one model."""

    def __init__(self, architecture: Architecture, matrices: Sequence[Matrix]) -> None:
        self.architecture = architecture
        self._model = built(architecture)
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                if name.rpartition(".")[2].startswith("bias"):
                    parameter.zero_()
        self._labels: dict[int, dict[int, Tensor]] = {}
        for each in matrices:
            self._labels.setdefault(each.product, {}).setdefault(each.label, each.rows)
        self._sizes: dict[Source, int] = {}

    def gains(self) -> dict[Source, Following]:
        """By product and part."""
        seen = self._run(normal_scores)
        normal = seen.arrivals
        other = self._arrivals(lambda number, label, shape: _random(number, label, shape, 1))
        zero = self._arrivals(lambda number, label, shape: torch.zeros(shape))
        summed = self._arrivals(
            lambda number, label, shape: normal_scores(number, label, shape) + _random(number, label, shape, 1)
        )
        levels = self._arrivals(_levels)
        if not len(normal) == len(other) == len(zero) == len(summed) == len(levels):
            return {}  # the way of the signal depends on its values
        runs = Replay(zero, normal, other, summed, levels, seen.outputs)
        feeds = self._feeds(normal)
        kinds = [self._kind(runs, index) for index in range(len(normal))]
        gates = self._gates(normal, feeds, kinds)
        found = {}
        for number, parts in self._labels.items():
            for label in parts:
                fed = [index for index in range(len(normal)) if (number, label) in feeds[index]]
                found[number, label] = self._following(number, label, fed, feeds, kinds, gates, runs)
        return found

    def _run(self, sample: Callable[[int, int, tuple[int, ...]], Tensor]) -> Watch:
        def sampled(number: int, label: int, shape: tuple[int, ...]) -> Tensor:
            self._sizes[number, label] = math.prod(shape)
            return sample(number, label, shape)

        def replace(product: Product, result: Tensor) -> Tensor:
            parts = self._labels.get(product.number, {0: torch.arange(result.shape[product.unit_axis])})
            if len(parts) == 1 or product.is_lookup:
                return sampled(product.number, min(parts), tuple(result.shape)).to(result.dtype)
            replaced = result.clone()
            for label, rows in parts.items():
                picked = result.index_select(product.unit_axis, rows)
                values = sampled(product.number, label, tuple(picked.shape)).to(result.dtype)
                replaced.index_copy_(product.unit_axis % result.ndim, rows, values)
            return replaced

        return watch(self._model, self.architecture.args, self.architecture.kwargs, replace)

    def _arrivals(self, sample: Callable[[int, int, tuple[int, ...]], Tensor]) -> list[Arrival]:
        return self._run(sample).arrivals

    def _feeds(self, normal: Sequence[Arrival]) -> list[set[Source]]:
        """The parts of products that each arrival comes from."""
        feeds = [{(number, min(self._labels.get(number, {0: None}))) for number in each.products} for each in normal]
        packed = {number: sorted(parts) for number, parts in self._labels.items() if len(parts) > 1}
        for each in feeds:
            each -= {(number, min(parts)) for number, parts in packed.items()}
        for label in sorted({label for parts in packed.values() for label in parts}):
            changed = self._arrivals(
                lambda number, part, shape, label=label: (
                    _random(number, part, shape, 2) if part == label else normal_scores(number, part, shape)
                )
            )
            for index, (before, after) in enumerate(zip(normal, changed, strict=True)):
                if not _equal(before.values, after.values):
                    sources = [number for number in before.products if label in packed.get(number, ())]
                    feeds[index] |= {(number, label) for number in sources}
        return feeds

    def _kind(self, runs: Replay, index: int) -> str:
        """`affine`, `elementwise` or ``: how an arrival depends on the results that it comes from."""
        zero, normal, other, summed = (each[index].values for each in (runs.zero, runs.normal, runs.other, runs.summed))
        if _equal(summed + zero, normal + other):
            return "affine"
        values = runs.levels[index].values.flatten().double()
        tolerance = ROUNDING * max(1e-12, values.square().mean().sqrt().item())
        distinct = _clusters(values, tolerance)
        shares = torch.tensor([each / len(values) for each in distinct])
        near = (shares * len(LEVELS) - (shares * len(LEVELS)).round()).abs().max().item()
        allowed = min(max(0.1, 6 / math.sqrt(len(values))), 0.25)
        return "elementwise" if len(distinct) <= len(LEVELS) and near < allowed else ""

    def _gates(
        self, normal: Sequence[Arrival], feeds: Sequence[set[Source]], kinds: Sequence[str]
    ) -> dict[tuple[int, Source], tuple[float, ...]]:
        """The gains of both parts of each arrival that is f(one part) x another part.

        Right for one part is the gain with the other one at 1, or at its random values.
        """
        candidates = [index for index, each in enumerate(feeds) if len(each) == 2 and kinds[index] != "affine"]
        colours: dict[Source, int] = {}
        for index in candidates:
            for colour, source in enumerate(sorted(feeds[index])):
                colours.setdefault(source, colour)
        candidates = [index for index in candidates if len({colours[source] for source in feeds[index]}) == 2]
        if not candidates:
            return {}

        def run(*changes: Callable[[Tensor], Tensor]) -> list[Tensor]:
            """Arrivals with the results of each colour changed."""

            def sample(number: int, part: int, shape: tuple[int, ...]) -> Tensor:
                colour = colours.get((number, part))
                values = normal_scores(number, part, shape)
                return values if colour is None else changes[colour](values)

            return [each.values.double() for each in self._run(sample).arrivals]

        same, none, twice, one = (lambda z: z), torch.zeros_like, (lambda z: 2 * z), torch.ones_like
        ones, found = run(one, one), {}
        for factor in (0, 1):
            absent, doubled, fixed, free = (
                run(*(pair if factor == 0 else pair[::-1]))
                for pair in ((none, same), (twice, same), (one, same), (same, one))
            )
            for index in candidates:
                whole = normal[index].values.double()
                if absent[index].abs().max() > 0 or not _equal(doubled[index], 2 * whole) or whole.abs().max() == 0:
                    continue
                joint = _gain(whole)
                for source in feeds[index]:
                    alone = (
                        _gain(free[index]) / _gain(ones[index]) if colours[source] == factor else _gain(fixed[index])
                    )
                    found[index, source] = (alone, joint)
        return found

    def _following(
        self,
        number: int,
        label: int,
        fed: Sequence[int],
        feeds: Sequence[set[Source]],
        kinds: Sequence[str],
        gates: Mapping[tuple[int, Source], tuple[float, ...]],
        runs: Replay,
    ) -> Following:
        if not fed:
            return Following((1.0,) if number in runs.outputs else ())
        gains: list[float] = []
        tolerance = GAIN_TOLERANCE
        for position, index in enumerate(fed):
            is_alone = len(feeds[index]) == 1
            values = runs.normal[index].values.double()
            is_sampled = values.numel() < self._sizes[number, label]
            if kinds[index] == "affine" and (is_alone or position == 0):
                gains.append(1.0)
            elif kinds[index] == "elementwise" and is_alone and values.abs().max() > 0:
                gains.append(_gain(values))
                tolerance = max(tolerance, (SAMPLING if is_sampled else ROUGHNESS) / math.sqrt(values.numel()))
            elif (index, (number, label)) in gates:
                gains += gates[index, (number, label)]
                tolerance = max(tolerance, SAMPLING / math.sqrt(values.numel()))
            elif position == 0 or kinds[fed[0]] == "affine":
                return Following(())
        return Following(tuple(gains), tolerance)


def normal_scores(number: int, label: int, shape: tuple[int, ...]) -> Tensor:
    """A random order of the quantiles of N(0, 1)."""
    count = math.prod(shape)
    quantiles = torch.special.ndtri((torch.arange(count) + 0.5) / count)
    quantiles = quantiles / quantiles.square().mean().sqrt().clamp(min=1e-3)
    return quantiles[torch.randperm(count, generator=_generator(number, label, 0))].reshape(shape)


def _gain(values: Tensor) -> float:
    return 1 / values.square().mean().sqrt().clamp(min=1e-12).item()


def _random(number: int, label: int, shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=_generator(number, label, seed))


def _levels(number: int, label: int, shape: tuple[int, ...]) -> Tensor:
    count = math.prod(shape)
    values = torch.tensor(LEVELS).repeat(count // len(LEVELS) + 1)[:count]
    return values[torch.randperm(count, generator=_generator(number, label, 3))].reshape(shape)


def _generator(*numbers: int) -> torch.Generator:
    seed = 0
    for each in numbers:
        seed = seed * 1009 + each + 1
    return torch.Generator().manual_seed(seed)


def _equal(one: Tensor, other: Tensor) -> bool:
    """Up to rounding; where both are without a value, too."""
    if one.shape != other.shape:
        return False
    one, other = one.double().nan_to_num(), other.double().nan_to_num()
    size = max(one.square().mean().sqrt().item(), other.square().mean().sqrt().item())
    return bool(((one - other).abs() <= ROUNDING * max(size, 1e-12)).all())


def _clusters(values: Tensor, tolerance: float) -> list[int]:
    """How many values lie together, for each cluster of values that are the same up to a tolerance."""
    ordered = values.sort().values
    borders = (ordered.diff() > tolerance).nonzero().flatten() + 1
    edges = torch.cat([torch.tensor([0]), borders, torch.tensor([len(ordered)])])
    return edges.diff().tolist()
