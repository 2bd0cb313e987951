"""llms.txt: the pages of the site for programs that read, with a sentence on each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from website.markdown import first_sentence

TREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)


def llms_text(source: Path) -> str:
    """Title and summary of the front page, then its table of contents with the pages below; links lead to the sources.

    Args:
        source: the folder with the sources of the site.
    """
    front = (source / "index.md").read_text(encoding="utf-8")
    parts = ["# initsuite", f"> {first_sentence(front)} Every page is plain Markdown at its link."]
    for block in TREE.findall(front):
        caption = re.search(r":caption: (.*)", block)
        lines = [_line(source, name) for name in _names(source, block)]
        parts.append("\n".join([f"## {caption.group(1) if caption else 'Pages'}", "", *lines]))
    return "\n\n".join(parts) + "\n"


def _names(source: Path, block: str) -> Iterator[str]:
    """The pages of a table of contents, each followed by those of its own."""
    for name in block.splitlines():
        if not name or name.startswith(":"):
            continue
        yield name
        page = source / f"{name}.md"
        if page.is_file():
            for inner in TREE.findall(page.read_text(encoding="utf-8")):
                yield from _names(source, "\n".join(_beside(name, line) for line in inner.splitlines()))


def _beside(name: str, line: str) -> str:
    return (Path(name).parent / line).as_posix() if line and not line.startswith(":") else line


def _line(source: Path, name: str) -> str:
    page, notebook = source / f"{name}.md", source / f"{name}.ipynb"
    if page.is_file():
        text = page.read_text(encoding="utf-8")
    else:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    title = re.search(r"^# (.*)$", text, flags=re.MULTILINE)
    file = page if page.is_file() else notebook
    return f"- [{title.group(1) if title else name}](_sources/{name}{file.suffix}): {first_sentence(text)}"
