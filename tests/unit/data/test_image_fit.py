"""One picture as a function: places, brightness, held-out pixels, pictures of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from initsuite.data import published
from initsuite.data.base import Dataset, check_dataset
from initsuite.data.digits import digits
from initsuite.data.image_fit import image_fit
from initsuite.data.published import given_path
from initsuite.errors import ConfigError, DataError


def picture(data: Dataset, size: int) -> torch.Tensor:
    """[row, column, channel], put together from all pixels of all splits."""
    places = torch.cat([split.inputs for split in (data.train, data.validation, data.test)])
    values = torch.cat([split.targets for split in (data.train, data.validation, data.test)])
    columns, rows = (((places + 1) / 2 * size) - 0.5).round().long().unbind(1)
    image = torch.full((size, size, values.shape[1]), torch.nan)
    image[rows, columns] = values
    return image


@pytest.fixture
def gradient(tmp_path: Path) -> str:
    """6 x 4 pixels (width, height): red rises by 20 a column from 100, green by 30 a row from 0, blue is 0."""
    image = Image.new("RGB", (6, 4))
    for x in range(6):
        for y in range(4):
            image.putpixel((x, y), (100 + 20 * x, 30 * y, 0))
    path = tmp_path / "gradient.png"
    image.save(path)
    return str(path)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_is_there_once(channels: int) -> None:
    data = check_dataset(image_fit(size=20, channels=channels), "image_fit")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [320, 40, 40]
    assert (data.input_shape, data.num_outputs) == ((2,), channels)
    image = picture(data, 20)
    assert not image.isnan().any()
    assert -1 <= image.min() < image.max() <= 1


def test_x_goes_right_and_y_goes_down_in_the_central_square(gradient: str) -> None:
    image = picture(image_fit(image=gradient, size=4, channels=3), 4)
    red, green, blue = ((image + 1) / 2 * 255).unbind(2)
    torch.testing.assert_close(red, torch.tensor([120.0, 140, 160, 180]).expand(4, 4), atol=0.01, rtol=0)
    torch.testing.assert_close(green, torch.tensor([0.0, 30, 60, 90]).view(4, 1).expand(4, 4), atol=0.01, rtol=0)
    torch.testing.assert_close(blue, torch.zeros(4, 4), atol=0.01, rtol=0)
    grey = ((picture(image_fit(image=gradient, size=4), 4) + 1) / 2 * 255).squeeze(2)
    torch.testing.assert_close(grey, 0.299 * red + 0.587 * green + 0.114 * blue, atol=0.01, rtol=0)


def test_the_split_seed_moves_the_held_out_pixels_and_nothing_else() -> None:
    data, other = image_fit(size=16), image_fit(size=16, split_seed=1)
    assert not torch.equal(data.validation.inputs, other.validation.inputs)
    assert torch.equal(picture(data, 16), picture(other, 16))


def test_a_picture_of_ones_own_is_known_by_its_content(gradient: str, tmp_path: Path) -> None:
    moved = tmp_path / "moved.png"
    moved.write_bytes(Path(gradient).read_bytes())
    assert image_fit(image=gradient, size=4).fingerprint == image_fit(image=str(moved), size=4).fingerprint != ""
    Image.new("RGB", (6, 4)).save(moved)
    assert image_fit(image=gradient, size=4).fingerprint != image_fit(image=str(moved), size=4).fingerprint


def test_what_is_no_picture_is_refused(gradient: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.png.*Set dataset\.image=FILE"):
        image_fit(image=str(tmp_path / "nowhere.png"))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match="Expected a picture, or one of china, flower"):
        image_fit(image=str(tmp_path / "text.png"))
    with pytest.raises(ConfigError, match="at most the 4 pixels of the square"):
        image_fit(image=gradient, size=5)
    with pytest.raises(ConfigError, match="`channels`=2"):
        image_fit(channels=2)


@pytest.mark.parametrize("name", ["digits", "image_fit"])
def test_what_scikit_learn_ships_is_compared_with_what_it_published(name: str, monkeypatch) -> None:
    digests = dict.fromkeys(published.PUBLISHED[name], 64 * "0")
    monkeypatch.setitem(published.PUBLISHED, name, digests)
    with pytest.raises(DataError, match=rf"{name}: bad file `.*: its content is not .*Install scikit-learn again"):
        digits() if name == "digits" else image_fit(size=4)


@pytest.mark.parametrize("path", [["a"], 5, True, "", " ", "a\0b", "~nobody-of-this-name/x", {}])
def test_what_is_no_path_is_refused(path: object) -> None:
    with pytest.raises(ConfigError, match="Expected a path"):
        given_path("text", "path", path)
