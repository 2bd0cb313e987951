"""Releases: the stores of all claims, with a version, a date and a hash, shipped with the package and never changed.

    releases/2026.12/release.json       version, date, protocol, code, the hash of each file and of all together
    releases/2026.12/verdicts.md        what the claims came to, rebuilt from the rest byte for byte
    releases/2026.12/NAME/claim.yaml    a claim as it was judged
    releases/2026.12/NAME/trials, curves, starts    what was trained, and what was measured at step 0

`reference@2026.12` names one wherever a store is named, `reference@2026.12/NAME` the store of one of its claims.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from initsuite.errors import StoreError, bad_value, unknown_choice
from initsuite.files import read_json, write_whole
from initsuite.spec import short_hash

RELEASES = Path(__file__).parent / "releases"
PREFIX = "reference@"
MANIFEST = "release.json"
_VERSION = re.compile(r"\d{4}\.\d{1,2}(\.\d+)?")


@dataclass(frozen=True)
class Release:
    """What `release.json` says.

    Attributes:
        version: year and month, and a number where a month has several: 2026.12, 2026.12.1.
        date: of the release, as YYYY-MM-DD.
        protocol_version: of its trials.
        stores: hashes of the other shipped stores that its claims are judged from, by name.
        code: commit and versions that made it.
        files: by path in the folder, the SHA-256 of each file but `release.json`.
    """

    version: str
    date: str
    protocol_version: int
    stores: Mapping[str, str]
    code: Mapping[str, object]
    files: Mapping[str, str]

    @property
    def hash(self) -> str:
        """16 hexadecimal digits of the content of all files."""
        return short_hash(sorted(self.files.items()))

    @property
    def line(self) -> str:
        return f"{PREFIX}{self.version}, {self.date}, hash {self.hash}"


def release_names(root: Path = RELEASES) -> list[str]:
    """The versions that ship, the oldest first."""
    found = [path.parent.name for path in root.glob(f"*/{MANIFEST}") if _VERSION.fullmatch(path.parent.name)]
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


def newest_release(root: Path = RELEASES) -> Path | None:
    """The folder of the newest release; None where none ships."""
    names = release_names(root)
    return root / names[-1] if names else None


def is_release(source: object) -> bool:
    """Whether a name of a store means a release, or a claim of one."""
    return str(source).startswith(PREFIX) and not Path(str(source)).exists()


def release_folder(source: str | Path, root: Path = RELEASES) -> Path:
    """The folder that `reference@VERSION` or `reference@VERSION/CLAIM` means.

    Raises:
        StoreError: no such release, or no such claim in it.
    """
    version, _, claim = str(source).removeprefix(PREFIX).partition("/")
    if version not in release_names(root):
        raise _unknown("release", version, release_names(root))
    claims = [path.name for path in claim_folders(root / version)]
    if claim and claim not in claims:
        raise _unknown("claim", claim, claims)
    return root / version / claim


def _unknown(what: str, name: str, known: list[str]) -> StoreError:
    if not known:
        return StoreError(f"reference: unknown `{what}`={name!r}. None ships with this version of the suite.")
    return StoreError(str(unknown_choice("reference", what, name, known)))


def claim_folders(release: Path) -> list[Path]:
    """The claims of a release, by name."""
    return sorted(path.parent for path in release.glob("*/claim.yaml"))


def check_version(version: str) -> None:
    """Refuse what is no version.

    Raises:
        ConfigError: it is none.
    """
    if not _VERSION.fullmatch(version):
        raise bad_value("release", "version", version, "a year and a month, such as 2026.12 or 2026.12.1")


def read_release(folder: Path) -> Release:
    """What a release says about itself.

    Raises:
        StoreError: no release, or a file that cannot be read.
    """
    content = read_json(folder / MANIFEST)
    try:
        assert isinstance(content, dict)
        return Release(**{key: value for key, value in content.items() if key != "hash"})
    except (AssertionError, TypeError) as error:
        raise StoreError(
            f"release: `{folder / MANIFEST}` is no description of a release. Expected version, date, protocol_version, "
            "stores, code and files. Restore it from the checkout, or install the suite again."
        ) from error


def write_release(folder: Path, release: Release) -> None:
    """Describe the files of a folder: `files` is filled in."""
    tree = {**asdict(release), "files": hashes_of(folder)}
    text = json.dumps({**tree, "hash": Release(**tree).hash}, indent=1, sort_keys=True) + "\n"
    write_whole(folder / MANIFEST, lambda path: path.write_text(text, encoding="utf-8"))


def hashes_of(folder: Path) -> dict[str, str]:
    """By path in a folder, the SHA-256 of each file but the description."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def check_release(folder: Path) -> Release:
    """Check that a release is what it was: each file, and no other.

    Raises:
        StoreError: a file that changed, is missing or was added.
    """
    release, there = read_release(folder), hashes_of(folder)
    changed = {path for path in release.files.keys() & there.keys() if release.files[path] != there[path]}
    missing, added = release.files.keys() - there.keys(), there.keys() - release.files.keys()
    for what, paths in (("was changed", changed), ("is missing", missing), ("was added", added)):
        if paths:
            raise StoreError(
                f"release {release.version}: `{min(paths)}` {what}, and {len(changed | missing | added) - 1} other "
                "files differ. Expected a release as it was made: none is ever changed. Restore it from the checkout, "
                "or install the suite again."
            )
    return release
