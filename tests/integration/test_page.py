"""The page in a real browser: what it says first, what a click does, and what no text of a configuration may do."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from initsuite.report.colours import COLOURS, colour
from initsuite.report.page.colours import DARK_BACKGROUND, contrast, on_dark
from initsuite.report.page.contexts import Card, headline, safest
from initsuite.report.page.html import html_page
from initsuite.report.recommendations import build_report
from initsuite.report.views import Views
from initsuite.store import Store, load_results
from support.planter import DIVERGED, FAILED, MISS, STUCK, TRAINS, Planter

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE_MS = 120_000
"""A loaded machine takes its time; nothing here waits that long elsewhere."""
LIMIT_BYTES = 8_000_000
READABLE = 4.5
"""Contrast of text (WCAG 2.2, 1.4.3)."""
EVIL = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "</script><b>%{x}", "{{ 7 * 7 }}"]
INITS = ("he", "xavier", "orthogonal", "normal", "torch_default", "zero", "lsuv")
needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def plant(directory: Path, num_contexts: int = 5, num_seeds: int = 10) -> Path:
    """MLPs of several depths, in which `he` leads with relu and `xavier` with tanh."""
    store = Store(directory)
    workloads = [("digits", 2), ("digits", 30), ("fashion_mnist", 8), ("digits", 4), ("digits", 8)]
    contexts = [(*workload, activation) for workload in workloads for activation in ("relu", "tanh")]
    for dataset, depth, activation in contexts[:num_contexts]:
        planter = Planter(store, dataset=dataset, model=f"mlp-{depth}x64", activation=activation, depth=depth)
        planter.config["dataset"]["name"] = dataset
        best = "he" if activation == "relu" else "xavier"
        for place, init in enumerate(INITS):
            if init == "zero":
                planter.arm(init, [MISS] * num_seeds, STUCK, easy=False)
                continue
            base = 100 if init == best else 200 + 20 * place
            fates: list[float] = [base + 20 * (seed % 3) for seed in range(num_seeds)]
            if init == "normal":
                fates[:2] = [DIVERGED, FAILED]
            planter.arm(init, fates, {lr: score - 0.01 * place for lr, score in TRAINS.items()})
    return directory


def views_of(directory: Path, **changes: Any) -> Views:
    return Views(build_report(replace(load_results(directory), **changes)))


@dataclass
class Browser:
    """Opens pages, and keeps what they complain about."""

    playwright: Any
    folder: Path
    complaints: list[str] = field(default_factory=list)

    def open(self, text: str, **options: Any) -> Any:
        page = self.playwright.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self._requested(request.url))
        path = self.folder / f"page-{len(list(self.folder.iterdir()))}.html"
        path.write_text(text, encoding="utf-8")
        page.goto(path.as_uri())
        page.wait_for_selector("[data-table=trials] tbody tr", state="attached")
        return page

    def _requested(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"request: {url}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium: Any, tmp_path: Path) -> Iterator[Browser]:
    """Fails the test if a page logs, asks or fetches anything."""
    found = Browser(chromium, tmp_path)
    yield found
    for context in chromium.contexts:
        context.close()
    assert found.complaints == []


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Views:
    return views_of(plant(tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def text(views: Views) -> str:
    return html_page(views)


def draw(page: Any, name: str) -> Any:
    """A chart, after it was scrolled to and drawn."""
    figure = page.locator(f"figure[data-chart={name}]")
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for()
    return figure


def until(check: Callable[[], bool]) -> None:
    """Wait until something is so. Playwright's own way evaluates text, which the page's policy forbids."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def lines_shown(page: Any, name: str) -> dict[str, list[Any]]:
    """Whether the traces of each initializer are shown, by initializer."""
    script = """(name) => {
      const plot = document.querySelector(`figure[data-chart=${name}] .plot`);
      return plot.data.map((trace) => [trace.meta.init, trace.meta.role, trace.visible]);
    }"""
    found: dict[str, list[Any]] = {}
    for init, _, visible in page.evaluate(script, name):
        found.setdefault(init, []).append(visible is True)
    return found


def column(page: Any, table: str, title: str) -> list[str]:
    heads = page.locator(f"[data-table={table}] thead th").all_inner_texts()
    place = [head.split(" ▲")[0].split(" ▼")[0].strip() for head in heads].index(title) + 1
    return page.locator(f"[data-table={table}] tbody td:nth-child({place})").all_inner_texts()


