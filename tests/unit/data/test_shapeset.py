"""Shapeset against the areas of its shapes, and what the paper says of its images."""

from __future__ import annotations

import math

import pytest
import torch

from initsuite.data.base import check_dataset
from initsuite.data.shapeset import AREAS, CLASSES, MOST_COVERED, SHAPES, SIZE, Placed, drawn, masks_of, shapeset
from initsuite.errors import ConfigError


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_shape_covers_the_area_of_its_affine_image(kind: str) -> None:
    """Pixels are counted by their middle: without bias, so that the sum over 1,000 shapes is right to 1 %."""
    placed = Placed.drawn(1000, stream())
    pixels = placed.masks(torch.full((1000,), SHAPES.index(kind))).sum((1, 2)).double()
    expected = AREAS[kind] * torch.linalg.det(placed.matrices).abs()
    assert float(pixels.sum() / expected.sum()) == pytest.approx(1, abs=0.01)
    assert float((pixels / expected - 1).abs().max()) < 0.4


def test_a_shape_lies_inside_the_image() -> None:
    placed = Placed.drawn(500, stream(1))
    corners = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]], dtype=torch.float64)
    reached = placed.centres[:, None] + corners @ placed.matrices.mT
    assert float(reached.min()) >= -1e-9
    assert float(reached.max()) <= SIZE - 1 + 1e-9


def test_two_shapes_leave_half_of_the_first_in_sight_and_one_is_alone() -> None:
    targets = torch.arange(900) % len(CLASSES)
    first, second = masks_of(targets, stream())
    covered = (first & second).sum((1, 2)) / first.sum((1, 2))
    assert float(covered.max()) <= MOST_COVERED
    assert float(covered.max()) > 0.3  # they do overlap
    is_alone = torch.tensor([other is None for _, other in CLASSES])[targets]
    assert torch.equal(second.any(2).any(1), ~is_alone)


def test_an_image_has_two_or_three_levels_well_apart() -> None:
    images, targets = drawn(180, 0, "train")
    for image, target in zip(images, targets, strict=True):
        levels = image.unique()
        assert len(levels) == (2 if CLASSES[int(target)][1] is None else 3)
        assert float(levels.diff().min()) > 1 / 3 - 2 * 0.08 - 1e-6
        assert float(levels[0]) >= 0
        assert float(levels[-1]) <= 1


def test_the_splits_are_even_standardised_and_each_its_own() -> None:
    sizes = {"num_train": 900, "num_validation": 90, "num_test": 18}
    data = check_dataset(shapeset(**sizes), "shapeset")
    assert (data.input_shape, data.num_outputs) == ((1, SIZE, SIZE), 9)
    assert data.train.targets.bincount().tolist() == [100] * 9
    assert float(data.train.inputs.mean()) == pytest.approx(0, abs=1e-5)
    assert float(data.train.inputs.std()) == pytest.approx(1, abs=1e-3)
    again, other = shapeset(**{**sizes, "num_test": 9}), shapeset(**sizes, data_seed=1)
    assert torch.equal(data.validation.inputs, again.validation.inputs)
    assert not torch.equal(data.train.inputs, other.train.inputs)
    assert not math.isnan(float(data.test.inputs.sum()))


def test_no_examples_are_refused() -> None:
    with pytest.raises(ConfigError, match="shapeset: bad value `num_train`=0"):
        shapeset(num_train=0)
