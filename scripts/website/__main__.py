"""Build the site. See `--help`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from initsuite.errors import InitsuiteError, bad_value
from initsuite.literature.claim import load_claims
from initsuite.literature.judging import judged
from initsuite.report import Views, build_report
from initsuite.report.page.html import html_page
from initsuite.results.releases import newest_release
from initsuite.results.sources import SHIPPED
from initsuite.results.store import load_results
from website.api import api_page
from website.catalogue import catalogue_pages
from website.claims import claim_pages
from website.llms import llms_text
from website.pages import REPOSITORY, stage
from website.terms import statistics_page

BUILD = REPOSITORY / "build" / "site"
MARK = ".built"
"""The file that says that a folder is a build, whose content may be removed."""
CLAIMS = REPOSITORY / "claims"
"""Where `initsuite claims run` leaves its stores, if it is started here: what is shown where no release ships."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 where Sphinx found nothing to warn of, 1 where it did, 2 where nothing could be built."""
    parser = argparse.ArgumentParser(
        prog="python scripts/website",
        description="Build the site, without network, into DIR/html: a folder that any static host serves as it is.",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=BUILD, help="default: build/site")
    parser.add_argument(
        "--claims", metavar="DIR", type=Path, help="the folder with the stores of claims; default: the newest release"
    )
    parser.add_argument(
        "--no-reports", action="store_true", help="leave out the report pages, for a look at the others"
    )
    parser.add_argument("--linkcheck", action="store_true", help="ask the servers of all outer links instead")
    options = parser.parse_args(arguments)
    claims = options.claims or newest_release() or CLAIMS
    try:
        if options.linkcheck:
            return build(options.out, claims, "linkcheck")
        return build(options.out, claims, "html", {} if options.no_reports else SHIPPED)
    except InitsuiteError as error:
        print(error, file=sys.stderr)
        return 2


def build(out: Path, claims: Path, builder: str, stores: Mapping[str, Path] | None = None) -> int:
    """Lay out the sources in `out`/source, and have Sphinx build them into `out`/BUILDER.

    Args:
        out: the folder to build in; what an earlier build left there is removed.
        claims: the folder with the stores of claims.
        builder: of Sphinx: html, or linkcheck.
        stores: those whose report pages are part of the site, by name.

    Raises:
        ConfigError: a folder of somebody else's stands there.
    """
    from sphinx.cmd.build import build_main  # with the extra docs

    source, target = out / "source", out / builder
    _clear(out, source, target)
    stage(source)
    for name, text in generated(source, claims).items():
        _write(source / name, text)
    folders = ["-c", REPOSITORY / "docs", "-d", out / "doctrees", source, target]
    if build_main(["-W", "--keep-going", "-q", "-E", "-b", builder, *map(str, folders)]):
        print("website: Sphinx found something to warn of, see above", file=sys.stderr)
        return 1
    if builder == "html":
        for name, text in {"llms.txt": llms_text(source), **report_pages(stores or {})}.items():
            _write(target / name, text)
        _write(target / ".nojekyll", "")  # for GitHub, which else serves no folder that begins with _
    print(f"website: {target}", flush=True)
    return 0


def _clear(out: Path, *folders: Path) -> None:
    """Remove the folders of an earlier build, which is known by the mark that it left."""
    for folder in folders:
        if folder.exists() and not (out / MARK).is_file():
            raise bad_value("website", "out", str(out), f"a folder without `{folder.name}`, or one of an earlier build")
        shutil.rmtree(folder, ignore_errors=True)
    _write(out / MARK, "")


def report_pages(stores: Mapping[str, Path]) -> dict[str, str]:
    """The page of the report of each store, as `initsuite report` writes it."""
    return {f"{name}.html": html_page(Views(build_report(load_results(store)))) for name, store in stores.items()}


def generated(source: Path, claims: Path) -> dict[str, str]:
    """The pages that no file of the repository has, by name; their pictures are drawn into the folder of sources."""
    found = judged(load_claims(), claims)
    pages = {"api.md": api_page(), "statistics.md": statistics_page(source)}
    return pages | catalogue_pages([each.claim for each in found]) | claim_pages(found, claims, source)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
