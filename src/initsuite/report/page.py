"""The report as one self-contained HTML page: sentences first, then tables and figures."""

from __future__ import annotations

import base64
import io
from importlib import resources

import jinja2
from matplotlib.figure import Figure

from initsuite.report.display import CAPTION, arms_by_context, recommendations_for_people, records, summary_line
from initsuite.report.recommendations import Report


def html_page(report: Report, curves: Figure, steps: Figure) -> str:
    """The page, with the figures inside. Text from the store is escaped.

    Args:
        report: the tables.
        curves: the learning curves.
        steps: steps to the target.
    """
    text = resources.files("initsuite.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(text).render(
        summary=summary_line(report),
        sentences=records(report.recommendations),
        notes=report.notes,
        recommendations=recommendations_for_people(report.recommendations),
        caption=CAPTION,
        arms=list(arms_by_context(report)),
        curves=_data_uri(curves),
        steps=_data_uri(steps),
    )


def _data_uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