@needs_a_browser
def test_the_answer_comes_first(browser: Browser, text: str) -> None:
    page = browser.open(text)
    use, headline = page.locator(".card:visible .use"), page.locator(".headline")
    assert re.sub(r"\s+", " ", use.inner_text()) == (
        "Use he for an MLP with 2 hidden layers of 64 units, activation relu, on digits, trained with sgd."
    )
    assert headline.inner_text().replace("\n", "") == "Of 5 contexts, he is the first choice in 3 and xavier in 2."
    assert "Confidence: high" in page.locator(".card:visible .sure").inner_text()
    for element in (headline, use, page.locator(".card:visible .sure")):
        box = element.bounding_box()
        assert box["y"] + box["height"] <= 900


@needs_a_browser
def test_the_grid_reads_off_every_context(browser: Browser, text: str) -> None:
    page = browser.open(text)
    heads = page.locator(".grid thead th").all_inner_texts()
    row = page.locator(".grid tbody tr").nth(1)
    assert heads == ["network", "relu", "tanh"]
    assert row.locator("th").inner_text().split("\n") == ["digits / mlp-30x64", "30 hidden layers of 64 units"]
    first, second = (re.sub(r"\s+", " ", cell) for cell in row.locator("td").all_inner_texts())
    assert (first, second) == ("he ●●● high", "xavier ●●● high")


@needs_a_browser
def test_the_picker_changes_the_card_and_the_charts(browser: Browser, text: str) -> None:
    page = browser.open(text)
    draw(page, "curves")
    page.locator("select[data-facet=activation]").select_option("tanh")
    assert page.locator(".card:visible").count() == 1
    assert page.locator(".card:visible .use b").inner_text() == "xavier"
    assert page.locator("#closely option:checked").inner_text() == "digits / mlp-2x64 / tanh / sgd"
    first = page.evaluate("document.querySelector('figure[data-chart=curves] .plot')._fullData[0].meta.init")
    assert first == "xavier"
    assert column(page, "arms", "initializer")[0] == "xavier"
    page.locator(".grid button").first.click()
    assert page.locator(".card:visible .use b").inner_text() == "he"
    assert page.locator("select[data-facet=activation]").input_value() == "relu"


@needs_a_browser
def test_a_choice_without_a_context_goes_to_the_nearest(browser: Browser, text: str) -> None:
    page = browser.open(text)
    page.locator("select[data-facet=model]").select_option("mlp-30x64")
    page.locator("select[data-facet=dataset]").select_option("fashion_mnist")
    assert page.locator(".card:visible .where").inner_text().startswith("fashion_mnist / mlp-8x64 / relu / sgd")
    assert page.locator("select[data-facet=model]").input_value() == "mlp-8x64"


@needs_a_browser
def test_a_legend_click_hides_a_curve_with_its_band(browser: Browser, text: str) -> None:
    page = browser.open(text)
    figure = draw(page, "curves")
    assert all(all(shown) for shown in lines_shown(page, "curves").values())
    figure.locator(".legendtoggle").first.click()
    page.locator(".chips button[data-init=he][aria-pressed=false]").wait_for()
    assert lines_shown(page, "curves")["he"] == [False, False]
    assert all(lines_shown(page, "curves")["xavier"])
    # The same initializer is hidden in every other chart, and its chip says so; the chip brings it back.
    draw(page, "lr")
    assert lines_shown(page, "lr")["he"] == [False]
    chip = page.locator(".chips button[data-init=he]")
    assert chip.get_attribute("aria-pressed") == "false"
    chip.press("Enter")
    assert lines_shown(page, "curves")["he"] == [True, True]


@needs_a_browser
def test_every_chart_is_drawn_with_its_caption(browser: Browser, text: str) -> None:
    page = browser.open(text)
    names = page.locator("figure[data-chart]").evaluate_all("(all) => all.map((one) => one.dataset.chart)")
    assert len(names) == 9
    for name in names:
        figure = page.locator(f"figure[data-chart={name}]")
        figure.scroll_into_view_if_needed()
        figure.locator(".main-svg, .empty").first.wait_for()
        if not figure.locator(".empty").count():
            assert len(figure.locator("figcaption").inner_text()) > 40


@needs_a_browser
def test_sorting_sorts(browser: Browser, text: str) -> None:
    page = browser.open(text)
    head = page.locator("[data-table=trials] th", has_text="seed")
    assert head.get_attribute("aria-sort") is None
    head.locator("button").press("Enter")
    seeds = [int(value) for value in column(page, "trials", "seed")]
    assert head.get_attribute("aria-sort") == "ascending"
    assert seeds == sorted(seeds)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, "trials", "seed")[0] == "10000"
    page.locator("[data-table=arms] th", has_text="median steps").locator("button").click()
    steps = column(page, "arms", "median steps to target [95 %]")
    numbers = [int(value.split()[0]) for value in steps if value != "never"]
    assert numbers == sorted(numbers)
    assert steps[-1] == "never"


