#!/usr/bin/env python3
"""Make a release from the stores of all claims, or rebuild the tables of verdicts from one. Run by a maintainer.

    python scripts/release.py make claims 2026.12     the trials and starts in ./claims become reference@2026.12
    python scripts/release.py tables                  print the tables of the newest release, rebuilt from its trials
    python scripts/release.py tables 2026.12          those of another one
    python scripts/release.py compare again           claims in ./again whose verdict is not that of the newest release
    python scripts/release.py check                   every release is what it was, and so are its tables, to the byte

A release is never changed: `make` refuses to write over one. Commit the new folder in src/initsuite/results/releases.
"""

from __future__ import annotations

import sys
from pathlib import Path

from initsuite.errors import InitsuiteError
from initsuite.literature.release import differing, make_release, rebuild, verdict_tables
from initsuite.results.releases import PREFIX, newest_release, read_release, release_folder, release_names
from initsuite.wording import format_bytes, format_count


def main(arguments: list[str]) -> int:
    match arguments:
        case ["make", results, version]:
            return _make(Path(results), version)
        case ["tables", *versions] if len(versions) < 2:
            print(verdict_tables(release_folder(PREFIX + versions[0]) if versions else _newest()), end="")
            return 0
        case ["compare", results]:
            lines = differing(Path(results), _newest())
            print("\n".join(lines) or f"The verdicts in {results} are those that ship.")
            return 1 if lines else 0
        case ["check"]:
            return _check()
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def _newest() -> Path:
    folder = newest_release()
    if folder is None:
        raise InitsuiteError("release: none ships yet. Make one: python scripts/release.py make claims VERSION")
    return folder


def _make(results: Path, version: str) -> int:
    made = make_release(results, version)
    release = read_release(made.folder)
    size = format_bytes(sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file()))
    print(f"{release.line}: {format_count(len(release.files), 'file')}, {size}, in {made.folder}")
    if made.left_out:
        print(f"Left out, without a verdict: {', '.join(made.left_out)}")
    return 0


def _check() -> int:
    changed = [version for version in release_names() if not rebuild(release_folder(PREFIX + version))]
    for version in release_names():
        print(f"{PREFIX}{version}: {'other tables than it ships' if version in changed else 'as it was made'}")
    return 1 if changed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InitsuiteError as error:
        sys.exit(str(error))
