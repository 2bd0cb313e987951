"""The tables of the page: what is shown, and what a column sorts by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from initsuite.report.page import tables
from initsuite.report.page.contexts import cards
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.store import Store
from support.planter import DIVERGED, FAILED, MISS, STUCK, Planter

FAST = [100.0 + 20 * (seed % 3) for seed in range(8)]


def planted(folder: Path) -> Report:
    store = Store(folder)
    planter = Planter(store)
    planter.arm("he", [100.0 + 20 * (seed % 3) for seed in range(8)])
    planter.arm("xavier", [300.0 + 20 * (seed % 3) for seed in range(4)])
    planter.arm("zero", [MISS] * 8, STUCK, easy=False)
    return build_report(store.read())


def column(table: dict[str, Any], title: str) -> list[Any]:
    place = [found["title"] for found in table["columns"]].index(title)
    return [row[place] for row in table["rows"]]


def test_a_cell_sorts_by_its_number_and_shows_it_with_its_interval(tmp_path: Path) -> None:
    (table,) = tables.arms(planted(tmp_path))
    assert column(table, "initializer") == ["he", "xavier", "zero"]
    assert column(table, "median steps to target [95 %]") == [
        [120, "120", "[100, 140]"],
        [310, "310", "[too few seeds]"],
        [tables.NEVER_SORTS_AS, "never"],
    ]
    # Four of four are as many as eight of eight.
    assert [cell[0] for cell in column(table, "success rate (seeds)")] == [1, 1, 0]
    assert column(table, "verdict")[1:] == ["not enough seeds", ["worse", "worse", "(p = 0.016); near chance"]]
    assert [found["kind"] for found in table["columns"]][:3] == ["init", "number", "number"]


def test_the_reason_of_a_grade_stands_below_it(tmp_path: Path) -> None:
    report = planted(tmp_path)
    table = tables.recommendations(report, cards(report))
    assert column(table, "confidence") == [["low", "low", "not enough seeds (7 could decide)"]]
    (grade,) = (found for found in table["columns"] if found["title"] == "confidence")
    assert grade == {"title": "confidence", "kind": "grade", "filter": True}


def test_a_context_is_named_by_what_distinguishes_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for depth in (2, 3):
        planter = Planter(store, depth=depth, model=f"mlp-{depth}x64")
        planter.arm("he", FAST)
        planter.arm("xavier", [steps + 200 for steps in FAST])
    report = build_report(store.read())
    table = tables.recommendations(report, cards(report))
    name = "digits / mlp-3x64 / relu / sgd"
    assert column(table, "context")[1] == ["mlp-3x64", "mlp-3x64", "", name]
    titles = [found["title"] for found in table["columns"]]
    assert titles == ["context", "model", "recommended"]  # the planted contexts differ in nothing else
    assert ["dataset", "digits"] in table["same"]
    assert ["optimizer", "sgd"] in table["same"]
    assert not any("torch_default" in title for title, _ in table["same"])
    assert [found["title"] for found in table["columns"] if found.get("hidden")] == ["model"]


def test_columns_that_say_nothing_are_left_out() -> None:
    columns = [{"title": title, "kind": kind} for title, kind in (("init", "init"), ("lr", "number"), ("note", "text"))]
    rows = [["he", [0.1, "0.1", "[0.1, 0.2]"], ""], ["he", [0.1, "0.1", "[0.1, 0.2]"], None]]
    found = tables.condensed({"columns": columns, "rows": rows})
    assert found["columns"] == columns[:1]  # an initializer is never a mere remark below the table
    assert found["rows"] == [["he"], ["he"]]
    assert found["same"] == [["lr", "0.1 [0.1, 0.2]"]]
    alone = tables.condensed({"columns": columns, "rows": rows[:1]})
    assert (alone["columns"], alone["same"]) == (columns[:2], [])
    varied = tables.condensed({"columns": columns, "rows": [rows[0], ["he", [0.1, "0.1", "[0.0, 0.2]"], None]]})
    assert varied["columns"] == columns[:2], "the details differ"


def test_only_what_failed_is_a_failure(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planter = Planter(store)
    planter.arm("he", FAST)
    planter.arm("normal", [DIVERGED, FAILED, *FAST[2:]])
    planter.arm("zero", [MISS] * 8, STUCK, easy=False)
    table = tables.failures(Views(build_report(store.read())))
    assert column(table, "initializer") == ["normal", "zero"]
    assert column(table, "what failed") == [
        "1 of 7 scoring trials diverged; 1 trial ended with an error",
        "near chance at every learning rate tried",
    ]
    assert column(table, "last error") == ["ValueError: planted", ""]


def test_a_high_rate_that_diverges_is_no_failure(tmp_path: Path) -> None:
    store = Store(tmp_path)
    Planter(store).arm("he", FAST)
    trials = store.read().trials
    views = Views(build_report(replace(store.read(), trials=_diverged(trials, lr=1.0))))
    assert views.report.trials.status.eq("diverged").sum() == 1
    assert views.failures.empty
    assert tables.failures(views)["rows"] == []


def _diverged(trials: pd.DataFrame, lr: float) -> pd.DataFrame:
    """The same trials, but for the tuning one at this rate, which diverges."""
    is_lost = (trials.stage == "tune") & (trials.lr == lr)
    return trials.assign(status=trials.status.mask(is_lost, "diverged"))
