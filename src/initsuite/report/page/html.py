"""The report as one self-contained HTML page: the answer first, then the evidence. No network, no server."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jinja2
import plotly.offline
from markupsafe import Markup

from initsuite.protocol.guideline import ARTICLE
from initsuite.report.colours import colour, line_style, on_dark
from initsuite.report.page import tables as page_tables
from initsuite.report.page.across import charts_across, heat_charts
from initsuite.report.page.cells import script_json
from initsuite.report.page.charts import charts_of
from initsuite.report.page.contexts import DOTS, Card, cards, first_shown, grid, headline, offered, safest
from initsuite.report.page.measured import STATISTICS, protocol_facts
from initsuite.report.page.rules import rules
from initsuite.report.text.citation import bibtex, citation_block
from initsuite.report.text.display import CAPTION, summary_line
from initsuite.report.text.worth import WORTH_CAPTION, WORTH_TITLE, worth_words
from initsuite.report.verdicts.comparison import by_comparison
from initsuite.report.verdicts.reproduce import commands, without_command
from initsuite.report.verdicts.views import Views


def html_page(views: Views) -> str:
    """The page. Text from the store is escaped; scripts get it as data."""
    report = views.report
    found = cards(report)
    columns, rows = grid(found)
    scripts = [plotly.offline.get_plotlyjs(), *map(_text, ("page.js", "charts.js", "tables.js"))]
    strict = {"autoescape": True, "undefined": jinja2.StrictUndefined}
    return jinja2.Template(_text("page.html.jinja"), trim_blocks=True, lstrip_blocks=True, **strict).render(
        summary=summary_line(report),
        cards=found,
        first=first_shown(found),
        headline=headline(found, views.block),
        safest=safest(found),
        facets=offered(found),
        columns=columns,
        rows=rows,
        dots=DOTS,
        palette=_palette(views),
        rules=rules(views),
        worth={"title": WORTH_TITLE, "words": worth_words(views), "caption": WORTH_CAPTION},
        caption=CAPTION,
        article=ARTICLE,
        notes=report.notes,
        left_out=views.block.left_out,
        statistics=list(STATISTICS),
        facts=protocol_facts(report),
        commands=commands(report),
        without_command=without_command(report),
        citation=citation_block(report.results.trials),
        bibtex=bibtex(),
        style=Markup(_text("page.css")),
        # Neither plotly.js nor our own scripts contain anything that ends a script element.
        scripts=list(map(Markup, scripts)) if found else [],
        data=Markup(script_json(_payload(views, found))),
    )


def _payload(views: Views, found: list[Card]) -> dict[str, Any]:
    """What the scripts draw, sort and filter."""
    report = views.report
    curves, rates = by_comparison(views.curves), by_comparison(views.lr_sensitivity)
    no_curves, no_rates = views.curves.iloc[:0], views.lr_sensitivity.iloc[:0]
    contexts = []
    for card, comparison, arms in zip(found, report.comparisons, page_tables.arms(report), strict=True):
        key = comparison.key
        charts = charts_of(comparison, curves.get(key, no_curves), rates.get(key, no_rates))
        contexts.append({"key": card.key, "facets": card.facets, "charts": charts, "arms": arms})
    activation = heat_charts(views.by_activation, "activation", "No scoring trials yet.")
    depth = heat_charts(views.by_depth, "depth", "Needs scored networks that differ in nothing but their depth.")
    return {
        "contexts": contexts,
        "palette": _palette(views),
        "across": charts_across(views),
        "heat": {"activation": activation, "depth": depth},
        "tables": {
            "recommendations": page_tables.recommendations(report),
            "aggregates": page_tables.aggregates(views),
            "failures": page_tables.failures(views),
            "trials": page_tables.trials(views),
            "worth": page_tables.worth(views),
        },
        "dots": DOTS,
        "first": first_shown(found),
    }


def _palette(views: Views) -> dict[str, dict[str, str]]:
    """Colour on white, colour on black and line style of each initializer."""
    names = [standing.arm.name for found in views.report.comparisons for standing in found.standings]
    return {
        name: {"light": colour(name), "dark": on_dark(colour(name)), "style": line_style(name)}
        for name in dict.fromkeys([*names, *views.report.trials.init])
    }


def _text(name: str) -> str:
    return resources.files("initsuite.report.page").joinpath(name).read_text(encoding="utf-8")
