"""The notebooks, executed: a reader's first cells must not fail. They are kept without outputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def quickstart_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the quickstart notebook reads, with fewer seeds and steps."""
    folder = tmp_path_factory.mktemp("notebooks") / "results"
    command = "-m init=zero,normal,xavier,he,orthogonal protocol=quick seeds=6 max_steps=200 tracking=disabled"
    subprocess.run(
        [sys.executable, "-m", "initsuite.train", *command.split(), f"results_dir={folder}"],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(
    path: Path, quickstart_store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if path.stem == "quickstart":
        monkeypatch.setenv("RESULTS", str(quickstart_store))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    import nbformat

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output for cell in code for output in cell.outputs]
    assert len([cell for cell in code if cell.outputs]) >= len(code) - 2
    assert not [output for output in shown if output.get("name") == "stderr"], shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert "initsuite.train import" not in path.read_text(encoding="utf-8")  # notebooks read stores


def test_quickstart_goes_from_results_to_table_in_ten_cells() -> None:
    path = next(path for path in NOTEBOOKS if path.stem == "quickstart")
    import nbformat

    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert len(code) <= 10
    assert os.linesep.join(cell.source for cell in code).count("recommendations_for_people") >= 1
