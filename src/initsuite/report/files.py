"""The report as files: the page, tables for people and programs, figures with their data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_pdf import PdfPages

from initsuite.errors import StoreError
from initsuite.report.figures import FIGURES, STYLE, Drawing, drawings
from initsuite.report.page.html import html_page
from initsuite.report.text.documents import report_json, report_markdown, scorecard_parts
from initsuite.report.text.tables import recommendations_html, recommendations_latex, scorecard_html, scorecard_latex
from initsuite.report.verdicts.views import Views

RESOLUTION = 200
"""Of the PNG figures, dots an inch."""
TABLES, FIGURES_FOLDER = "tables", "figures"


def write_report(views: Views, directory: Path) -> list[Path]:
    """Write the report into a folder.

    In the folder itself the page recommendations.html, recommendations.md, .csv and .json, and arms.csv. In `tables`
    recommendations_table.html and recommendations.tex, scorecard as .html, .md, .tex and .csv, and votes.csv,
    trials.csv, aggregates.csv and failures.csv. In `figures` each figure as NAME.pdf, NAME.png (further pages as
    NAME-2.png and so on) and NAME.csv, the data that it shows. A figure or table without data is not written, and one
    from an earlier report is removed.

    Returns:
        The written paths.

    Raises:
        StoreError: the folder cannot be made or written.
    """
    try:
        (directory / TABLES).mkdir(parents=True, exist_ok=True)
        (directory / FIGURES_FOLDER).mkdir(exist_ok=True)
        figures = _write_figures(views, directory / FIGURES_FOLDER)
        pictures = {path.stem: f"{FIGURES_FOLDER}/{path.name}" for path in figures if path.suffix == ".png"}
        texts: dict[str, Callable[[Views], str]] = {
            "recommendations.html": html_page,
            "recommendations.md": lambda views: report_markdown(views, pictures),
            "recommendations.json": report_json,
            f"{TABLES}/scorecard.html": scorecard_html,
            f"{TABLES}/scorecard.md": lambda views: "\n\n".join(scorecard_parts(views)) + "\n",
            f"{TABLES}/scorecard.tex": scorecard_latex,
        }
        of_rows = {
            f"{TABLES}/recommendations_table.html": recommendations_html,
            f"{TABLES}/recommendations.tex": recommendations_latex,
        }
        if views.report.comparisons:
            texts |= of_rows
        else:
            _remove(directory / name for name in of_rows)
        return [*_write_texts(views, texts, directory), *_write_tables(views, directory), *figures]
    except OSError as error:
        raise StoreError(
            f"report: cannot write to `out`={str(directory)!r}: {error.strerror or error}. "
            "Expected a folder that can be made and written. Choose another with --out DIR."
        ) from error


def _write_texts(views: Views, texts: Mapping[str, Callable[[Views], str]], directory: Path) -> list[Path]:
    for name, write in texts.items():
        (directory / name).write_text(write(views), encoding="utf-8")
    return [directory / name for name in texts]


def _write_tables(views: Views, directory: Path) -> list[Path]:
    """Those that are there even without rows, and those that are not."""
    always = {
        "recommendations.csv": views.report.recommendations,
        "arms.csv": views.report.arms,
        f"{TABLES}/scorecard.csv": views.scorecard,
        f"{TABLES}/trials.csv": views.trials,
    }
    some = {"votes": views.votes, "aggregates": views.aggregates, "failures": views.failures}
    tables: dict[str, pd.DataFrame] = always | {f"{TABLES}/{name}.csv": table for name, table in some.items()}
    written = []
    for name, table in tables.items():
        if name in always or len(table):
            table.to_csv(directory / name, index=False)
            written.append(directory / name)
        else:
            _remove([directory / name])
    return written


def _remove(paths: Iterable[Path]) -> None:
    """What an earlier report left there and this one has no data for."""
    for path in paths:
        path.unlink(missing_ok=True)


def _write_figures(views: Views, folder: Path) -> list[Path]:
    for name in FIGURES:
        _remove([folder / f"{name}.pdf", folder / f"{name}.csv", *_pictures(folder, name)])
    with mpl.rc_context(STYLE):
        return [path for drawing in drawings(views) for path in _write_figure(drawing, folder)]


def _pictures(folder: Path, name: str) -> list[Path]:
    """All pages of a figure that are there."""
    numbered = [path for path in folder.glob(f"{name}-*.png") if path.stem.removeprefix(f"{name}-").isdigit()]
    return [folder / f"{name}.png", *numbered]


def _write_figure(drawing: Drawing, folder: Path) -> list[Path]:
    document, data = folder / f"{drawing.name}.pdf", folder / f"{drawing.name}.csv"
    with PdfPages(document, metadata={"CreationDate": None}) as pages:
        for page in drawing.pages:
            pages.savefig(page)
    pictures = []
    for number, page in enumerate(drawing.pages, start=1):
        pictures.append(folder / f"{drawing.name}{'' if number == 1 else f'-{number}'}.png")
        page.savefig(pictures[-1], dpi=RESOLUTION, pil_kwargs={"compress_level": 3})  # 6 takes twice the time
    drawing.data.to_csv(data, index=False)
    return [document, *pictures, data]
