"""The page in a browser: the views of a chart, the address, what is saved and printed, and a page of two stores."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from initsuite.report.page.html import html_page
from initsuite.report.page.pair import pair_page
from initsuite.report.verdicts.recommendations import build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.store import Store
from support.browsers import needs_a_browser
from support.pages import Browser, column, draw, lines_shown, plant, until, views_of
from support.pairs import FAST, SLOW, compared
from support.pairs import plant as plant_one_of_a_pair
from support.planter import DIVERGED, MISS, Planter

pytestmark = [pytest.mark.slow, needs_a_browser]
SECOND = "digits / mlp-2x64 / tanh / sgd"


def plot(page: Any, name: str, expression: str) -> Any:
    """What an expression says of the `plot` of a chart."""
    script = f"""(name) => {{
      const plot = document.querySelector(`figure[data-chart=${{name}}] .plot`);
      return {expression};
    }}"""
    return page.evaluate(script, name)


def heights(page: Any, init: str) -> list[float]:
    return plot(page, "curves", f"plot.data.find(({{meta}}) => meta.init === '{init}' && meta.role === 'line').y")


def test_curves_come_apart_near_the_ceiling(browser: Browser, text: str, views: Views) -> None:
    page = browser.open(text)
    figure = draw(page, "curves")
    comparison = views.report.comparisons[0]
    rows = views.curves[(views.curves.context == comparison.context.title) & (views.curves.init == "xavier")]
    best = views.curves[views.curves.context == comparison.context.title].high.max()
    room = (best - comparison.context.yardstick.chance) / 300
    assert heights(page, "xavier") == pytest.approx((best - rows["median"]).clip(lower=room).tolist(), abs=2e-4)
    axes = "[plot._fullLayout.xaxis.type, plot._fullLayout.yaxis.type]"
    assert plot(page, "curves", axes) == ["log", "log"]
    figure.locator("label", has_text="height").locator("select").select_option("score")
    assert heights(page, "xavier") == pytest.approx(rows["median"].tolist(), rel=1e-3)
    figure.locator("label", has_text="steps").locator("select").select_option("linear")
    assert plot(page, "curves", axes) == ["linear", "linear"]
    figure.locator("label", has_text="height").locator("select").select_option("train_loss")
    assert heights(page, "xavier") == pytest.approx((2.3 - 2 * rows["median"]).tolist(), rel=1e-3)
    band = plot(page, "curves", "plot.data.find(({meta}) => meta.init === 'xavier' && meta.role === 'band').y")
    assert len(band) == 2 * len(rows)


def test_scores_stand_beside_the_steps(browser: Browser, text: str) -> None:
    page = browser.open(text, viewport={"width": 1400, "height": 900})
    boxes = [draw(page, name).bounding_box() for name in ("steps", "scores")]
    assert abs(boxes[0]["y"] - boxes[1]["y"]) < 2
    assert boxes[1]["x"] > boxes[0]["x"] + boxes[0]["width"]
    rows = [plot(page, name, "plot._fullLayout.yaxis.ticktext") for name in ("steps", "scores")]
    assert rows[0] == rows[1]


def test_numbers_on_a_heat_map_are_readable_above_one(browser: Browser, tmp_path: Path) -> None:
    store = Store(tmp_path / "high")
    for depth in (2, 4):
        planter = Planter(store, depth=depth, model=f"mlp-{depth}x64")
        planter.arm("he", [100.0] * 6, scores=[0.95] * 6)  # the hard level is 0.88
        planter.arm("xavier", [200.0] * 6, scores=[0.2] * 6)
    page = browser.open(html_page(views_of(tmp_path / "high")))
    draw(page, "depth")
    notes = plot(page, "depth", "plot.layout.annotations.map((note) => [note.text, note.font.color])")
    assert set(map(tuple, notes)) == {("1.09", "#000000"), ("0.13", "#ffffff")}


def test_opening_a_rule_moves_nothing_above_it(browser: Browser, text: str) -> None:
    page = browser.open(text, viewport={"width": 1400, "height": 900})
    rule = page.locator(".rules > li").first
    places = """(rule) => ['h3', '.verdict', '.counts'].map((name) => {
      const [box, whole] = [rule.querySelector(name), rule].map((one) => one.getBoundingClientRect());
      return [box.x - whole.x, box.y - whole.y, box.width].map(Math.round);
    })"""
    before = rule.evaluate(places)
    rule.locator("summary").press("Enter")
    rule.locator("table").wait_for()
    assert rule.evaluate(places) == before
    opened = rule.locator("details").bounding_box()
    assert opened["width"] == pytest.approx(rule.bounding_box()["width"], abs=1)


def test_a_page_of_one_context_begins_with_its_own_evidence(browser: Browser, tmp_path: Path) -> None:
    page = browser.open(html_page(views_of(plant(tmp_path / "one", 1))))
    sections = page.locator("main > section").evaluate_all("(all) => all.map((one) => one.id)")
    assert sections == ["answer", "context", "rules", "failures", "trials", "measured", "reproduce"]
    assert column(page, "arms", "initializer")[0] == "he"
    assert page.locator("#closely").count() == 0
    untested = page.locator(".untested")
    assert untested.locator("summary").inner_text().startswith("Not tested here (")
    assert page.locator(".rules > li").count() + untested.locator("li").count() == 7
    assert page.locator(".rules .verdict", has_text="not tested").count() == 0


def test_the_context_stays_where_the_table_is_scrolled(browser: Browser, tmp_path: Path) -> None:
    directory = plant(tmp_path / "wide", 4)
    page = browser.open(html_page(views_of(directory)), viewport={"width": 400, "height": 850})
    table = page.locator("[data-table=recommendations]")
    titles = [title.strip() for title in table.locator("thead th").all_inner_texts()]
    assert titles[:2] == ["context", "recommended"]
    assert "optimizer: sgd" in table.locator("p.soft").inner_text()
    table.locator(".scroll").evaluate("(one) => { one.scrollLeft = 1000; }")
    first = table.locator("tbody td").first
    assert first.bounding_box()["x"] == pytest.approx(table.bounding_box()["x"], abs=1)
    first.locator("a").click()
    until(lambda: "at=context" in page.url)
    assert page.locator("#closely option:checked").inner_text() == "digits / mlp-2x64 / relu / sgd"


def test_a_choice_is_in_the_address_and_comes_back(browser: Browser, text: str) -> None:
    page = browser.open(text)
    draw(page, "curves")
    page.locator("select[data-facet=activation]").select_option("tanh")
    page.locator(".chips button[data-init=zero]").click()
    page.locator("figure[data-chart=curves] label", has_text="steps").locator("select").select_option("linear")
    page.locator("nav a", has_text="Trials").click()
    assert page.evaluate("document.activeElement.id") == "trials"
    address = "#" + page.url.partition("#")[2]
    assert "at=trials" in address
    again = browser.open(text, address)
    assert again.locator(".card:visible .use b").inner_text() == "xavier"
    assert again.locator("#closely option:checked").inner_text() == SECOND
    until(lambda: abs(again.locator("#trials").bounding_box()["y"]) < 300)
    draw(again, "curves")
    assert plot(again, "curves", "plot._fullLayout.xaxis.type") == "linear"
    assert lines_shown(again, "curves")["zero"] == [False, False]
    # Back: the section is a step of its own, and what was chosen before it stays.
    page.go_back()
    until(lambda: "at=" not in page.url)
    assert page.locator("#closely option:checked").inner_text() == SECOND


@pytest.mark.parametrize("address", ["#context=nothing+like+it&x=cubic&hide=nobody&at=nowhere", "#%E0%A4%A", "#rules"])
def test_an_address_that_means_nothing_shows_the_first_context(browser: Browser, text: str, address: str) -> None:
    page = browser.open(text, address)
    assert page.locator(".card:visible .use b").inner_text() == "he"
    draw(page, "curves")
    assert plot(page, "curves", "plot._fullLayout.xaxis.type") == "log"


def test_a_table_is_saved_as_it_is_filtered(browser: Browser, text: str, tmp_path: Path) -> None:
    page = browser.open(text)
    table = page.locator("[data-table=trials]")
    table.locator("label", has_text="status").locator("select").select_option("failed")
    with page.expect_download() as waiting:
        table.locator("button.save").click()
    assert waiting.value.suggested_filename == "initsuite-trials.csv"
    waiting.value.save_as(tmp_path / "saved.csv")
    with open(tmp_path / "saved.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert {row["status"] for row in rows} == {"failed"}
    assert {row["initializer"] for row in rows} == {"normal"}


def test_cells_with_commas_and_quotes_survive_in_csv(browser: Browser, text: str) -> None:
    page = browser.open(text)
    lines = [["a", 'b "c"'], ["1,2", "line\nbreak"]]
    written = page.evaluate("(lines) => saving.csv(lines)", lines)
    assert list(csv.reader(written.splitlines(keepends=True))) == lines


def test_a_chart_is_saved_with_its_title(browser: Browser, text: str, tmp_path: Path) -> None:
    page = browser.open(text)
    figure = draw(page, "scores")
    with page.expect_download() as waiting:
        figure.locator("button.save").click()
    assert waiting.value.suggested_filename == "initsuite-scores-digits-mlp-2x64-relu-sgd.png"
    waiting.value.save_as(tmp_path / "saved.png")
    picture = Image.open(tmp_path / "saved.png").convert("RGB")
    assert picture.width == 2 * round(figure.locator(".plot").bounding_box()["width"])
    assert picture.getpixel((1, 1)) == (255, 255, 255), "a transparent picture is black on a dark page"
    colours = {colour for _, colour in picture.getcolors(maxcolors=1_000_000) or []}
    assert len(colours) > 50


def test_paper_is_white_and_keeps_its_colours(browser: Browser, text: str) -> None:
    page = browser.open(text, color_scheme="dark")
    draw(page, "curves")
    dark = plot(page, "curves", "plot._fullLayout.font.color")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    for name in (".counts span", ".swatch", ".badge"):
        assert page.locator(name).first.evaluate("(one) => getComputedStyle(one).printColorAdjust") == "exact"
    assert page.locator("body").evaluate("(one) => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
    until(lambda: plot(page, "curves", "plot._fullLayout.font.color") != dark)
    assert plot(page, "curves", "plot._fullLayout.font.color") == "#1a2129"
    # Every chart is drawn for paper, also those that were never scrolled to.
    assert plot(page, "budget", "plot.data.length") > 0
    page.emulate_media(media="screen", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    until(lambda: plot(page, "curves", "plot._fullLayout.font.color") == dark)


def test_two_stores_have_a_page(browser: Browser, tmp_path: Path) -> None:
    stores = Store(tmp_path / "laptop"), Store(tmp_path / "cluster")
    plant_one_of_a_pair(stores[0], he=FAST, xavier=SLOW, normal=SLOW)
    plant_one_of_a_pair(stores[1], he=SLOW, xavier=FAST)
    page = browser.open(pair_page(compared(stores)))
    assert "Shared contexts: 1. Do the recommendations agree? No 1." in page.locator(".headline").inner_text()
    words = re.sub(r"\s+", " ", page.locator(".card:visible").inner_text())
    assert "Do they agree? no." in words
    assert "laptop recommends he" in words
    assert "cluster recommends xavier" in words
    marks = "plot.data.map(({meta, x}) => [meta.init, meta.role, x[0]])"
    for name in ("pair_steps", "pair_scores"):
        draw(page, name)
        assert sorted((init, role) for init, role, _ in plot(page, name, marks)) == [
            ("he", "median"), ("he", "second"), ("normal", "median"), ("xavier", "median"), ("xavier", "second"),
        ]  # fmt: skip
    steps = {(init, role): x for init, role, x in plot(page, "pair_steps", marks)}
    assert steps["he", "median"] == steps["xavier", "second"] == 120
    assert steps["he", "second"] == steps["xavier", "median"] == 320
    lines = zip(column(page, "arms", "initializer"), column(page, "arms", "store"), strict=True)
    assert sorted(lines) == [
        *(("he", store) for store in ("cluster", "difference", "laptop")),
        *(("normal", store) for store in ("cluster", "laptop")),
        *(("xavier", store) for store in ("cluster", "difference", "laptop")),
    ]


def test_a_context_of_two_stores_leads_to_its_initializers(browser: Browser, tmp_path: Path) -> None:
    stores = Store(tmp_path / "laptop"), Store(tmp_path / "cluster")
    for place, store in enumerate(stores):
        for depth in (2, 4):
            planter = Planter(store, depth=depth, model=f"mlp-{depth}x64")
            planter.arm("he", FAST)
            planter.arm("xavier", SLOW if place == 0 or depth == 2 else [50.0] * 8)
    page = browser.open(pair_page(compared(stores)))
    assert column(page, "agreement", "do they agree?") == ["yes", "no"]
    page.locator("[data-table=agreement] tbody a").nth(1).click()
    until(lambda: "at=pair_context" in page.url)
    assert page.locator("#closely option:checked").inner_text() == "digits / mlp-4x64 / relu / sgd"
    assert "cluster recommends xavier" in page.locator(".card:visible").inner_text()


@pytest.mark.parametrize("metric", ["mse", "loss", "score"])
def test_charts_of_other_metrics_are_drawn_in_every_view(browser: Browser, tmp_path: Path, metric: str) -> None:
    store = Store(tmp_path / "odd")
    levels = (
        dict.fromkeys(("easy", "primary", "hard")) if metric != "mse" else {"easy": 0.4, "primary": 0.2, "hard": 0.1}
    )
    planter = Planter(store)
    chance = {"mse": 1.0, "loss": 2.3, "score": 0.0}[metric]
    planter.config["dataset"] |= {"metric": metric, "loss": "mse", "chance": chance, "levels": levels}
    planter.arm("he", [100.0] * 6, dict.fromkeys((0.01, 0.1), 0.3), scores=[0.1 + 0.01 * seed for seed in range(6)])
    planter.arm("xavier", [DIVERGED] * 6, dict.fromkeys((0.01, 0.1), 0.5))
    planter.arm("zero", [MISS], None, easy=False)
    page = browser.open(html_page(views_of(tmp_path / "odd")))
    for name in ("steps", "scores", "lr", "budget"):
        page.locator(f"figure[data-chart={name}]").scroll_into_view_if_needed()
        page.locator(f"figure[data-chart={name}]").locator(".main-svg, .empty").first.wait_for()
    select = draw(page, "curves").locator("label", has_text="height").locator("select")
    for view in select.locator("option").evaluate_all("(all) => all.map((one) => one.value)"):
        select.select_option(view)
        found = plot(page, "curves", "plot.data.filter(({meta}) => meta.role === 'line').map(({y}) => y)")
        assert any(value is not None for line in found for value in line)
        bad = plot(page, "curves", "(Plotly.validate(plot.data, plot.layout) || []).map((one) => one.msg)")
        assert bad == []


@pytest.mark.parametrize("width", [1400, 800, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_width_overflows(browser: Browser, text: str, width: int, scheme: str) -> None:
    page = browser.open(text, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for name in page.locator("figure[data-chart]").evaluate_all("(all) => all.map((one) => one.dataset.chart)"):
        page.locator(f"figure[data-chart={name}]").scroll_into_view_if_needed()
        page.locator(f"figure[data-chart={name}]").locator(".main-svg, .empty").first.wait_for()
        box = page.locator(f"figure[data-chart={name}] .plot").bounding_box()
        assert box["x"] + box["width"] <= width + 1
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_step_0_follows_the_chosen_context(browser: Browser, views: Views) -> None:
    numbers = {f"signal_{name}": 0.5 for name in ("q_ratio", "gradient_ratio", "input_share", "dead", "saturated")}
    verdict = views.report.results.trials.activation.map({"relu": "healthy", "tanh": "saturated"})
    trials = views.report.results.trials.assign(**numbers, signal_verdict=verdict, signal_layer="l1")
    measured = Views(build_report(replace(views.report.results, trials=trials)))
    page = browser.open(html_page(measured))
    assert set(column(page, "starts", "at step 0")) == {"healthy"}
    draw(page, "starts")
    page.locator("#closely").select_option(label=SECOND)
    until(lambda: set(column(page, "starts", "at step 0")) == {"saturated"})
