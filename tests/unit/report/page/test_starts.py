"""The section on step 0: a row for each initializer of a context, and nothing where nothing was measured."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from initsuite.report.page.html import html_page
from initsuite.report.page.starts import starts, starts_chart
from initsuite.report.verdicts.starts import START_COLUMNS
from initsuite.results.store import load_results
from support.pages import plant, views_of


def row(init: str, **changes: Any) -> dict[str, Any]:
    numbers = {"q_ratio": 0.5, "gradient_ratio": 2.0, "input_share": 0.4, "dead": 0.1, "saturated": 0.0}
    known = {"init": init, "verdict": "healthy", "layer": "", "num_seeds": 8, "num_agreeing": 7, **numbers}
    return {**dict.fromkeys(START_COLUMNS, ""), **known, "loss_ratio": 1.1, "commonest_class": math.nan, **changes}


def test_the_table_has_numbers_and_words() -> None:
    made = starts(pd.DataFrame([row("he"), row("b", verdict="dead", layer="l1", q_ratio=1e-9)]))
    assert made["rows"][0][:4] == ["he", "healthy", "", "7 of 8"]
    assert made["rows"][1][1:3] == ["dead", "l1"]
    titles = [column["title"] for column in made["columns"]]
    assert made["rows"][1][titles.index("signal, last / first layer")] == [1e-9, "1e-09"]
    assert made["rows"][0][titles.index("commonest class")] is None
    assert all(len(each) == len(titles) for each in made["rows"])


def test_the_chart_shows_what_a_logarithm_can_and_says_the_rest() -> None:
    table = pd.DataFrame(
        [row("he"), row("a", gradient_ratio=0.0), row("zero", q_ratio=math.nan, gradient_ratio=math.nan)]
    )
    made = starts_chart(table)
    drawn = {(trace["meta"]["init"], trace["meta"]["role"]): trace["x"] for trace in made["data"]}
    assert drawn == {("he", "median"): [0.5], ("he", "second"): [2], ("a", "median"): [0.5]}
    assert [(note["y"], note["text"]) for note in made["layout"]["annotations"]] == [
        (1, "← gradient 0"),
        (2, "← no signal in the first layer"),
    ]
    assert "diagnostics=true" in starts_chart(table.iloc[:0])["empty"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("store"), num_contexts=2, num_seeds=4)


def test_only_a_store_with_measures_has_the_section(planted: Path) -> None:
    assert 'id="starts"' not in html_page(views_of(planted))
    trials = load_results(planted).trials
    numbers = {f"signal_{name}": 0.5 for name in ("q_ratio", "gradient_ratio", "input_share", "dead", "saturated")}
    of_one = trials.context_id == trials.context_id.iloc[0]
    verdict = pd.Series("exploding forward", trials.index).where(of_one)
    views = views_of(planted, trials=trials.assign(**numbers, signal_verdict=verdict, signal_layer="l2"))
    page = html_page(views)
    assert 'id="starts"' in page
    found = re.search(r'id="data">(.*?)</script>', page, re.S)
    assert found
    with_rows = [context["starts"]["rows"] for context in json.loads(found[1])["contexts"]]
    assert sorted(map(len, with_rows)) == [0, len(set(trials.init[of_one]))]
