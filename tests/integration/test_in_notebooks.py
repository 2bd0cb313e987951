"""What a notebook shows of an answer, a plan and the table of `initialize_`."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from torch import nn

import initsuite
from initsuite.report.answer import recommend
from initsuite.results.store import Store, load_results
from support.planter import STUCK, Planter


class Words(HTMLParser):
    """The text of a page, and the tags that it leaves open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_an_answer_has_its_sentences_its_limits_and_the_others(tmp_path: Path) -> None:
    planter = Planter(Store(tmp_path))
    planter.arm("he", [100.0] * 8)
    planter.arm("zero", [300.0] * 8, STUCK)
    answer = recommend(results=load_results(tmp_path))
    shown = Words(answer._repr_html_())
    assert not shown.open
    for text in (answer.sentences, *answer.limits, *answer.against.init):
        assert " ".join(str(text).split()) in shown.text
    risky = Words(replace(answer, recommended="<b>", sentences="a < b & c")._repr_html_())
    assert "a < b & c" in risky.text


def test_a_plan_is_the_table_of_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shared = ("protocol=smoke", "tracking=disabled", "max_steps=40", f"results_dir={tmp_path / 'r'}")
    plan = initsuite.plan(*shared, "model.depth=0,2")
    shown = Words(plan._repr_html_())
    assert not shown.open
    assert "digits/mlp-2x64/relu/sgd tune 1 7 0" in shown.text
    assert "1 cell, 8 trials, 0 of them done; 8 to train" in shown.text
    assert "illegal: model.depth=0" in shown.text
    assert type(plan[["model", "trials"]]) is pd.DataFrame


def test_the_account_leaves_out_what_says_nothing() -> None:
    table = initsuite.initialize_(nn.Linear(3, 4), "he")
    shown = Words(table._repr_html_())
    assert not shown.open
    assert "tensor" in shown.words
    assert "weight" in shown.words
    assert "why" not in shown.words, "nothing is kept"
    assert "why" in table.columns
    assert type(table.drop(columns="why")) is pd.DataFrame
