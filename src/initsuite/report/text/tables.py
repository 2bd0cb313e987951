"""The recommendations and the scorecard as tables for a page and for a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from initsuite.report.text.display import (
    CAPTION,
    ESTIMATE,
    IMPROVEMENT,
    PRINTED_CAPTION,
    RATE,
    SCORECARD_CAPTION,
    STEPS,
    confidence_text,
    recommendations_for_people,
    records,
    score_heading,
    scorecard_for_people,
    ties_in_words,
)
from initsuite.report.verdicts.views import Views
from initsuite.spec import CONTEXT_AXES

_TITLE = "Which weight initializer, and how sure are we?"
_RULES_TITLE = "The article's recommendations against the trials"
_CELLS = "padding: 4px 8px; text-align: left; vertical-align: top; border-bottom: 1px solid #bbb"
_LOOK: list[Any] = [
    {"selector": "", "props": "font: 12px system-ui, sans-serif; border-collapse: collapse"},
    {"selector": "caption", "props": "text-align: left"},
    {"selector": "th, td", "props": _CELLS},
    {"selector": "td:last-child", "props": "min-width: 300px"},
]
_PREAMBLE = r"""% Needs the packages booktabs, longtable and array.
\begingroup
\footnotesize
\setlength{\tabcolsep}{0.006\linewidth}
"""
_RULE_WIDTHS = {
    "recommendation": 0.2,
    "compared": 0.24,
    "verdict": 0.12,
    "for / against / undecided": 0.12,
    ESTIMATE: 0.15,
    "p": 0.08,
}
"""The widths of the printed columns, as shares of the line."""


def recommendations_html(views: Views) -> str:
    """The recommendations table as a page of its own, one row per context."""
    recommendations = views.report.recommendations
    table = recommendations_for_people(recommendations).drop(columns=list(CONTEXT_AXES))
    table.insert(0, "context", recommendations.context)
    return _html(table.assign(**{"in words": recommendations.in_words}), _TITLE, CAPTION, bold="recommended")


def scorecard_html(views: Views) -> str:
    """The scorecard as a page of its own, one row per rule."""
    table = scorecard_for_people(views.scorecard).assign(**{"in words": views.scorecard.in_words})
    return _html(table, _RULES_TITLE, SCORECARD_CAPTION, bold="verdict")


def recommendations_latex(views: Views) -> str:
    r"""The recommendations as a longtable of booktabs, as wide as a line; read it with \input."""
    recommendations = views.report.recommendations
    table, rows = recommendations_for_people(recommendations), records(recommendations)
    columns = {
        "context": (_contexts(recommendations), 0.17),
        "recommended": (table.recommended, 0.1),
        "not distinguishable": ([ties_in_words(row) or "none" for row in rows], 0.16),
        "seeds that reach it": (table[RATE], 0.09),
        STEPS: (table[STEPS], 0.1),
        (score := score_heading(recommendations)): (table[score], 0.1),
        IMPROVEMENT: (table[IMPROVEMENT], 0.1),
        "best lr": (table["best lr"], 0.05),
        "confidence": ([confidence_text(row) for row in rows], 0.13),
    }
    printed = pd.DataFrame({name: column for name, (column, _) in columns.items()})
    parts, headings = [], []
    for dataset, group in printed.groupby(recommendations.dataset, sort=False):
        headings.append(sum(map(len, parts)))
        parts += [pd.DataFrame({"context": [dataset]}), group]
    widths = {name: width for name, (_, width) in columns.items()}
    return _latex(pd.concat(parts, ignore_index=True).fillna(""), widths, _TITLE, PRINTED_CAPTION, headings)


def scorecard_latex(views: Views) -> str:
    r"""The scorecard as a longtable of booktabs, as wide as a line; read it with \input."""
    table = scorecard_for_people(views.scorecard)
    table["for / against / undecided"] = [
        f"{row['for']} / {row['against']} / {row['undecided']}" if row["contexts"].value else ""
        for row in records(table)
    ]
    table[ESTIMATE] = [f"{row['measure']} {row[ESTIMATE]}".strip() for row in records(table)]
    return _latex(table[list(_RULE_WIDTHS)], _RULE_WIDTHS, _RULES_TITLE, SCORECARD_CAPTION)


def _contexts(recommendations: pd.DataFrame) -> list[str]:
    """Titles without the data set, which heads their group, and with the lr rule where there are several."""
    is_mixed = recommendations.lr_rule.nunique() > 1
    return [
        row["context"].removeprefix(f"{row['dataset']} / ") + (f" · {row['lr_rule']}" if is_mixed else "")
        for row in records(recommendations)
    ]


def _html(table: pd.DataFrame, title: str, caption: str, bold: str) -> str:
    styled = table.map(str).style.hide(axis="index").format(escape="html").format_index(escape="html", axis="columns")
    styled = styled.set_table_styles(_LOOK).set_properties(subset=[bold], **{"font-weight": "bold"})
    # The id is fixed: the same table gives the same file.
    return styled.to_html(table_uuid="table", doctype_html=True, caption=f"<b>{title}</b> {caption}")


def _latex(
    table: pd.DataFrame, widths: Mapping[str, float], title: str, caption: str, headings: Sequence[int] = ()
) -> str:
    """A longtable whose columns break their lines, without vertical rules.

    Args:
        headings: rows whose first entry heads those below and extends over the empty ones beside it.
    """
    scale = (1 - 0.012 * len(widths)) / sum(widths.values())  # the rest is the space between columns
    shares = [f"{width * scale:z.3f}" for width in widths.values()]
    columns = "".join(rf">{{\raggedright\arraybackslash}}p{{{share}\linewidth}}" for share in shares)
    styled = table.map(str).style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    heads = pd.IndexSlice[list(headings), list(widths)[:1]]
    styled = styled.map(lambda _: "makebox: [0pt][l]--rwrap; textbf: --rwrap", subset=heads)
    text = styled.to_latex(environment="longtable", hrules=True, column_format=f"@{{}}{columns}@{{}}", caption=title)
    note = caption.replace("%", r"\%")
    return f"{_PREAMBLE}{text}\\noindent\n{note}\\par\n\\endgroup\n"
