"""The report as one self-contained HTML page: the answer first, then the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from initsuite.protocol.guideline import ARTICLE
from initsuite.report.page import tables as page_tables
from initsuite.report.page.across import charts_across, heat_charts
from initsuite.report.page.charts import charts_of
from initsuite.report.page.contexts import (
    DOTS,
    Card,
    cards,
    explain_model,
    first_shown,
    grid,
    headline,
    offered,
    safest,
)
from initsuite.report.page.frame import Section, framed, palette_of
from initsuite.report.page.measured import STATISTICS, protocol_facts
from initsuite.report.page.rules import rules
from initsuite.report.page.starts import starts, starts_chart
from initsuite.report.text.citation import bibtex, citation_block
from initsuite.report.text.display import CAPTION, summary_line
from initsuite.report.text.worth import WORTH_CAPTION, WORTH_TITLE, worth_words
from initsuite.report.verdicts.comparison import by_comparison
from initsuite.report.verdicts.reproduce import commands, without_command
from initsuite.report.verdicts.views import Views
from initsuite.report.verdicts.worth_answers import how_sure


def html_page(views: Views) -> str:
    """The page of a report."""
    found = cards(views.report)
    names = [standing.arm.name for comparison in views.report.comparisons for standing in comparison.standings]
    return framed(
        title="which weight initializer, and how sure are we?",
        heading="Which weight initializer, and how sure are we?",
        sections=list(_sections(len(found), has_starts=len(views.starts) > 0, has_worth=not views.worth.empty)),
        palette=palette_of([*names, *views.report.trials.init]),
        drawn=_drawn(views, found) if found else None,
        values=_values(views, found),
    )


def _sections(num_contexts: int, *, has_starts: bool, has_worth: bool) -> Iterator[Section]:
    """The sections of a page of so many contexts: what a single context is about stands before the rules."""
    yield Section("answer", "Answer")
    if num_contexts > 1:
        yield Section("everywhere", "All contexts")
        if has_worth:
            yield Section("worth", "Worth of the choice")
        yield Section("rules", "Rules of thumb")
        yield Section("recommendations", "Recommendations")
        yield Section("context", "Charts")
        yield Section("across", "Over contexts")
    if num_contexts == 1:
        yield Section("context", "Evidence")
        yield Section("rules", "Rules of thumb")
    if has_starts:
        yield Section("starts", "Step 0")
    if num_contexts:
        yield Section("failures", "Failures")
        yield Section("trials", "Trials")
    yield Section("measured", "How measured")
    yield Section("reproduce", "Reproduce")


def _values(views: Views, found: Sequence[Card]) -> dict[str, Any]:
    """What the templates of the sections read."""
    report = views.report
    columns, rows = grid(found)
    return {
        "summary": summary_line(report),
        "cards": found,
        "first": first_shown(found),
        "headline": headline(found, views.block),
        "safest": safest(found),
        "facets": offered(found),
        "columns": columns,
        "rows": rows,
        "dots": DOTS,
        "rules": rules(views),
        "caption": CAPTION,
        "worth": {"title": WORTH_TITLE, "words": worth_words(views), "caption": WORTH_CAPTION},
        "matters": _matters(views),
        "article": ARTICLE,
        "notes": report.notes,
        "left_out": views.block.left_out,
        "statistics": list(STATISTICS),
        "facts": protocol_facts(report),
        "commands": commands(report),
        "without_command": without_command(report),
        "citation": citation_block(report.results.trials),
        "bibtex": bibtex(),
    }


def _matters(views: Views) -> dict[str, Any] | None:
    """Whether the choice matters in each network, which is the first question where norm and optimizer are crossed."""
    if not views.worths:
        return None
    networks = []
    for answer in views.worth_answers:
        kind, shape = explain_model(answer.context)
        dataset, activation = (answer.context.axes[name] for name in ("dataset", "activation"))
        title = f"{kind[0].upper()}{kind[1:]}{f' with {shape}' if shape else ''}, activation {activation}, on {dataset}"
        networks.append({"title": title, "lines": answer.lines})
    return {"networks": networks, "how_sure": how_sure(views.worths)}


def _drawn(views: Views, found: Sequence[Card]) -> dict[str, Any]:
    """What the scripts draw, sort and filter."""
    report = views.report
    bands = {measure: by_comparison(table) for measure, table in views.bands.items()}
    rates, measured = by_comparison(views.lr_sensitivity), by_comparison(views.starts)
    no_bands, no_rates = views.curves.iloc[:0], views.lr_sensitivity.iloc[:0]
    contexts = []
    for card, comparison, arms in zip(found, report.comparisons, page_tables.arms(report), strict=True):
        key = comparison.key
        own = {measure: tables.get(key, no_bands) for measure, tables in bands.items()}
        start = measured.get(key, views.starts.iloc[:0])
        charts = {**charts_of(comparison, own, rates.get(key, no_rates)), "starts": starts_chart(start)}
        shown = {"charts": charts, "arms": arms, "starts": starts(start)}
        contexts.append({"key": card.key, "name": card.name, "facets": card.facets, **shown})
    activation = heat_charts(views.by_activation, "activation", "No scoring trials yet.")
    depth = heat_charts(views.by_depth, "depth", "Needs scored networks that differ in nothing but their depth.")
    return {
        "contexts": contexts,
        "across": charts_across(views),
        "heat": {"activation": activation, "depth": depth},
        "tables": {
            "recommendations": page_tables.recommendations(report, found),
            "aggregates": page_tables.aggregates(views),
            "failures": page_tables.failures(views),
            "trials": page_tables.trials(views),
            "worth": page_tables.worth(views),
        },
        "dots": DOTS,
        "first": first_shown(found),
    }
