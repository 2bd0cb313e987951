"""The command line of the report: one store, two stores, the browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from initsuite.report import __main__ as door
from initsuite.results.store import Store
from support.planter import Planter

FAST = [100.0 + 20 * seed for seed in range(6)]


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.chdir(tmp_path)
    for name in ("laptop", "cluster"):
        planter = Planter(Store(tmp_path / name))
        planter.arm("he", FAST)
        planter.arm("xavier", [steps + 200 for steps in FAST])
    return "laptop", "cluster"


def test_two_stores_are_shown_side_by_side(stores: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(list(stores)) == 0
    shown = capsys.readouterr().out
    assert "A: laptop" in shown
    assert "B: cluster" in shown
    assert Path("laptop/report/side_by_side.csv").is_file()
    assert "laptop and cluster side by side" in Path("laptop/report/side_by_side.html").read_text()
    assert not Path("laptop/report/recommendations.html").exists()


@pytest.mark.parametrize("names", [["laptop", "laptop"], ["laptop", "cluster", "third"]])
def test_other_numbers_of_stores_are_refused(
    names: list[str], stores: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main(names) == 2
    assert "Expected one, or two different ones" in capsys.readouterr().err


@pytest.mark.slow
def test_open_shows_the_page(stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(door.webbrowser, "open", lambda url: opened.append(url) or True)
    assert door.main(["laptop", "--open", "--out", "shown"]) == 0
    assert opened == [Path("shown/recommendations.html").absolute().as_uri()]


@pytest.mark.slow
def test_a_machine_without_a_browser_says_where_the_page_is(
    stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(door.webbrowser, "open", lambda url: False)
    assert door.main(["laptop", "--open"]) == 0
    assert "no browser found to open laptop/report/recommendations.html" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_no_folder_writes_beside_the_caller(stores: tuple[str, str]) -> None:
    assert door.main(["reference"]) == 0
    assert Path("report/recommendations.html").is_file()
