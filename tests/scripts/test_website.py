"""The pages that are generated, and the links of those that are written."""

from __future__ import annotations

import doctest
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import website.__main__ as door
from website import api, claims, docstrings, markdown, pages
from website.docstrings import parts_of
from website.pages import REPOSITORY, links_of, moved
from website.terms import TERMS

from initsuite import init
from initsuite.errors import ConfigError
from initsuite.literature.claim import load_claims
from initsuite.literature.judging import judged
from initsuite.report import Views, build_report
from initsuite.report.page.html import html_page
from initsuite.results.store import load_results
from support.small_store import make_store

LIBRARIES = {"torch", "Keras", "Flax", "timm", "transformers"}
OWN = REPOSITORY / "docs" / "own.md"


@pytest.mark.parametrize("name", init.__all__)
def test_a_page_leaves_out_nothing_of_a_docstring(name: str) -> None:
    """Whatever stands before its Args and in Raises, Elsewhere and References is in a part of the page."""
    doc = inspect.getdoc(getattr(init, name)) or ""
    found = parts_of(doc)
    entries = [f"{first} {text}" for section in found.sections.values() for first, text in section]
    shown = " ".join([found.summary, found.law, *found.pitfalls, *found.departures, *entries])
    left_out = re.sub(r"^(Example|Returns):\n(?:.+\n?)+|\b(Pitfalls?|Departures?): ", "", doc, flags=re.MULTILINE)
    assert words(left_out) - words(shown) <= {"args", "raises", "elsewhere", "references"}
    assert {library for library, _ in found.sections.get("Elsewhere", [])} <= LIBRARIES


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.replace("\\", "").lower()))


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.__name__)
def test_a_term_is_explained_in_two_sentences(term: Callable[..., None]) -> None:
    title, text = (inspect.getdoc(term) or "").split("\n\n")
    assert title.endswith(".")
    assert len(re.findall(r"[.?](?=\s+[A-Z0-9]|$)", text)) == 2


@pytest.mark.parametrize("module", [api, claims, docstrings, markdown, pages], ids=lambda module: module.__name__)
def test_the_examples_of_the_scripts_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def plant(folder: Path) -> None:
    """Starts of `selu_fixed_point` as it predicts them: 20 draws of each of its three cells."""
    (folder / "starts").mkdir(parents=True)
    scatter = np.random.default_rng(0).normal(0, 0.02, 20)
    for cell, (name, gain, variance) in enumerate([("he", 2**0.5, 1e5), ("lecun", 1.0, 1.0), ("lecun", 0.75, 0.01)]):
        config = json.dumps({"init": {"name": name, "gain": gain}})
        values = {"activation_variance": variance * (1 + scatter), "activation_mean": scatter}
        table = pd.DataFrame({"cell": str(cell), "seed": range(20), **values, "measures": "signal", "config": config})
        table.to_parquet(folder / "starts" / f"{cell}.parquet")


def verdict(name: str, folder: Path) -> str:
    """The page of a claim, by the stores in a folder."""
    return claims.claim_pages(judged(load_claims([name]), folder), folder, folder / "site")[f"claims/{name}.md"]


@pytest.mark.slow  # it imports matplotlib, and draws
def test_a_claim_that_was_run_has_its_verdict_and_its_figure(tmp_path: Path) -> None:
    """Planted starts of `selu_fixed_point`, beside an empty store."""
    name = "selu_fixed_point"
    assert "**Verdict: not run yet.**" in verdict(name, tmp_path)
    plant(tmp_path / name)
    found = verdict(name, tmp_path)
    assert "**Verdict: reproduced.** Predicted: reproduced." in found
    assert "| He's gain explodes | `within` | reproduced |" in found
    assert "against the prediction" not in found
    assert f"]({name}/figure.png)" in found
    assert (tmp_path / "site" / "claims" / name / "figure.png").stat().st_size > 1000


def test_links_follow_their_files() -> None:
    text = "[a](../src/initsuite/spec.py) [b](own.md#x) [c](https://x.y)\n```python\nf(a)[0](b)\n```\n[d](../CONTRIBUTING.md)"
    assert moved(REPOSITORY / "docs" / "own.md", text) == (
        "[a](files/src/initsuite/spec.py) [b](own.md#x) [c](https://x.y)\n```python\nf(a)[0](b)\n```\n[d](contributing.md)"
    )


def test_a_link_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dead `link`='ours.md' in docs/own.md. Expected a file"):
        list(links_of(OWN, "[a](ours.md)"))


def test_a_folder_of_somebody_elses_is_not_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "source").mkdir()
    assert door.main(["--out", str(tmp_path)]) == 2
    assert "Expected a folder without `source`, or one of an earlier build" in capsys.readouterr().err
    assert (tmp_path / "source").is_dir()


@pytest.mark.slow  # it builds a report
def test_the_report_of_a_store_is_a_page_by_its_name(tmp_path: Path) -> None:
    (name, page), *others = door.report_pages({"planted": make_store(tmp_path)}).items()
    assert (name, others) == ("planted.html", [])
    assert page == html_page(Views(build_report(load_results(tmp_path))))
