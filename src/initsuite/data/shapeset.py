"""Shapeset: images of one or two simple shapes, drawn as Glorot and Bengio describe theirs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.data.base import Dataset, fixed_by_options
from initsuite.data.splits import assemble, drawn_sizes
from initsuite.rng import generator

NAME = "shapeset"
SIZE = 32
"""Pixels on a side."""
SHAPES = ("triangle", "parallelogram", "ellipse")
AREAS = {"triangle": 2.0, "parallelogram": 4.0, "ellipse": math.pi}
"""Of each shape before it is stretched, turned and moved: inside the square from -1 to 1."""
CLASSES = ((0, None), (1, None), (2, None), (0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""The shapes in an image, by class."""
MOST_COVERED = 0.5
"""Share of the area of the first shape that the second may cover."""
HALF_AXES = 3.5, 9.0
"""Pixels: the half-axes of a shape."""
SHEAR = math.pi / 3
"""The least angle between the axes of a shape."""
APART = 1 / 3, 0.08
"""Distance of the grey levels of background and shapes, on a circle of length 1, and how much each may be off."""
AT_ONCE = 1_000
"""Examples whose pixels are worked out together: tens of megabytes."""


@dataclass(frozen=True)
class Placed:
    """Shapes of one kind, stretched, turned and moved.

    Attributes:
        matrices: [example, 2, 2]: the columns are the half-axes, pixels.
        centres: [example, 2], pixels.
    """

    matrices: Tensor
    centres: Tensor

    @staticmethod
    def drawn(number: int, stream: torch.Generator) -> Placed:
        """Half-axes and their angle, direction and place at random, the shape inside the image.

        Lengths are uniform; so are the directions, and the place over those where the parallelogram of the axes fits.
        """
        uniform = torch.rand(number, 6, dtype=torch.float64, generator=stream)
        low, high = HALF_AXES
        lengths = low + (high - low) * uniform[:, :2]
        first = 2 * math.pi * uniform[:, 2]
        second = first + SHEAR + (math.pi - 2 * SHEAR) * uniform[:, 3]
        directions = torch.stack([first, second], 1)
        matrices = torch.stack([directions.cos(), directions.sin()], 1) * lengths[:, None, :]
        reach = matrices.abs().sum(2)
        matrices *= ((SIZE / 2 - 1) / reach.amax(1)).clamp(max=1)[:, None, None]
        reach = matrices.abs().sum(2)
        centres = reach + (SIZE - 1 - 2 * reach) * uniform[:, 4:]
        return Placed(matrices, centres)

    def masks(self, kinds: Tensor) -> Tensor:
        """Which pixels a shape covers, by their middle; [example, SIZE, SIZE].

        Args:
            kinds: [example], the numbers of `SHAPES`.
        """
        parts = zip(*(each.split(AT_ONCE) for each in (self.matrices, self.centres, kinds)), strict=True)
        return torch.cat([_covered(*part) for part in parts])


def _covered(matrices: Tensor, centres: Tensor, kinds: Tensor) -> Tensor:
    line = torch.arange(SIZE, dtype=torch.float64)
    pixels = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(1, -1, 2)
    u, v = torch.linalg.solve(matrices, (pixels - centres[:, None]).mT).unbind(1)
    triangle = (v >= -1) & (2 * u.abs() <= 1 - v)
    parallelogram = (u.abs() <= 1) & (v.abs() <= 1)
    ellipse = u.square() + v.square() <= 1
    covered = torch.stack([triangle, parallelogram, ellipse])
    return covered[kinds, torch.arange(len(kinds))].view(-1, SIZE, SIZE)


@fixed_by_options
def shapeset(
    *, num_train: int = 10_000, num_validation: int = 1_000, num_test: int = 2_000, data_seed: int = 0
) -> Dataset:
    """Grey images of one or two shapes; the class says which shapes, not which of them is in front.

    A triangle, a parallelogram or an ellipse, or two of them: nine classes. Sizes, angles, places and grey levels are
    random; the second shape covers at most half of the first. The examples of a split are spread evenly over the
    classes. Each split has its own random stream: its size leaves the others as they are.

    Departures: the paper draws new examples without end; here there are as many as asked for. It does not give the
    ranges of sizes and grey levels: here half-axes are 3.5 to 9 pixels, and no two levels are nearer than 0.17.

    Args:
        num_train, num_validation, num_test: number of examples, from 1.
        data_seed: draws the examples, the same for all trials.

    Returns:
        Inputs [example, 1, 32, 32], standardised by the training split.

    Raises:
        ConfigError: an option out of its range.

    References:
        Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks, section 2.1.
    """
    sizes = drawn_sizes(NAME, num_train, num_validation, num_test, data_seed)
    train, validation, test = (drawn(size, data_seed, name) for name, size in sizes.items())
    return assemble(train, validation, test, len(CLASSES))


def drawn(number: int, data_seed: int, split: str) -> tuple[Tensor, Tensor]:
    """Images with values from 0 to 1, and targets that go through the classes in turn."""
    stream = generator(data_seed, "data", f"{NAME}/{split}")
    targets = torch.arange(number) % len(CLASSES)
    first, second = masks_of(targets, stream)
    levels = _levels(number, stream)
    images = levels[:, 0].expand(SIZE, SIZE, -1).permute(2, 0, 1)
    for mask, level in zip((first, second), levels[:, 1:].unbind(1), strict=True):
        images = torch.where(mask, level[:, None, None], images)
    return images.float()[:, None], targets


def masks_of(targets: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """What the first and the second shape of each image cover, the second in front; none for a class with one shape.

    Both are drawn again where the second covers too much.
    """
    kinds = torch.tensor([[first, -1 if second is None else second] for first, second in CLASSES])[targets]
    swapped = torch.rand(len(targets), generator=stream) < 0.5  # either may be in front
    kinds = torch.where((swapped & (kinds[:, 1] >= 0))[:, None], kinds.flip(1), kinds)
    first, second = (torch.zeros(len(targets), SIZE, SIZE, dtype=torch.bool) for _ in range(2))
    left = torch.arange(len(targets))
    while len(left):
        first[left] = Placed.drawn(len(left), stream).masks(kinds[left, 0])
        has_second = (kinds[left, 1] >= 0)[:, None, None]
        second[left] = Placed.drawn(len(left), stream).masks(kinds[left, 1].clamp(min=0)) & has_second
        covered = (first[left] & second[left]).sum((1, 2)) > MOST_COVERED * first[left].sum((1, 2))
        left = left[covered]
    return first, second


def _levels(number: int, stream: torch.Generator) -> Tensor:
    """Grey levels of background, first and second shape, [example, 3]."""
    apart, slack = APART
    uniform = torch.rand(number, 3, dtype=torch.float64, generator=stream)
    steps = apart * torch.arange(3) + slack * (2 * uniform - 1)
    order = torch.rand(number, 3, generator=stream).argsort(1)
    start = torch.rand(number, 1, dtype=torch.float64, generator=stream)
    return ((start + steps) % 1).gather(1, order)
