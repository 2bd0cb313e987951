"""The notebooks, executed: a reader's first cells must not fail, and what is kept in them is what they show."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from support.notebooks import NOTEBOOKS, executed, shown, train_quickstart

QUICKSTART = next(path for path in NOTEBOOKS if path.stem == "quickstart")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the command that the quickstart notebook names was run."""
    made = tmp_path_factory.mktemp("notebooks")
    train_quickstart(made)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_outputs_are_those_of_its_code(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exactly, on the reference; for trials that were trained just now without the digits that another CPU may round
    otherwise."""
    monkeypatch.delenv("RESULTS", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    found, kept = shown(executed(path, folder)), shown(nbformat.read(path, as_version=4))
    assert not [text for texts in found for text in texts if text.startswith("stderr: ")]
    if path == QUICKSTART:
        found, kept = ([[_without_digits(text) for text in texts] for texts in cells] for cells in (found, kept))
    assert found == kept


def _without_digits(text: str) -> str:
    """A table with an entry for each of its numbers, in whatever order arms of nearly the same score stand."""
    return " ".join(sorted(re.sub(r"[\d.,]+", "#", text).split()))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_with_its_outputs_and_says_what_to_install(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len([cell for cell in code if cell.outputs]) >= len(code) - 2
    assert all(cell.execution_count == place for place, cell in enumerate(code, start=1)), "run once, from the top"
    assert "pip install initsuite" in notebook.cells[0].source
    text = path.read_text(encoding="utf-8")
    assert "initsuite.train import" not in text  # notebooks read stores
    assert str(Path.home()) + "/" not in text
    assert "/tmp/" not in text


def test_quickstart_goes_from_results_to_table_in_ten_cells() -> None:
    code = [cell for cell in nbformat.read(QUICKSTART, as_version=4).cells if cell.cell_type == "code"]
    assert len(code) <= 10
    assert "\n".join(cell.source for cell in code).count("recommendations_for_people") >= 1


def test_a_planted_output_is_found() -> None:
    """The comparison is one that can fail: another word, another picture."""
    notebook = nbformat.read(QUICKSTART, as_version=4)
    other = nbformat.read(QUICKSTART, as_version=4)
    cell = next(cell for cell in other.cells if cell.cell_type == "code" and cell.outputs)
    assert shown(notebook) == shown(other)
    cell.outputs[0]["text"] = "planted"
    assert shown(notebook) != shown(other)
    assert _without_digits("he 0.1 leads") != _without_digits("xavier 0.1 leads")
