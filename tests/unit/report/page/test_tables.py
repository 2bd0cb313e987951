"""The tables of the page: what is shown, and what a column sorts by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from initsuite.report.page import tables
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.results.store import Store
from support.planter import MISS, STUCK, Planter


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
        [120, "120 [100, 140]"],
        [310, "310 [too few seeds]"],
        [tables.NEVER_SORTS_AS, "never"],
    ]
    # Four of four are as many as eight of eight.
    assert [cell[0] for cell in column(table, "success rate (seeds)")] == [1, 1, 0]
    assert column(table, "verdict")[1:] == ["not enough seeds", ["worse", "worse (p = 0.016); near chance"]]
    assert [found["kind"] for found in table["columns"]][:3] == ["init", "number", "number"]


def test_grade_and_reason_are_two_columns(tmp_path: Path) -> None:
    table = tables.recommendations(planted(tmp_path))
    assert column(table, "confidence") == ["low"]
    assert column(table, "reason") == ["not enough seeds (7 could decide)"]
    (grade,) = (found for found in table["columns"] if found["title"] == "confidence")
    assert grade == {"title": "confidence", "kind": "grade", "filter": True}
