"""The report as files: the page, tables for people and programs, figures with their data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from initsuite.errors import StoreError
from initsuite.files import own_folder, own_place
from initsuite.report.page.html import html_page
from initsuite.report.page.pair import pair_page
from initsuite.report.pair.display import markdown_of_pair
from initsuite.report.pair.side_by_side import SideBySide
from initsuite.report.text.documents import markdown, report_json, report_parts, scorecard_parts
from initsuite.report.text.tables import recommendations_html, recommendations_latex, scorecard_html, scorecard_latex
from initsuite.report.verdicts.views import Views

if TYPE_CHECKING:
    from initsuite.report.figures.style import Drawing

RESOLUTION = 200
"""Dots per inch of the PNG figures."""
TABLES, FIGURES_FOLDER = "tables", "figures"
Content = str | pd.DataFrame | None
"""What a file holds: a text, a table as CSV, or nothing: then an earlier report's file is removed."""


def write_report(views: Views, directory: Path) -> list[Path]:
    """Write the report into a folder.

    In the folder itself: the page recommendations.html, recommendations.md, .csv and .json, and arms.csv. In `tables`:
    recommendations_table.html and recommendations.tex, scorecard as .html, .md, .tex and .csv, and votes.csv,
    trials.csv, aggregates.csv, failures.csv, signal.csv (step 0) and worth.csv. In `figures`: each figure as NAME.pdf,
    NAME.png (further pages as NAME-2.png and so on), NAME.csv, the data that it shows, and NAME.txt, its caption. A
    figure or table without data is not written, and one from an earlier report is removed.

    Returns:
        The written paths.

    Raises:
        StoreError: the folder cannot be made or written.
    """
    with _into(directory):
        figures = _write_figures(views, directory / FIGURES_FOLDER)
        pictures = {path.stem: f"{FIGURES_FOLDER}/{path.name}" for path in figures if path.suffix == ".png"}
        contents: dict[str, Content] = {
            "recommendations.html": html_page(views),
            "recommendations.md": markdown(report_parts(views, pictures)),
            "recommendations.json": report_json(views),
            "recommendations.csv": views.report.recommendations,
            "arms.csv": views.report.arms,
        }
        contents |= {f"{TABLES}/{name}": content for name, content in _tables(views).items()}
        return [*_write(contents, directory), *figures]


def write_side_by_side(pair: SideBySide, directory: Path) -> list[Path]:
    """Write the page side_by_side.html, side_by_side.md, side_by_side.csv (one row per initializer) and
    side_by_side_contexts.csv into a folder.

    Returns and raises as `write_report`.
    """
    contents = {"side_by_side.csv": pair.arms, "side_by_side_contexts.csv": pair.contexts}
    with _into(directory):
        texts = {"side_by_side.html": pair_page(pair), "side_by_side.md": markdown_of_pair(pair)}
        return _write({**texts, **contents}, directory)


def _tables(views: Views) -> dict[str, Content]:
    """The files of the folder `tables`."""
    has_rows = len(views.report.comparisons) > 0
    some = {
        "signal": views.starts,
        "votes": views.votes,
        "aggregates": views.aggregates,
        "failures": views.failures,
        "worth": views.worth,
    }
    return {
        "recommendations_table.html": recommendations_html(views) if has_rows else None,
        "recommendations.tex": recommendations_latex(views) if has_rows else None,
        "scorecard.html": scorecard_html(views),
        "scorecard.md": markdown(scorecard_parts(views)),
        "scorecard.tex": scorecard_latex(views),
        "scorecard.csv": views.scorecard,
        "trials.csv": views.trials,
        **{f"{name}.csv": table if len(table) else None for name, table in some.items()},
    }


@contextmanager
def _into(directory: Path) -> Iterator[None]:
    """Make a folder to write into, and explain why that or the writing fails."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StoreError(
            f"report: cannot write to `out`={str(directory)!r}: {error.strerror or error}. "
            "Expected a folder that can be made and written. Choose another with --out DIR."
        ) from error


def _write(contents: Mapping[str, Content], directory: Path) -> list[Path]:
    """Write each file, and return the paths of those that are there."""
    written = []
    for name, content in contents.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path = own_place(path, directory)
        if content is None:
            path.unlink(missing_ok=True)
            continue
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            content.to_csv(path, index=False)
        written.append(path)
    return written


def _write_figures(views: Views, folder: Path) -> list[Path]:
    # imported late, as below: drawing takes half a second of imports, which no help page needs
    import matplotlib as mpl

    from initsuite.report.figures import FIGURES, drawings
    from initsuite.report.figures.fonts import reduced_fonts
    from initsuite.report.figures.style import STYLE

    folder.mkdir(exist_ok=True)
    own_folder(folder, folder.parent)
    earlier = re.compile(rf"({'|'.join(FIGURES)})(\.pdf|\.csv|\.txt|(-\d+)?\.png)")
    for path in folder.iterdir():
        if earlier.fullmatch(path.name):
            path.unlink()
    with mpl.rc_context({**STYLE, "font.family": reduced_fonts()}):
        return [path for drawing in drawings(views) for path in _write_figure(drawing, folder)]


def _write_figure(drawing: Drawing, folder: Path) -> list[Path]:
    from matplotlib.backends.backend_pdf import PdfPages

    document, data, caption = (own_place(folder / f"{drawing.name}{end}", folder) for end in (".pdf", ".csv", ".txt"))
    with PdfPages(document, metadata={"CreationDate": None}) as pages:
        for page in drawing.pages:
            pages.savefig(page)
    pictures = []
    for number, page in enumerate(drawing.pages, start=1):
        name = f"{drawing.name}{'' if number == 1 else f'-{number}'}.png"
        pictures.append(own_place(folder / name, folder))
        page.savefig(pictures[-1], dpi=RESOLUTION, pil_kwargs={"compress_level": 3})  # 6 takes twice the time
    drawing.data.to_csv(data, index=False)
    caption.write_text(f"{drawing.caption}\n", encoding="utf-8")
    return [document, *pictures, data, caption]
