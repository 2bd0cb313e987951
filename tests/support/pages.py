"""Pages of planted stores, and a browser that opens them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from initsuite.report.verdicts.recommendations import build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.store import Store, load_results
from support.planter import DIVERGED, FAILED, MISS, STUCK, TRAINS, Planter

PATIENCE_MS = 120_000
"""A loaded machine takes its time; nothing here waits that long elsewhere."""
INITS = ("he", "xavier", "orthogonal", "normal", "torch_default", "zero", "lsuv")


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

    def open(self, text: str, address: str = "", **options: Any) -> Any:
        """Open a page with this address after its name, such as `#rules`."""
        page = self.playwright.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self._requested(request.url))
        path = self.folder / f"page-{len(list(self.folder.iterdir()))}.html"
        path.write_text(text, encoding="utf-8")
        page.goto(path.as_uri() + address)
        page.wait_for_selector("[data-table] tbody tr", state="attached")
        return page

    def _requested(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"request: {url}")


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
