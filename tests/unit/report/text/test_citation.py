"""What is cited: read off the stored trials, and CITATION.cff beside what it repeats."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from initsuite import provenance
from initsuite.report.text.citation import AUTHORS, TITLE, bibtex, citation_block
from initsuite.results.store import Store, load_results, store_hash
from initsuite.spec import PROTOCOL_VERSION
from support.planter import Planter

REPOSITORY = Path(__file__).parents[4]


def test_the_citation_file_has_what_its_format_requires_and_agrees_with_the_project() -> None:
    found = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert found["cff-version"] == "1.2.0"
    assert found["message"]
    assert found["type"] == "software"
    assert str(found["version"]) == project["project"]["version"]
    assert found["license"] == project["project"]["license"]
    assert found["authors"] == [{"name": AUTHORS}]
    assert found["title"] == TITLE
    assert set(project["project"]["keywords"]) - {"pytorch", "hydra", "wandb"} <= set(found["keywords"])
    assert "/CITATION.cff" in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]


def test_the_block_identifies_the_trials(tmp_path: Path) -> None:
    planter = Planter(Store(tmp_path))
    planter.arm("he", [100, 120])
    planter.arm("xavier", [100], commit="b" * 40, dirty=True)
    trials = load_results(tmp_path).trials
    trials.loc[:, "written_at"] = ["2026-01-02T10:00:00+00:00"] + ["2026-01-04T09:00:00+00:00"] * (len(trials) - 1)
    assert citation_block(trials) == [
        ("initsuite", metadata.version("initsuite")),
        ("protocol version", str(PROTOCOL_VERSION)),
        ("store hash", store_hash(trials)),
        ("commit", "aaaaaaaaa, bbbbbbbbb (uncommitted changes)"),
        ("torch", "2.13"),
        ("device", "cpu"),
        ("trials", "13, 3 of them for scoring"),
        ("written", "2026-01-02 to 2026-01-04"),
    ]


def test_a_store_of_one_day_and_an_empty_one(tmp_path: Path) -> None:
    trials = Store(tmp_path).read().trials
    block = dict(citation_block(trials))
    assert (block["trials"], block["commit"], block["written"]) == ("0, 0 of them for scoring", "unknown", "never")
    Planter(Store(tmp_path)).arm("he", [100])
    trials = load_results(tmp_path).trials.assign(written_at="2026-01-02T10:00:00+00:00")
    assert dict(citation_block(trials))["written"] == "2026-01-02"


def test_the_entry_names_the_installed_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bibtex() == (
        "@software{initsuite,\n"
        "  author = {{The initsuite developers}},\n"
        "  title = {{initsuite: which weight initializer, and how sure are we?}},\n"
        f"  version = {{{metadata.version('initsuite')}}},\n"
        "}"
    )

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(provenance, "version", missing)
    assert "version = {unknown}" in bibtex()
