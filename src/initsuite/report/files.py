"""The report as files: tables for people and programs, figures, one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from initsuite.errors import StoreError
from initsuite.report.display import CAPTION, arms_by_context, recommendations_for_people, records, summary_line
from initsuite.report.figures import STYLE, curves_figure, steps_figure
from initsuite.report.page import html_page
from initsuite.report.recommendations import Report

RESOLUTION = 160
"""Of the PNG figures, dots an inch."""


def write_report(report: Report, directory: Path) -> list[Path]:
    """Write recommendations.csv, .md and .html, arms.csv, curves and steps_to_target as .png and .pdf.

    Returns:
        The written paths.

    Raises:
        StoreError: the folder cannot be made or written.
    """
    curves, steps = curves_figure(report), steps_figure(report)
    writers: dict[str, Callable[[Path], object]] = {
        "recommendations.html": lambda path: path.write_text(html_page(report, curves, steps), encoding="utf-8"),
        "recommendations.md": lambda path: path.write_text(markdown_page(report), encoding="utf-8"),
        "recommendations.csv": lambda path: report.recommendations.to_csv(path, index=False),
        "arms.csv": lambda path: report.arms.to_csv(path, index=False),
    }
    for name, figure in (("curves", curves), ("steps_to_target", steps)):
        writers[f"{name}.png"] = lambda path, figure=figure: figure.savefig(path, dpi=RESOLUTION)
        writers[f"{name}.pdf"] = lambda path, figure=figure: figure.savefig(path, metadata={"CreationDate": None})
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context(STYLE):
            for name, write in writers.items():
                write(directory / name)
    except OSError as error:
        raise StoreError(
            f"report: cannot write to `out`={str(directory)!r}: {error.strerror or error}. "
            "Expected a folder that can be made and written. Choose another with --out DIR."
        ) from error
    return [directory / name for name in writers]


def markdown_page(report: Report) -> str:
    """Sentences, the recommendations, the arms of each context and the notes."""
    parts = ["# Which weight initializer, and how sure are we?", summary_line(report)]
    for row in records(report.recommendations):
        where, choice, words = (_plain(row[name]) for name in ("context", "recommended", "in_words"))
        parts.append(f"**{where}** ({row['lr_rule']}): **{choice}**. {words} Confidence {row['confidence']}.")
    if report.notes:
        parts += ["## Left out, and warnings", "\n".join(f"- {_plain(note)}" for note in report.notes)]
    if not report.comparisons:
        return "\n\n".join(parts) + "\n"
    parts += ["## Recommendations", _markdown_table(recommendations_for_people(report.recommendations)), CAPTION]
    parts += ["![learning curves](curves.png)", "![steps to the target](steps_to_target.png)", "## Every initializer"]
    for title, table in arms_by_context(report):
        parts += [f"### {_plain(title)}", _markdown_table(table)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: pd.DataFrame) -> str:
    return table.map(lambda value: _plain(str(value))).to_markdown(index=False, disable_numparse=True)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: underscores and stars in names, bars in cells."""
    for mark in "\\`*_|<":
        text = text.replace(mark, "\\" + mark)
    return text
