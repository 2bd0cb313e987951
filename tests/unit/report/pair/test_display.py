"""Two planted stores on the terminal, and as files that are read back."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from initsuite.errors import StoreError
from initsuite.report.files import write_side_by_side
from initsuite.report.pair.display import markdown_of_pair, print_side_by_side
from initsuite.report.text.documents import plain
from support.pairs import FAST, SLOW, compared, plant


def test_the_terminal_stays_within_80_columns(stores, capsys: pytest.CaptureFixture[str]) -> None:
    plant(stores[0], he=FAST, a_rather_long_name_of_an_initializer=SLOW)
    plant(stores[1], he=SLOW, xavier=FAST)
    print_side_by_side(compared(stores), Console(width=80))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "A: laptop" in printed
    assert "B-A" in printed
    assert "Do they agree? cannot say. laptop recommends he" in printed
    assert "Note: Left out" not in printed


def test_the_files_are_read_back(stores, tmp_path: Path) -> None:
    plant(stores[0], torch_default=FAST, xavier=SLOW)
    plant(stores[1], torch_default=FAST, xavier=SLOW)
    pair = compared(stores)
    paths = write_side_by_side(pair, tmp_path / "new" / "out")
    names = ["side_by_side.html", "side_by_side.md", "side_by_side.csv", "side_by_side_contexts.csv"]
    assert [path.name for path in paths] == names
    assert len(pd.read_csv(paths[2])) == 2
    assert pd.read_csv(paths[3]).agrees.tolist() == ["yes"]
    text = paths[1].read_text()
    assert text == markdown_of_pair(pair)
    assert "Do they agree? **yes**. Both recommend torch\\_default." in text
    assert text.count("| difference |") == 2
    assert plain("a|b") == "a\\|b"


def test_a_folder_that_cannot_be_written(stores, tmp_path: Path) -> None:
    for store in stores:
        plant(store, he=FAST)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write to `out`=.* Choose another with --out DIR\."):
        write_side_by_side(compared(stores), tmp_path / "file" / "below")
