"""One picture as a function: from the coordinates of a pixel to its brightness."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from initsuite.data.base import Dataset, Split
from initsuite.data.published import check_published, given_path
from initsuite.errors import bad_file, bad_value, check_whole_number
from initsuite.rng import generator

NAME = "image_fit"
SHIPPED = ("china", "flower")
"""Pictures that scikit-learn ships."""
HELD_OUT = 0.1
"""Share of the pixels in the validation split, and in the test split."""


def image_fit(*, image: str = "china", size: int = 64, channels: int = 1, split_seed: int = 0) -> Dataset:
    """The pixels of a picture, cropped to its central square and averaged down to size x size.

    An input is the position (x, y) of a pixel's centre, both from -1 to 1; x to the right, y downwards. A target is its
    brightness, or red, green and blue, from -1 (dark) to 1. Eight pixels of ten are trained on, one of ten is for
    validation and one for testing: they lie in between, so that the score is that of a function and not of a table.

    Args:
        image: china, flower, or the path of a picture.
        size: pixels per side, from 4 to those of the square.
        channels: 1 (brightness) or 3 (red, green, blue).
        split_seed: chooses the held-out pixels, the same for all trials.

    Returns:
        Inputs [pixel, 2], targets [pixel, channel].

    Raises:
        ConfigError: an option out of its range.
        DataError: no picture at that path.
    """
    check_whole_number(NAME, "size", size, minimum=4)
    check_whole_number(NAME, "split_seed", split_seed, minimum=0)
    if channels not in (1, 3):
        raise bad_value(NAME, "channels", channels, "1 (brightness) or 3 (red, green, blue)")
    pixels, fingerprint = _shipped(image) if image in SHIPPED else _own(given_path(NAME, "image", image))
    side = min(pixels.shape[:2])
    if size > side:
        raise bad_value(NAME, "size", size, f"at most the {side} pixels of the square in `{image}`")
    values = _scaled(pixels, side, size, channels)
    centres = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1)
    order = torch.randperm(size * size, generator=generator(split_seed, "split", NAME))
    num_held_out = round(HELD_OUT * size * size)
    sizes = [size * size - 2 * num_held_out, num_held_out, num_held_out]
    splits = [Split(places[chosen], values[chosen]) for chosen in order.split(sizes)]
    return Dataset(*splits, num_outputs=channels, fingerprint=fingerprint)


def _scaled(pixels: np.ndarray, side: int, size: int, channels: int) -> Tensor:
    """The central square, [pixel, channel], -1 to 1, row by row."""
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    square = torch.from_numpy(pixels[top : top + side, left : left + side].copy()).float() / 255 * 2 - 1
    if channels == 1:
        square = square @ torch.tensor([[0.299], [0.587], [0.114]])  # luma of ITU-R BT.601
    return functional.adaptive_avg_pool2d(square.permute(2, 0, 1), size).flatten(1).T.contiguous()


def _shipped(name: str) -> tuple[np.ndarray, str]:
    """The pixels, and no hash: the name says which they are."""
    import sklearn.datasets

    path = Path(sklearn.datasets.__file__).parent / "images" / f"{name}.jpg"
    pixels, content = _read(path)
    check_published(NAME, path, content, fix="Install scikit-learn again, or name a picture of your own by its path.")
    return pixels, ""


def _own(path: Path) -> tuple[np.ndarray, str]:
    """The pixels, and the hash of the file."""
    pixels, content = _read(path)
    return pixels, hashlib.blake2b(content, digest_size=8).hexdigest()


def _read(path: Path) -> tuple[np.ndarray, bytes]:
    """[height, width, 3], 0 to 255, and the bytes of the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as picture:
            return np.asarray(picture.convert("RGB")), content
    except (OSError, UnidentifiedImageError) as error:
        expected = f"a picture, or one of {', '.join(SHIPPED)}"
        raise bad_file(NAME, path, str(error), expected, "Set dataset.image=FILE.") from error
