"""The command line of the report: one store, two stores, the browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from initsuite.report import __main__ as door
from initsuite.results import sources
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


def in_a_process(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_reader_that_leaves_loses_no_file(stores: tuple[str, str]) -> None:
    """As `report | head -1` does: the files are there before the first line."""
    process = in_a_process("import sys; from initsuite.report.__main__ import main; sys.exit(main())", "laptop")
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline().startswith("Recommendations")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() in (0, 141), "it may have ended before the reader left"
    for name in ("recommendations.html", "tables/scorecard.html", "figures/curves.png"):
        assert Path("laptop/report", name).is_file()


def test_a_pipe_that_breaks_ends_a_door_quietly() -> None:
    """More than a pipe holds, so that the reader is missed for certain."""
    many = "[print('line', file=sys.stdout) for _ in range(1_000_000)] and 0"
    code = (
        f"import argparse, sys; from initsuite.errors import run_door; "
        f"sys.exit(run_door(argparse.ArgumentParser(), lambda options: {many}, []))"
    )
    process = in_a_process(code)
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["pandas", "matplotlib"])
def test_ctrl_c_while_it_imports_leaves_without_a_traceback(stores: tuple[str, str], moment: str) -> None:
    """At the import of a library that takes long: Ctrl-C comes from there."""
    code = (
        "import importlib.abc, os, signal, sys\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {moment!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "from initsuite.report.__main__ import main\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.exit(main())"
    )
    _, error = (process := in_a_process(code, "laptop")).communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted. To go on: " in error
    assert "Traceback" not in error


def test_the_files_are_told_by_folder(stores: tuple[str, str]) -> None:
    paths = [Path("out", name) for name in ("page.html", "a.csv", "tables/b.csv", "tables/c.csv")]
    assert list(door._written(paths)) == ["out/page.html, to be read first", "out: 1 more file", "out/tables: 2 files"]


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


def test_what_is_no_folder_writes_beside_the_caller(stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A small store in place of the shipped one, whose report takes most of a minute."""
    monkeypatch.setitem(sources.SHIPPED, "reference", Path("laptop").resolve())
    assert door.main(["reference"]) == 0
    assert "fashion_mnist" not in Path("report/recommendations.html").read_text(encoding="utf-8")
