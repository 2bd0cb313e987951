"""The pages that are files of the repository, laid out as the site has them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from initsuite.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
FENCES = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()([^)#\s]+)")
NAMED = {"README.md": "index.md"}
"""What the front page of the repository is on the site."""


def written_pages() -> list[Path]:
    """The files that are pages: those of docs/ and its examples, the notebooks, and how to contribute."""
    folders = [*(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("conf/*/README.md")]
    return sorted(
        [
            *folders,
            *(REPOSITORY / "notebooks").glob("*.ipynb"),
            REPOSITORY / "CONTRIBUTING.md",
            REPOSITORY / "CHANGELOG.md",
        ]
    )


def place_of(path: Path) -> Path:
    """Where a file of the repository is on the site.

    Example:
        >>> place_of(REPOSITORY / "docs/own.md"), place_of(REPOSITORY / "CONTRIBUTING.md")
        (PosixPath('own.md'), PosixPath('contributing.md'))
        >>> place_of(REPOSITORY / "src/initsuite/spec.py")
        PosixPath('files/src/initsuite/spec.py')
    """
    inside = path.relative_to(REPOSITORY)
    if inside.parts[0] == "docs":
        return Path(*inside.parts[1:])
    if str(inside) in NAMED:
        return Path(NAMED[str(inside)])
    if len(inside.parts) == 1 and inside.suffix == ".md":
        return Path(inside.name.lower())
    return inside if inside.suffix in (".md", ".ipynb") else Path("files") / inside


def stage(folder: Path) -> list[Path]:
    """Copy the pages into a folder, and what they link to; returns their places there.

    Links lead where the files are on the site. A linked file that is no page is there to be downloaded.

    Raises:
        ConfigError: a link that leads nowhere.
    """
    places = []
    for path in written_pages():
        places.append(place_of(path))
        target = folder / places[-1]
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            shutil.copyfile(path, target)
            continue
        text = path.read_text(encoding="utf-8")
        for linked in links_of(path, text):
            if linked.suffix != ".md":
                copy = folder / place_of(linked)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(linked, copy)
        target.write_text(moved(path, text), encoding="utf-8")
    return places


def links_of(path: Path, text: str) -> Iterator[Path]:
    """The files of the repository that a page links to.

    Raises:
        ConfigError: a link that leads nowhere.
    """
    for part in FENCES.split(text)[::2]:
        for link in LINK.findall(part):
            if re.match(r"\w+:", link):
                continue
            found = (path.parent / link).resolve()
            if not found.is_file():
                raise ConfigError(f"website: dead `link`={link!r} in {path.relative_to(REPOSITORY)}. Expected a file.")
            yield found


def moved(path: Path, text: str) -> str:
    """A page with its links as they are on the site."""
    parts = FENCES.split(text)
    here = place_of(path).parent

    def lead(found: re.Match[str]) -> str:
        link = found.group()
        if re.match(r"\w+:", link):
            return link
        return Path(os.path.relpath(place_of((path.parent / link).resolve()), here)).as_posix()

    parts[::2] = [LINK.sub(lead, part) for part in parts[::2]]
    return "".join(parts)
