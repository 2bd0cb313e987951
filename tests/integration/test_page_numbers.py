"""The page without a browser: what it says and draws of planted stores, and how large it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from initsuite.protocol.guideline import ARTICLE
from initsuite.report.answer import recommend
from initsuite.report.colours import COLOURS, DARK_BACKGROUND, colour, contrast, on_dark
from initsuite.report.page.contexts import Card, cards, headline, safest
from initsuite.report.page.html import html_page
from initsuite.report.verdicts.views import Views
from initsuite.results.store import Store
from support.pages import plant, views_of
from support.planter import MISS, STUCK, Planter

LIMIT_BYTES = 6_000_000
READABLE = 4.5
"""Contrast of text (WCAG 2.2, 1.4.3)."""


def test_colours_are_seen_on_the_dark_page() -> None:
    style = (Path(__file__).parents[2] / "src/initsuite/report/page/page.css").read_text()
    assert style.count(f"--back: {DARK_BACKGROUND};") == 1
    for name in [*COLOURS, "lsuv", "mup", "siren", "rezero"]:
        assert contrast(on_dark(colour(name)), DARK_BACKGROUND) >= READABLE


def card(recommended: str, grade: str, *tied: str, undecided: tuple[str, ...] = ()) -> Card:
    facets = {"dataset": "digits", "model": "mlp", "activation": "relu", "optimizer": "sgd"}
    shown = {"in_words": "", "article": "", "facts": (), "kind": "an MLP", "shape": ""}
    why = {"grade": grade, "reason": "", "tied": tied, "undecided": undecided}
    return Card(key="c0", name="", title="", lr_rule="tuned", facets=facets, recommended=recommended, **why, **shown)


def test_how_often_a_choice_is_safe() -> None:
    found = [card("he", "moderate", "orthogonal"), card("he", "high"), card("xavier", "low", "orthogonal", "he")]
    found += [card("none", "none"), card("lsuv", "low", undecided=("he",)), card("lecun", "high")]
    assert safest(found) == (
        "he is best, or not distinguishable from the best, in 3. Confidence is high in 2, moderate in 1, low in 2, "
        "none in 1. In 1 the seeds are too few to compare every initializer."
    )
    assert safest([card("he", "high"), card("he", "low")]) == "Confidence is high in 1, low in 1."
    assert safest([card("none", "none")] * 2) == ""


def test_the_headline_recommend_and_the_mean_ranks_agree(views: Views) -> None:
    # he: place 1 in the three contexts with relu, 2 in both with tanh, where xavier leads and is second with relu.
    said = "".join(text for text, _ in headline(cards(views.report), views.block))
    assert said == "Over 5 contexts, he has the best mean rank by speed, 1.4 of 7, before xavier with 1.6."
    answer = recommend(results=views.report.results)
    assert views.ranks is not None
    assert answer.recommended == "he" == views.aggregates.init[0] == next(iter(views.ranks.mean_ranks))
    assert "Over 5 contexts it has the best mean rank by speed." in answer.sentences


def test_a_headline_without_a_choice(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for depth in (2, 3):
        Planter(store, depth=depth, model=f"mlp-{depth}x64").arm("zero", [MISS] * 6, STUCK, easy=False)
    nothing = views_of(tmp_path / "results")
    assert headline(cards(nothing.report), nothing.block)[0] == ("No initializer can be recommended yet", "strong")


def test_a_single_context_needs_no_picker(tmp_path: Path) -> None:
    text = html_page(views_of(plant(tmp_path / "one", 1)))
    assert "What is yours?" not in text
    assert text.count('<article class="card"') == 1


def test_a_store_in_which_nothing_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "nothing")
    Planter(store).arm("he", [100.0], None)
    text = html_page(views_of(tmp_path / "nothing"))
    assert "Nothing can be recommended: no stored trial counts. The notes say why." in text
    assert "left out: the cell has no tuning trials" in text
    assert "Plotly" not in text


def test_the_article_is_named(text: str) -> None:
    assert f"<cite>{ARTICLE}</cite>" in text


def test_figures_are_plotly_figures(views: Views, text: str) -> None:
    import plotly.graph_objects as go

    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data = json.loads(found.group(1))
    figures = [figure for context in data["contexts"] for figure in context["charts"].values()]
    figures += [*data["across"].values(), *(figure for panels in data["heat"].values() for _, figure in panels)]
    drawn = [figure for figure in figures if "empty" not in figure]
    assert len(drawn) > 12
    for figure in drawn:
        for view in figure.get("views", [figure]):
            go.Figure({"data": figure["data"], "layout": view["layout"]})
            assert view["caption"].endswith(".")
    assert all(isinstance(figure["empty"], str) for figure in figures if "empty" in figure)


def test_the_charts_show_the_numbers_of_the_views(views: Views, text: str) -> None:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data = json.loads(found.group(1))
    title = views.report.comparisons[0].context.title
    rows: pd.DataFrame = views.curves[(views.curves.context == title) & (views.curves.init == "he")]
    curves = data["contexts"][0]["charts"]["curves"]
    (place,) = (at for at, line in enumerate(curves["data"]) if line["meta"] == {"init": "he", "role": "line"})
    assert curves["data"][place]["x"] == rows.step.tolist()
    drawn = curves["bands"]["val_score"][place]
    for values, column in zip(drawn, ("median", "low", "high"), strict=True):
        assert values == pytest.approx(rows[column].tolist(), rel=1e-3)
    # The planted loss is 2.3 less twice the accuracy: its median is that of the score, turned.
    assert curves["bands"]["val_loss"][place][0] == pytest.approx((2.3 - 2 * rows["median"]).tolist(), rel=1e-3)
    assert len(data["tables"]["trials"]["rows"]) == len(views.trials)


@pytest.mark.slow
def test_size_and_time_of_a_thousand_trials(tmp_path: Path) -> None:
    views = views_of(plant(tmp_path / "many", 10))
    assert len(views.report.trials) >= 1000
    assert len(html_page(views).encode()) < LIMIT_BYTES