@needs_a_browser
def test_filters_filter(browser: Browser, text: str) -> None:
    page = browser.open(text)
    table = page.locator("[data-table=trials]")
    table.locator("input[type=search]").fill("diverged relu")
    table.locator(".pager", has_text="Rows: 3 of").wait_for()
    assert column(page, "trials", "initializer") == ["normal"] * 3
    table.locator("input[type=search]").fill("nothing like it")
    table.locator(".pager", has_text="No row of").wait_for()
    table.locator("input[type=search]").fill("")
    table.locator("tbody tr:nth-child(50)").wait_for()
    table.locator("label", has_text="status").locator("select").select_option("failed")
    assert set(column(page, "trials", "status")) == {"failed"}


@needs_a_browser
def test_text_of_a_configuration_stays_text(browser: Browser, tmp_path: Path) -> None:
    directory = tmp_path / "evil"
    store = Store(directory)
    for name in EVIL:
        planter = Planter(store, activation=name, model=name)
        planter.config["model"] = {"name": name}
        for init in EVIL:
            planter.arm(init, [100, 120, MISS, 140, 160, FAILED], experiment=name)
    views = views_of(directory)
    views.report.trials.loc[:, "commit"] = EVIL[0]
    page = browser.open(html_page(views))
    for name in page.locator("figure[data-chart]").evaluate_all("(all) => all.map((one) => one.dataset.chart)"):
        page.locator(f"figure[data-chart={name}]").scroll_into_view_if_needed()
        page.locator(f"figure[data-chart={name}]").locator(".main-svg, .empty").first.wait_for()
    assert page.locator("img").count() == 0
    assert "<script>alert(1)</script>" in page.locator(".grid").inner_text()
    legend = page.locator("figure[data-chart=curves] .legendtext").all_text_contents()
    assert sorted(legend) == sorted(EVIL)
    assert "49" not in page.locator(".chips").inner_text()


@needs_a_browser
def test_only_web_addresses_become_links(browser: Browser, tmp_path: Path) -> None:
    directory = plant(tmp_path / "linked", 1)
    ids = load_results(directory).trials.trial_id.tolist()
    links = {ids[0]: "https://wandb.ai/a/b/runs/c", ids[1]: "javascript:alert(1)", ids[2]: "https://[bad"}
    page = browser.open(html_page(views_of(directory, links=links)))
    found = page.evaluate("page.data.tables.trials.rows.map((row) => row.at(-1)).filter(Array.isArray)")
    assert found == [[ids[0], ids[0], links[ids[0]]]]
    page.locator("[data-table=trials] input[type=search]").fill(ids[0])
    link = page.locator("[data-table=trials] tbody a")
    link.wait_for()
    assert link.get_attribute("href") == links[ids[0]]
    assert link.get_attribute("rel") == "noopener noreferrer"


