"""What several of these tests start: a stand-in for the W&B server, a browser, a planted store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.wandb_server import WandbServer, serving

if TYPE_CHECKING:
    from initsuite.report.verdicts.views import Views
    from support.pages import Browser


@pytest.fixture
def wandb_server(isolated_wandb: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A good server, configured for this process and its children, with a made-up key."""
    # Ended before `isolated_wandb`, whose teardown waits for the uploads of unfinished runs.
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from support.browsers import open_chromium  # late, as below: few tests open a page

    with open_chromium() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Any, tmp_path: Path) -> Iterator[Browser]:
    """Fails the test if a page logs, asks or fetches anything."""
    from support.pages import Browser

    found = Browser(chromium, tmp_path)
    yield found
    for context in chromium.contexts:
        context.close()
    assert found.complaints == []


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Views:
    """A planted store of five contexts."""
    from support.pages import plant, views_of

    return views_of(plant(tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def text(views: Views) -> str:
    """Its page."""
    from initsuite.report.page.html import html_page

    return html_page(views)
