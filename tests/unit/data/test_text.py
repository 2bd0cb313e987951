"""Text by characters: windows, the next character, the vocabulary, files of the user's own."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from initsuite.config.groups import identity
from initsuite.data.base import check_dataset
from initsuite.data.losses import score_of
from initsuite.data.text import text
from initsuite.errors import ConfigError, DataError


@pytest.fixture
def alphabet(tmp_path: Path) -> str:
    """abc...zabc...z, 260 characters."""
    path = tmp_path / "alphabet.txt"
    path.write_text("abcdefghijklmnopqrstuvwxyz" * 10)
    return str(path)


def test_a_target_is_the_next_character(alphabet: str) -> None:
    data = check_dataset(text(path=alphabet, length=4), "text")
    assert (data.input_shape, data.num_outputs) == ((4,), 26)
    assert data.train.inputs[:2].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    for split in (data.train, data.validation, data.test):
        assert torch.equal(split.targets, (split.inputs + 1) % 26)
    # 208, 26 and 26 characters, each without the last one, which has no next
    assert [len(split) for split in (data.train, data.validation, data.test)] == [51, 6, 6]


def test_as_much_is_held_out_as_asked_for(alphabet: str) -> None:
    data = text(path=alphabet, length=4, held_out=0.05)
    # 13 characters in each held-out piece, 234 before them
    assert [len(split) for split in (data.train, data.validation, data.test)] == [58, 3, 3]
    assert torch.equal(data.train.inputs[:51], text(path=alphabet, length=4).train.inputs)
    for share in (0, 0.5, True):
        with pytest.raises(ConfigError, match=r"`held_out`="):
            text(path=alphabet, held_out=share)


def test_a_share_of_the_usual_size_is_part_of_no_id() -> None:
    """Trials that were stored before the option keep their ids."""
    tree = {"name": "text", "_target_": "initsuite.data.text.text", "path": None, "length": 64}
    assert identity("dataset", {**tree, "held_out": 0.1}) == identity("dataset", tree)
    assert identity("dataset", {**tree, "held_out": 0.02}) != identity("dataset", tree)


def test_the_vocabulary_is_in_the_order_of_unicode(tmp_path: Path) -> None:
    (tmp_path / "greek.txt").write_text("\u03b2\u03b1\U0001f600a" * 20, encoding="utf-8")
    data = text(path=str(tmp_path / "greek.txt"), length=3)
    assert data.num_outputs == 4
    assert data.train.inputs[0].tolist() == [2, 1, 3]


def test_the_text_of_python_is_english_of_a_useful_size() -> None:
    data = text()
    assert len(data.train) * 64 > 300_000
    assert 60 < data.num_outputs < 300
    assert 4 < score_of("bits_per_char", data)[1] < math.log2(data.num_outputs)
    assert data.fingerprint


def test_the_hash_tells_texts_apart_and_not_their_places(alphabet: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(Path(alphabet).read_bytes())
    assert text(path=alphabet, length=4).fingerprint == text(path=str(copy), length=4).fingerprint
    copy.write_text("zyx" * 100)
    assert text(path=alphabet, length=4).fingerprint != text(path=str(copy), length=4).fingerprint


def test_a_file_that_is_no_text_or_too_short_is_refused(alphabet: str, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00" * 100)
    with pytest.raises(DataError, match=r"Expected a text in UTF-8\. Set dataset\.path=FILE"):
        text(path=str(tmp_path / "bytes"))
    with pytest.raises(DataError, match=r"Set dataset\.path=FILE"):
        text(path=str(tmp_path / "nowhere.txt"))
    with pytest.raises(
        DataError, match=r"260 characters\. Expected two different ones at least, and more than 640 in all"
    ):
        text(path=alphabet)
