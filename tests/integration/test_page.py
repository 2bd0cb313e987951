"""The page in a real browser: what it says first, what a click does, and what no text of a configuration may do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from initsuite.report.colours import colour, contrast, on_dark
from initsuite.report.page.html import html_page
from initsuite.results.store import Store, load_results
from support.browsers import needs_a_browser
from support.pages import INITS, Browser, column, draw, lines_shown, plant, until, views_of
from support.planter import FAILED, MISS, Planter

READABLE = 4.5
"""Contrast of text (WCAG 2.2, 1.4.3)."""
EVIL = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "</script><b>%{x}", "{{ 7 * 7 }}"]


@pytest.mark.slow
@needs_a_browser
def test_the_answer_comes_first(browser: Browser, text: str) -> None:
    page = browser.open(text)
    use, headline = page.locator(".card:visible .use"), page.locator(".headline")
    assert re.sub(r"\s+", " ", use.inner_text()) == (
        "Use he for an MLP with 2 hidden layers of 64 units, activation relu, on digits, trained with sgd."
    )
    assert headline.inner_text().replace("\n", "") == (
        "Over 5 contexts, he has the best mean rank by speed, 1.4 of 7, before xavier with 1.6."
    )
    assert "Confidence: high" in page.locator(".card:visible .sure").inner_text()
    for element in (headline, use, page.locator(".card:visible .sure")):
        box = element.bounding_box()
        assert box["y"] + box["height"] <= 900


@pytest.mark.slow
@needs_a_browser
def test_the_grid_reads_off_every_context(browser: Browser, text: str) -> None:
    page = browser.open(text)
    heads = page.locator(".grid thead th").all_inner_texts()
    row = page.locator(".grid tbody tr").nth(1)
    assert heads == ["network", "relu", "tanh"]
    assert row.locator("th").inner_text().split("\n") == ["digits / mlp-30x64", "30 hidden layers of 64 units"]
    first, second = (re.sub(r"\s+", " ", cell) for cell in row.locator("td").all_inner_texts())
    assert (first, second) == ("he ●●● high", "xavier ●●● high")


@pytest.mark.slow
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


@pytest.mark.slow
@needs_a_browser
def test_a_choice_without_a_context_goes_to_the_nearest(browser: Browser, text: str) -> None:
    page = browser.open(text)
    page.locator("select[data-facet=model]").select_option("mlp-30x64")
    page.locator("select[data-facet=dataset]").select_option("fashion_mnist")
    assert page.locator(".card:visible .where").inner_text().startswith("fashion_mnist / mlp-8x64 / relu / sgd")
    assert page.locator("select[data-facet=model]").input_value() == "mlp-8x64"


@pytest.mark.slow
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


@pytest.mark.slow
@needs_a_browser
def test_every_chart_is_drawn_with_its_caption(browser: Browser, text: str) -> None:
    page = browser.open(text)
    names = page.locator("figure[data-chart]").evaluate_all("(all) => all.map((one) => one.dataset.chart)")
    assert len(names) == 10
    for name in names:
        figure = page.locator(f"figure[data-chart={name}]")
        figure.scroll_into_view_if_needed()
        figure.locator(".main-svg, .empty").first.wait_for()
        if not figure.locator(".empty").count():
            assert len(figure.locator("figcaption").inner_text()) > 40


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@needs_a_browser
def test_only_web_addresses_become_links(browser: Browser, tmp_path: Path) -> None:
    directory = plant(tmp_path / "linked", 1)
    ids = load_results(directory).trials.trial_id.tolist()
    links = {ids[0]: "https://wandb.ai/a/b/runs/c", ids[1]: "javascript:alert(1)", ids[2]: "https://[bad"}
    page = browser.open(html_page(views_of(directory, links=links)))
    found = page.evaluate("page.data.tables.trials.rows.map((row) => row.at(-1)).filter(Array.isArray)")
    assert found == [[ids[0], ids[0], "", links[ids[0]]]]
    page.locator("[data-table=trials] input[type=search]").fill(ids[0])
    link = page.locator("[data-table=trials] tbody a")
    link.wait_for()
    assert link.get_attribute("href") == links[ids[0]]
    assert link.get_attribute("rel") == "noopener noreferrer"


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@needs_a_browser
def test_dark_charts_are_repainted(browser: Browser, text: str) -> None:
    page = browser.open(text, color_scheme="light")
    draw(page, "curves")
    script = """() => document.querySelector('figure[data-chart=curves] .plot')._fullData
      .filter((trace) => trace.meta.role === 'line').map((trace) => [trace.meta.init, trace.line.color])"""
    assert dict(page.evaluate(script)) == {init: colour(init) for init in INITS}
    page.emulate_media(color_scheme="dark")
    until(lambda: dict(page.evaluate(script)) == {init: on_dark(colour(init)) for init in INITS})
