"""The site, built once: it needs no network, its links lead somewhere, and a dead one is named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from website.pages import REPOSITORY, place_of, written_pages

from initsuite.results.sources import SHIPPED

RUN, READ = {"bash", "python"}, {"text", "yaml", "{toctree}"}
"""What a fenced block may be: the first two are run by tests/integration/test_readme.py, on the pages that it runs; of
`text` the launches are composed."""


class Page(HTMLParser):
    """What a page loads, what it links to, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if "src" in found:
            self.loads.append(found["src"])
        if "href" in found:
            (self.loads if tag == "link" else self.links).append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `bash scripts/site.sh` does, Sphinx taking every warning for an error; without the report pages, which
    tests/integration/test_page.py looks at."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "scripts/website", "--out", str(out), "--no-reports"]
    environment = os.environ | {"no_proxy": "", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html"


def pages_of(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def dead_links(pages: dict[Path, Page]) -> list[str]:
    """Links of pages to files, and to places in pages, that are not there."""
    dead = []
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            name, _, place = link.partition("#")
            if re.match(r"\w+:", link):
                continue
            target = (path.parent / unquote(name.partition("?")[0])).resolve() if name else path
            if not target.is_file() or (place and target in pages and unquote(place) not in pages[target].ids):
                dead.append(f"{path.name}: {link}")
    return dead


@pytest.mark.slow
def test_its_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = pages_of(site)
    assert len(pages) > len(written_pages())
    assert sorted(dead_links(pages)) == sorted(f"index.html: {name}.html" for name in SHIPPED)
    assert [load for page in pages.values() for load in page.loads if re.match(r"(\w+:)?//", load)] == []
    sheets = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"(@import|url\()[\"' ]*(https?:)?//", sheets)


@pytest.mark.slow
def test_it_has_every_written_page(site: Path) -> None:
    for path in written_pages():
        assert (site / place_of(path).with_suffix(".html")).is_file(), path


@pytest.mark.slow
def test_every_link_of_llms_txt_is_plain_text_and_nothing_is_left_out(site: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (site / "llms.txt").read_text(encoding="utf-8"))
    assert [link for link in links if not (site / link).is_file()] == []
    written = {path.relative_to(site) for path in (site / "_sources").rglob("*.*")}
    assert {Path(link) for link in links} == written - {Path("_sources/index.md")}


@pytest.mark.slow
def test_it_has_a_page_for_every_initializer_and_claim(site: Path) -> None:
    initializers = [path.stem for path in REPOSITORY.glob("conf/init/*.yaml") if path.stem != "custom"]
    claims = [path.stem for path in REPOSITORY.glob("conf/claim/*.yaml")]
    wanted = {f"catalogue/{name}" for name in initializers} | {f"claims/{name}" for name in claims}
    assert {name for name in wanted if not (site / f"{name}.html").is_file()} == set()
    page = (site / "catalogue" / "he.html").read_text(encoding="utf-8")
    assert all(f"<p>{name}</p>" in page for name in ("torch", "Keras", "Flax", "timm", "transformers"))


def test_a_planted_dead_link_is_found(tmp_path: Path) -> None:
    place = tmp_path / "a.html"
    page = Page(
        '<p id="here"><a href="#here">x</a><a href="b.html">x</a><a href="#there">x</a><img src="https://x.y/z">'
    )
    place.touch()
    assert dead_links({place: page}) == ["a.html: b.html", "a.html: #there"]


@pytest.mark.parametrize("path", [path for path in written_pages() if path.suffix == ".md"], ids=lambda path: path.name)
def test_its_code_is_of_a_kind_that_the_tests_know(path: Path) -> None:
    """What is indented instead, or is of another kind, would be run by no test."""
    text = path.read_text(encoding="utf-8")
    fences = re.findall(r"^ *```(\S*)$", text, flags=re.MULTILINE)
    is_run = path.parent.name == "docs" or "examples" in path.parts
    assert set(fences[::2]) <= (RUN | READ if is_run else READ)
    outside = re.sub(r"^( *)```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.findall(r"(?m)^ {4,8}(?:initsuite|python|bash|pip|docker|sbatch|import|from) .*", outside)
