"""A release made from the stores of claims, and the tables that are rebuilt from it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from initsuite.config.groups import conf_dir
from initsuite.errors import StoreError
from initsuite.files import write_whole
from initsuite.literature.claim import Claim, read_claim
from initsuite.literature.judging import Judged, judged
from initsuite.literature.text import effect
from initsuite.literature.verdict import Verdict
from initsuite.provenance import provenance
from initsuite.results.columns import KINDS
from initsuite.results.maintain import merge, prune
from initsuite.results.releases import (
    RELEASES,
    Release,
    check_release,
    check_version,
    claim_folders,
    read_release,
    write_release,
)
from initsuite.results.sources import SHIPPED
from initsuite.results.store import load_results, store_hash
from initsuite.spec import PROTOCOL_VERSION
from initsuite.wording import format_count

CLAIM_FILE = "claim.yaml"
VERDICTS = "verdicts.md"


@dataclass(frozen=True)
class Made:
    """A release that was made.

    Attributes:
        folder: where it is.
        left_out: claims without a verdict.
    """

    folder: Path
    left_out: tuple[str, ...]


def claim_in(folder: Path) -> Claim:
    """The claim that a folder states in `claim.yaml`.

    Raises:
        ConfigError: it is no claim.
        StoreError: there is none.
    """
    path = folder / CLAIM_FILE
    if not path.is_file():
        raise StoreError(f"claims: no `{path}`. Expected a folder with the file of a claim, as conf/claim has them.")
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    return read_claim(str(tree.get("name", "")) if isinstance(tree, dict) else "", tree)


def make_release(results: Path, version: str, root: Path = RELEASES, claims: Path | None = None) -> Made:
    """Copy the trials and measured starts of all claims that have a verdict, with their files, and seal them.

    Args:
        results: the folder with a store for each claim, as `initsuite claims run` filled it. It stays as it is.
        version: of the release, such as 2026.12.
        root: the folder of all releases.
        claims: the folder with the files of the claims; None = conf/claim.

    Raises:
        ConfigError: no version.
        StoreError: the release exists, no claim has a verdict, or a part of a store is damaged.
    """
    check_version(version)
    target, claims = root / version, claims or conf_dir() / "claim"
    if target.exists():
        raise StoreError(
            f"release: `version`={version!r} is there already. Expected a new one: a release is never changed. Choose "
            "the next month, or add a number, such as 2026.12.1."
        )
    draft = root / f".{version}"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for path in sorted(claims.glob("*.yaml")):
            _copy(results / path.stem, draft / path.stem)
            shutil.copyfile(path, draft / path.stem / CLAIM_FILE)
        left_out = _without_verdict(draft)
        _seal(draft, version)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    draft.rename(target)
    return Made(target, left_out)


def _copy(store: Path, target: Path) -> None:
    """The trials, curves and measured starts of a claim, without anything else that runs leave."""
    target.mkdir(parents=True)
    if (store / "trials").is_dir():
        if damaged := merge(target, [store]).damaged:
            raise StoreError(
                f"release: damaged `{damaged[0]}`. Expected Parquet parts as they were written. Run the claim again: "
                "what the part held is trained once more."
            )
        prune(target, older_versions=True, delete=True)
        for path in target.iterdir():
            if path.name not in KINDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    if (store / "starts").is_dir():
        shutil.copytree(
            store / "starts",
            target / "starts",
            ignore=lambda _, names: [n for n in names if not n.endswith(".parquet")],
        )


def _without_verdict(draft: Path) -> tuple[str, ...]:
    """Remove the claims that have not run; their names."""
    found = release_verdicts(draft)
    left_out = tuple(each.claim.name for each in found if each.verdict is Verdict.NOT_RUN)
    if not any(
        each.verdict is not Verdict.NOT_RUN and (draft / each.claim.name / kind).is_dir()
        for each in found
        for kind in ("starts", "trials")
    ):  # not those of other shipped stores alone
        raise StoreError("release: no claim has a verdict. Expected a folder that initsuite claims run has filled.")
    for name in left_out:
        shutil.rmtree(draft / name)
    return left_out


def _seal(draft: Path, version: str) -> None:
    stores = {claim.trials.store for folder in claim_folders(draft) if (claim := claim_in(folder)).trials}
    hashes = {name: store_hash(load_results(SHIPPED[name]).trials) for name in sorted(stores) if name}
    release = Release(version, f"{datetime.now(UTC):%Y-%m-%d}", PROTOCOL_VERSION, hashes, provenance(), {})
    write_whole(draft / VERDICTS, lambda path: path.write_text(verdict_tables(draft, release), encoding="utf-8"))
    write_release(draft, release)


def release_verdicts(folder: Path) -> list[Judged]:
    """The claims of a release, judged by what it holds and by their files in it."""
    return judged([claim_in(each) for each in claim_folders(folder)], folder)


def rebuild(folder: Path) -> bool:
    """Rebuild the tables of a release from its trials; whether they are, byte for byte, those that it ships.

    Raises:
        StoreError: a file of the release was changed.
    """
    release = check_release(folder)
    return verdict_tables(folder, release).encode() == (folder / VERDICTS).read_bytes()


def differing(results: Path, release: Path) -> list[str]:
    """Claims that were run again and came to another verdict than in a release, with both."""
    shipped = {each.claim.name: each for each in release_verdicts(release)}
    again = judged([each.claim for each in shipped.values()], results)
    run = [each for each in again if each.verdict is not Verdict.NOT_RUN]
    return [
        f"{each.claim.name}: {each.verdict}; ships: {shipped[each.claim.name].verdict}"
        for each in run
        if each.verdict is not shipped[each.claim.name].verdict
    ]


def verdict_tables(folder: Path, release: Release | None = None) -> str:
    """All verdicts of a release in Markdown: a table of the claims, and one of their criteria."""
    release, found = release or read_release(folder), release_verdicts(folder)
    counts = ", ".join(
        f"{number} {verdict}" for verdict in Verdict if (number := sum(each.verdict is verdict for each in found))
    )
    stores = "".join(f" Trials of `{name}`: {digits}." for name, digits in release.stores.items())
    parts = [
        f"# Verdicts of reference@{release.version}",
        f"{format_count(len(found), 'claim')}: {counts}. Released {release.date}, protocol {release.protocol_version}."
        f"{stores}",
        _rows(("claim", "verdict", "at the paper's learning rate", "predicted", "reference"), map(_claim_row, found)),
        "## Criteria",
        _rows(("claim", "criterion", "verdict", "effect [95 %]"), [row for each in found for row in _criteria(each)]),
    ]
    return "\n\n".join(parts) + "\n"


def _claim_row(each: Judged) -> tuple[str, ...]:
    mark = "" if each.stands else ", not at 5 % of false discoveries"
    at_one = str(each.published_verdict or "-")
    return each.claim.name, f"{each.verdict}{mark}", at_one, str(each.claim.expected), each.claim.source


def _criteria(each: Judged) -> list[tuple[str, ...]]:
    name, trials = each.claim.name, each.claim.trials
    rows = [(name, key, str(each.verdicts[key]), effect(finding)) for key, finding in each.findings.items()]
    at = f" (learning rate {trials.published_lr:g})" if trials and trials.published_lr is not None else ""
    again = [(name, key + at, str(verdict), effect(finding)) for key, (finding, verdict) in each.published.items()]
    return rows + again


def _rows(head: Sequence[str], rows: object) -> str:
    lines = [head, ["---"] * len(head), *rows]  # type: ignore[misc]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in lines)
