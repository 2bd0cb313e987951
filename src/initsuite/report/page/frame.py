"""What every page has: its frame, its style and its scripts. One file; no network, no server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import plotly.offline
from markupsafe import Markup

from initsuite.report.colours import colour, line_style, on_dark
from initsuite.report.page.cells import script_json

SCRIPTS = ("page.js", "address.js", "saving.js", "curves.js", "charts.js", "tables.js")
Palette = Mapping[str, Mapping[str, str]]
"""Colour on white, colour on black and line style, by initializer."""


@dataclass(frozen=True)
class Section:
    """A part of a page, filled in from the template of its name.

    Attributes:
        name: its anchor and its template, `templates/NAME.html.jinja`.
        link: what the navigation calls it.
    """

    name: str
    link: str


def palette_of(names: Iterable[str]) -> Palette:
    """How each initializer is drawn, in the order of their first appearance."""
    return {
        name: {"light": colour(name), "dark": on_dark(colour(name)), "style": line_style(name)}
        for name in dict.fromkeys(names)
    }


def framed(
    title: str,
    heading: str,
    sections: Sequence[Section],
    palette: Palette,
    drawn: Mapping[str, Any] | None,
    values: Mapping[str, Any],
) -> str:
    """A page of these sections. Text is escaped; scripts get theirs as data.

    Args:
        title: of the window.
        heading: what the page is about.
        sections: in their order.
        palette: of all initializers that the page names.
        drawn: what the scripts draw, sort and filter; None where there is nothing.
        values: what the templates of the sections read.
    """
    # Neither plotly.js nor our own scripts contain anything that ends a script element.
    scripts = [plotly.offline.get_plotlyjs(), *map(_text, SCRIPTS)] if drawn else []
    return _TEMPLATES.get_template("base.html.jinja").render(
        title=title,
        heading=heading,
        sections=sections,
        palette=palette,
        style=Markup(_text("page.css")),
        scripts=list(map(Markup, scripts)),
        data=Markup(script_json({**(drawn or {}), "palette": palette})),
        **values,
    )


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("initsuite.report.page"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _text(name: str) -> str:
    return resources.files("initsuite.report.page").joinpath(name).read_text(encoding="utf-8")
