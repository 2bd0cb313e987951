"""Releases of the claims: made once, never changed, read by name, their tables rebuilt byte for byte."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

import initsuite
from initsuite.config.groups import conf_dir
from initsuite.errors import ConfigError, StoreError
from initsuite.literature import __main__ as door
from initsuite.literature.claim import load_claims
from initsuite.literature.release import VERDICTS, claim_in, differing, make_release, rebuild, verdict_tables
from initsuite.results import __main__ as results_door
from initsuite.results import releases
from initsuite.results.releases import RELEASES, check_release, claim_folders, release_names
from initsuite.results.store import load_results
from support.small_store import make_store
from unit.literature.test_door import planted

TINY = {
    "name": "tiny", "statement": "He ends better than zeros.", "prediction": "It does.", "expected": "reproduced",
    "reference": {"authors": "A", "year": 1, "title": "T", "section": "1", "arxiv": ""}, "setting": "Tiny.",
    "tier": "fast", "trials": {"base": ["protocol=smoke"], "params": {"init": "he,zero"}},
    "criteria": [{"name": "He is better", "kind": "score", "better": {"init": "he"}, "worse": {"init": "zero"},
                  "minimum": 0.1}],
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one release, of a measured claim, a trained one, and one that was not run."""
    folder = tmp_path_factory.mktemp("releases")
    claims, stores = folder / "conf", planted(folder / "stores")
    claims.mkdir()
    for name in ("selu_fixed_point", "siren"):
        (claims / f"{name}.yaml").write_bytes((conf_dir() / "claim" / f"{name}.yaml").read_bytes())
    (claims / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    make_store(stores / "tiny")
    (stores / "selu_fixed_point" / "figure.png").write_bytes(b"a figure is none of a release")
    (stores / "selu_fixed_point" / "starts" / ".0.parquet.1a2b.tmp").write_bytes(b"left by a command that was killed")
    made = make_release(stores, "2026.12", folder / "releases", claims)
    assert made.left_out == ("siren",)
    with pytest.raises(StoreError, match=r"`version`='2026.12' is there already.*a release is never changed"):
        make_release(stores, "2026.12", folder / "releases", claims)
    return folder


@pytest.fixture
def shipped(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the one that ships; the working directory has no stores."""
    folder = root / "releases"
    monkeypatch.chdir(tmp_path)
    for name in ("release_names", "newest_release", "release_folder"):
        function = getattr(releases, name)
        defaults = tuple(folder if each == RELEASES else each for each in function.__defaults__)
        monkeypatch.setattr(function, "__defaults__", defaults)
    return folder / "2026.12"


def test_a_release_holds_what_was_measured_and_trained_and_nothing_else(root: Path) -> None:
    folder = root / "releases" / "2026.12"
    kinds = {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
    measured = {f"selu_fixed_point/{name}" for name in ("claim.yaml", "starts")}
    assert kinds == measured | {f"tiny/{name}" for name in ("claim.yaml", "trials", "curves")}
    found, stored = (load_results(path / "tiny").trials for path in (folder, root / "stores"))
    pd.testing.assert_frame_equal(found, stored)
    starts = {path.name for path in (folder / "selu_fixed_point" / "starts").iterdir()}
    assert starts == {f"{number}.parquet" for number in range(3)}
    release = check_release(folder)
    assert (release.version, release.protocol_version) == ("2026.12", 2)
    assert re.fullmatch(r"reference@2026\.12, \d{4}-\d\d-\d\d, hash [0-9a-f]{16}", release.line)


def test_the_tables_are_rebuilt_byte_for_byte(root: Path) -> None:
    folder = root / "releases" / "2026.12"
    assert rebuild(folder)
    text = verdict_tables(folder)
    assert "| selu_fixed_point | reproduced | - | reproduced | Klambauer" in text
    assert re.search(r"\| selu_fixed_point \| variance 1 \| reproduced \| (1\.0|0\.9)\d+ \[", text)
    assert "| tiny | He is better | " in text


def test_a_claim_that_comes_out_otherwise_is_named(root: Path, tmp_path: Path) -> None:
    folder = root / "releases" / "2026.12"
    assert differing(root / "stores", folder) == []
    expected = ["selu_fixed_point: reproduced in part; ships: reproduced"]
    assert differing(planted(tmp_path, factor=2.0), folder) == expected


@pytest.mark.parametrize(("damage", "message"), [
    (lambda folder: (folder / "tiny" / "claim.yaml").write_text("name: tiny"), "`tiny/claim.yaml` was changed"),
    (lambda folder: next((folder / "tiny" / "curves").iterdir()).unlink(), "`tiny/curves/.*` is missing"),
    (lambda folder: (folder / "notes.txt").write_text("!"), "`notes.txt` was added, and 0 other files"),
    (lambda folder: (folder / "release.json").write_text("{}"), "release.json` is no description of a release"),
])  # fmt: skip
def test_a_release_that_was_changed_is_refused(root: Path, tmp_path: Path, damage, message: str) -> None:
    folder = Path(shutil.copytree(root / "releases" / "2026.12", tmp_path / "2026.12"))
    damage(folder)
    with pytest.raises(StoreError, match=message):
        rebuild(folder)


def test_a_release_is_read_by_name(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = initsuite.load_results("reference@2026.12").trials
    pd.testing.assert_frame_equal(trials, initsuite.load_results("reference@2026.12/tiny").trials)
    assert set(trials.init) == {"he", "torch_default", "zero"}
    for name, message in (("2026.11", "unknown `release`='2026.11'"), ("2026.12/tyni", "unknown `claim`='tyni'")):
        with pytest.raises(StoreError, match=message):
            initsuite.load_results(f"reference@{name}")
    assert results_door.main(["show", "reference@2026.12"]) == 0
    assert "2 claims: selu_fixed_point, tiny" in capsys.readouterr().out


@pytest.mark.slow  # the claims that are judged from the shipped reference
def test_claims_shows_the_release_where_nothing_was_run(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["results_dir=reference@2026.12"]):
        assert door.main(arguments) == 0
        first, *lines = capsys.readouterr().out.splitlines()
        assert first.startswith("From the release that ships: reference@2026.12, ")
        (line,) = (line for line in lines if line.startswith("selu_fixed_point"))
        assert re.split(r" {2,}", line)[1] == "reproduced"
    assert door.main(["show", "selu_fixed_point"]) == 0
    assert "Figure: figures/selu_fixed_point/figure.png" in capsys.readouterr().out
    check_release(shipped)  # nothing was written into it
    assert door.main(["run", "selu_fixed_point", "results_dir=reference@2026.12"]) == 2
    assert "Expected a folder: a release is never written to" in capsys.readouterr().err
    planted(Path("claims"), factor=2.0)
    assert door.main(["show", "selu_fixed_point"]) == 0
    assert capsys.readouterr().out.startswith("selu_fixed_point: reproduced in part")


def test_what_is_no_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bad value `version`='december'. Expected a year and a month"):
        make_release(tmp_path, "december", tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    with pytest.raises(StoreError, match="no claim has a verdict"):
        make_release(tmp_path / "nothing", "2026.12", tmp_path / "releases", tmp_path / "conf")
    make_store(tmp_path / "tiny")
    part = next((tmp_path / "tiny" / "trials").iterdir())
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreError, match=r"release: damaged `.*parquet`. Expected Parquet parts as they were written"):
        make_release(tmp_path, "2026.12", tmp_path / "releases", tmp_path / "conf")
    assert list((tmp_path / "releases").iterdir()) == []
    with pytest.raises(StoreError, match=r"claims: no `.*claim.yaml`. Expected a folder with the file of a claim"):
        claim_in(tmp_path)


@pytest.mark.slow  # every claim of each release is judged again
@pytest.mark.parametrize("version", release_names())
def test_every_release_that_ships_rebuilds_its_tables(version: str) -> None:
    assert rebuild(RELEASES / version), f"python scripts/release.py tables {version} against its {VERDICTS}"


@pytest.mark.parametrize("version", release_names())
def test_no_prediction_was_edited_after_its_release(version: str) -> None:
    now = {claim.name: claim for claim in load_claims()}
    for folder in claim_folders(RELEASES / version):
        claim = claim_in(folder)
        if claim.name in now:
            assert (claim.prediction, claim.expected) == (now[claim.name].prediction, now[claim.name].expected)


def test_versions_are_ordered_as_numbers(tmp_path: Path) -> None:
    for version in ("2026.9", "2026.12", "2026.12.2", "2026.12.10", "notes"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "release.json").touch()
    assert release_names(tmp_path) == ["2026.9", "2026.12", "2026.12.2", "2026.12.10"]
