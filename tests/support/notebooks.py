"""The notebooks and what they show. `python tests/support/notebooks.py` runs them again and keeps the new outputs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def train_quickstart(folder: Path) -> None:
    """The command that the quickstart notebook names, in a folder."""
    command = [sys.executable, "-m", "initsuite.train", "-m", "experiment=quickstart", "tracking=disabled"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


def executed(path: Path, folder: Path) -> Any:
    """A notebook, run from top to bottom in a folder."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in notebook.cells:
        cell.metadata = {}  # the times at which it ran
    return notebook


def shown(notebook: Any) -> list[list[str]]:
    """What each code cell shows: what it prints, in however many parts, its tables, and that it is a picture."""
    return [_of_cell(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]


def _of_cell(outputs: Sequence[Any]) -> list[str]:
    streams: dict[str, str] = {}
    for output in outputs:
        if output.output_type == "stream":
            streams[output.name] = streams.get(output.name, "") + output.text
    printed = [f"{name}: {text}" for name, text in streams.items()]
    return printed + [_shown(output) for output in outputs if output.output_type != "stream"]


def _shown(output: Any) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return "a picture"
    text = str(data.get("text/html", data.get("text/plain", output.get("ename", ""))))
    return re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)


if __name__ == "__main__":
    os.environ.pop("RESULTS", None)
    with tempfile.TemporaryDirectory() as name:
        train_quickstart(Path(name))
        for each in NOTEBOOKS:
            nbformat.write(executed(each, Path(name)), each)