@needs_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_overflow(browser: Browser, text: str, scheme: str) -> None:
    page = browser.open(text, viewport={"width": 400, "height": 850}, color_scheme=scheme, has_touch=True)
    for name in page.locator("figure[data-chart]").evaluate_all("(all) => all.map((one) => one.dataset.chart)"):
        page.locator(f"figure[data-chart={name}]").scroll_into_view_if_needed()
        page.locator(f"figure[data-chart={name}]").locator(".main-svg, .empty").first.wait_for()
    for details in page.locator("details").all():
        details.evaluate("(one) => { one.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    use = page.locator(".card:visible .use")
    page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    assert use.bounding_box()["y"] + use.bounding_box()["height"] <= 850


@needs_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(browser: Browser, text: str, scheme: str) -> None:
    page = browser.open(text, color_scheme=scheme)
    # Every element with text of its own, its colour and the nearest background behind it.
    script = """() => [...document.querySelectorAll('body *')].flatMap((one) => {
      const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!own || !one.checkVisibility() || one.closest('svg, script, style, option')) return [];
      let behind = one;
      while (behind && /rgba\\(.*, 0\\)/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
      const back = getComputedStyle(behind || document.body).backgroundColor;
      return [[getComputedStyle(one).color, back, one.textContent.trim().slice(0, 40)]];
    })"""
    found = page.evaluate(script)
    assert len(found) > 200
    bad = {(ink, back, words) for ink, back, words in found if contrast(_hex(ink), _hex(back)) < READABLE}
    assert bad == set()


def _hex(colour: str) -> str:
    channels = [int(number) for number in re.findall(r"\d+", colour)[:3]]
    return "#" + "".join(f"{channel:02x}" for channel in channels)


@needs_a_browser
def test_dark_charts_are_repainted(browser: Browser, text: str) -> None:
    page = browser.open(text, color_scheme="light")
    draw(page, "curves")
    script = """() => document.querySelector('figure[data-chart=curves] .plot')._fullData
      .filter((trace) => trace.meta.role === 'line').map((trace) => [trace.meta.init, trace.line.color])"""
    assert dict(page.evaluate(script)) == {init: colour(init) for init in INITS}
    page.emulate_media(color_scheme="dark")
    until(lambda: dict(page.evaluate(script)) == {init: on_dark(colour(init)) for init in INITS})


def test_colours_are_seen_on_the_dark_page() -> None:
    style = (Path(__file__).parents[2] / "src/initsuite/report/page.css").read_text()
    assert style.count(f"--back: {DARK_BACKGROUND};") == 1
    for name in [*COLOURS, "lsuv", "mup", "siren", "rezero"]:
        assert contrast(on_dark(colour(name)), DARK_BACKGROUND) >= READABLE


def card(recommended: str, grade: str, *tied: str, undecided: tuple[str, ...] = ()) -> Card:
    facets = {"dataset": "digits", "model": "mlp", "activation": "relu", "optimizer": "sgd"}
    shown = {"in_words": "", "article": "", "facts": (), "kind": "an MLP", "shape": ""}
    why = {"grade": grade, "reason": "", "tied": tied, "undecided": undecided}
    return Card(key="c0", title="", lr_rule="tuned", facets=facets, recommended=recommended, **why, **shown)


def test_what_all_contexts_say_together() -> None:
    found = [card("he", "moderate", "orthogonal"), card("he", "high"), card("xavier", "low", "orthogonal", "he")]
    found += [card("none", "none"), card("lsuv", "low", undecided=("he",)), card("lecun", "high")]
    pieces = [text for text, _ in headline(found)]
    assert "".join(pieces) == (
        "Of 6 contexts, he is the first choice in 2, xavier in 1, lsuv in 1 and others in 1; in 1 there is none."
    )
    assert safest(found) == (
        "he is best, or not told apart from the best, in 3. Confidence is high in 2, moderate in 1, low in 2, none in "
        "1. In 1 the seeds are too few to compare every initializer."
    )
    alike = [card("he", "high"), card("he", "low")]
    assert headline(alike) == [("he", "init"), (" is the first choice in all 2 contexts.", "")]
    assert safest(alike) == "Confidence is high in 1, low in 1."
    nothing = [card("none", "none")] * 2
    assert headline(nothing)[0] == ("No initializer can be recommended yet", "strong")
    assert safest(nothing) == ""


def test_a_single_context_needs_no_picker(tmp_path: Path) -> None:
    text = html_page(views_of(plant(tmp_path / "one", 1)))
    assert "What is yours?" not in text
    assert text.count('<article class="card"') == 1
    assert "The critical-difference diagram needs at least two" in text


def test_a_store_in_which_nothing_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "nothing")
    Planter(store).arm("he", [100.0], None)
    text = html_page(views_of(tmp_path / "nothing"))
    assert "Nothing can be recommended: no stored trial counts. The notes say why." in text
    assert "left out: the cell has no tuning trials" in text
    assert "Plotly" not in text


def test_figures_are_plotly_figures(views: Views, text: str) -> None:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data = json.loads(found.group(1))
    figures = [figure for context in data["contexts"] for figure in context["charts"].values()]
    figures += [*data["across"].values(), *(figure for panels in data["heat"].values() for _, figure in panels)]
    drawn = [figure for figure in figures if "empty" not in figure]
    assert len(drawn) > 12
    for figure in drawn:
        go.Figure({"data": figure["data"], "layout": figure["layout"]})
        assert figure["caption"].endswith(".")
    assert all(isinstance(figure["empty"], str) for figure in figures if "empty" in figure)


def test_the_charts_show_the_numbers_of_the_views(views: Views, text: str) -> None:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data = json.loads(found.group(1))
    title = views.report.comparisons[0].context.title
    rows: pd.DataFrame = views.curves[(views.curves.context == title) & (views.curves.init == "he")]
    (line,) = (
        trace
        for trace in data["contexts"][0]["charts"]["curves"]["data"]
        if trace["meta"] == {"init": "he", "role": "line"}
    )
    assert line["x"] == rows.step.tolist()
    assert line["y"] == pytest.approx(rows["median"].tolist(), rel=1e-4)
    assert len(data["tables"]["trials"]["rows"]) == len(views.trials)


def test_size_and_time_of_a_thousand_trials(tmp_path: Path) -> None:
    views = views_of(plant(tmp_path / "many", 10))
    assert len(views.report.trials) >= 1000
    assert len(html_page(views).encode()) < LIMIT_BYTES
