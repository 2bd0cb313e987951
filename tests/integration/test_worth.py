"""What the choice of an initializer is worth, wherever a report says it."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from initsuite.report.files import write_report
from initsuite.report.text.terminal import print_report
from initsuite.report.text.worth import WORTH_TITLE
from initsuite.report.verdicts.recommendations import build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.store import Store, load_results
from support.crossed import TRUTH, plant

SENTENCE = "Best against worst initializer: 40.0 points of final score [40.0, 40.0] without a norm under adamw"


def views_of(directory: Path, cells: dict[tuple[str, str], dict[str, float]]) -> Views:
    store = Store(directory / "results")
    plant(store, cells)
    return Views(build_report(load_results(store.directory)))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Views, Path]:
    folder = tmp_path_factory.mktemp("crossed")
    views = views_of(folder, TRUTH)
    write_report(views, folder / "report")
    return views, folder / "report"


@pytest.mark.slow
def test_the_page_and_the_markdown_say_it_with_table_and_picture(written: tuple[Views, Path]) -> None:
    _, folder = written
    page = (folder / "recommendations.html").read_text(encoding="utf-8")
    assert f"<h2>{WORTH_TITLE}</h2>\n<p>{SENTENCE}" in page
    assert 'data-chart="worth"' in page
    assert page.index("Does the choice of initializer matter?") < page.index("has the best mean rank")
    assert (
        "<b>Trained with adamw.</b> The choice matters without a norm (he over normal: +40.0 points [40.0, 40.0])."
        in page
    )
    assert 'data-table="worth"' in page
    text = (folder / "recommendations.md").read_text(encoding="utf-8")
    assert f"## {WORTH_TITLE}\n\n" in text
    assert r"+56.0 points \[56.0, 56.0\]" in text
    assert "figures/worth.png" in text
    assert pd.read_csv(folder / "tables" / "worth.csv").score.round(3).tolist() == [0.4, 0.56, 0.0, 0.03]


@pytest.mark.slow
def test_the_figure_has_a_row_for_each_context_and_its_data(written: tuple[Views, Path]) -> None:
    views, folder = written
    pd.testing.assert_frame_equal(
        pd.read_csv(folder / "figures" / "worth.csv", dtype={"norm": str}, keep_default_na=True),
        views.worth,
        check_dtype=False,
    )
    for ending in ("png", "pdf"):
        assert (folder / "figures" / f"worth.{ending}").stat().st_size > 5_000


@pytest.mark.slow
def test_the_terminal_says_it(written: tuple[Views, Path]) -> None:
    console = Console(file=io.StringIO(), width=400)
    print_report(written[0], console)
    assert SENTENCE in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_store_that_is_not_crossed_says_nothing(tmp_path: Path) -> None:
    cells = {cell: arms for cell, arms in TRUTH.items() if cell[1] == "sgd"}
    write_report(views_of(tmp_path, cells), tmp_path / "report")
    assert WORTH_TITLE not in (tmp_path / "report" / "recommendations.html").read_text(encoding="utf-8")
    assert WORTH_TITLE not in (tmp_path / "report" / "recommendations.md").read_text(encoding="utf-8")
    assert not list((tmp_path / "report").rglob("worth.*"))
