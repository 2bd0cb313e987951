"""The recommendations and the scorecard as tables for a page and for a paper."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from great_tables import GT, loc, style

from initsuite.report.text.display import (
    CAPTION,
    SCORECARD_CAPTION,
    recommendations_for_people,
    records,
    score_heading,
    scorecard_for_people,
    ties_in_words,
)
from initsuite.report.verdicts.views import Views

_TITLE = "Which weight initializer, and how sure are we?"
_RULES_TITLE = "The article's recommendations against the trials"
_PRINTED_CAPTION = CAPTION.partition(" The lr window")[0]
"""Without what only wider tables show."""
_FONT = ["system-ui", "-apple-system", "Segoe UI", "Helvetica", "Arial", "sans-serif"]
_PREAMBLE = "% Needs the packages booktabs, longtable, array and caption.\n"
_STEPS, _IMPROVEMENT = "median steps to target [95 %]", "P(better than torch_default) [95 %]"
_RULE_WIDTHS = {
    "recommendation": 0.2,
    "compared": 0.24,
    "verdict": 0.12,
    "for / against / undecided": 0.12,
    "estimate [95 %]": 0.15,
    "p": 0.08,
}
"""Of the columns in print, in shares of the line."""


def recommendations_html(views: Views) -> str:
    """The recommendations table as a page of its own, one row a context, grouped by data set."""
    recommendations = views.report.recommendations
    table = recommendations_for_people(recommendations).drop(columns=["dataset", "model", "activation", "optimizer"])
    table.insert(0, "data set", recommendations.dataset)
    table.insert(1, "context", _contexts(recommendations))
    table["in words"] = recommendations.in_words
    widths = {"context": "150px", "confidence": "130px", "article's rule agrees": "130px", "in words": "420px"}
    made = _table(table, _TITLE, CAPTION, "recommendations", group="data set", stub="context").cols_width(widths)
    made = made.tab_style(style.text(weight="bold"), loc.body(columns="recommended"))
    return made.as_raw_html(make_page=True)


def scorecard_html(views: Views) -> str:
    """The scorecard as a page of its own, one row a rule."""
    table = scorecard_for_people(views.scorecard).assign(**{"in words": views.scorecard.in_words})
    widths = {"recommendation": "180px", "compared": "240px", "in words": "300px"}
    made = _table(table, _RULES_TITLE, SCORECARD_CAPTION, "scorecard", stub="recommendation").cols_width(widths)
    return made.tab_style(style.text(weight="bold"), loc.body(columns="verdict")).as_raw_html(make_page=True)


def recommendations_latex(views: Views) -> str:
    r"""The recommendations as a longtable of booktabs, as wide as a line; read it with \input."""
    recommendations = views.report.recommendations
    table = recommendations_for_people(recommendations)
    ties = [ties_in_words(row) or "none" for row in records(recommendations)]
    columns = {
        "data set": (recommendations.dataset, 0),
        "context": (pd.Series(_contexts(recommendations)), 0.17),
        "recommended": (table.recommended, 0.1),
        "not told apart": (pd.Series(ties), 0.16),
        "seeds that reach it": (table["success rate (seeds)"], 0.09),
        _STEPS: (table[_STEPS], 0.1),
        score_heading(recommendations): (table[score_heading(recommendations)], 0.1),
        _IMPROVEMENT: (table[_IMPROVEMENT], 0.1),
        "best lr": (table["best lr"], 0.05),
        "confidence": (table.confidence, 0.13),
    }
    printed = pd.DataFrame({name: column for name, (column, _) in columns.items()})
    widths = {name: width for name, (_, width) in columns.items() if width}
    return _latex(_table(printed, _TITLE, _PRINTED_CAPTION, "recommendations", group="data set"), widths)


def scorecard_latex(views: Views) -> str:
    r"""The scorecard as a longtable of booktabs, as wide as a line; read it with \input."""
    table = scorecard_for_people(views.scorecard)
    table["for / against / undecided"] = [
        f"{row['for']} / {row['against']} / {row['undecided']}" if row["contexts"] != "0" else ""
        for row in records(table)
    ]
    table["estimate [95 %]"] = (table.measure + " " + table["estimate [95 %]"]).str.strip()
    return _latex(_table(table[list(_RULE_WIDTHS)], _RULES_TITLE, SCORECARD_CAPTION, "scorecard"), _RULE_WIDTHS)


def _contexts(recommendations: pd.DataFrame) -> list[str]:
    """Titles without the data set, which heads their group, and with the lr rule where there are several."""
    is_mixed = recommendations.lr_rule.nunique() > 1
    return [
        row["context"].removeprefix(f"{row['dataset']} / ") + (f" · {row['lr_rule']}" if is_mixed else "")
        for row in records(recommendations)
    ]


def _table(
    table: pd.DataFrame, title: str, caption: str, name: str, group: str | None = None, stub: str | None = None
) -> GT:
    # The id is fixed: the same table gives the same file.
    made = GT(table, groupname_col=group, rowname_col=stub, id=name).tab_header(title)
    made = made.tab_source_note(caption).cols_align("left").opt_table_font(font=_FONT)
    return made.tab_options(
        table_font_size="12px",
        heading_align="left",
        column_labels_font_weight="600",
        row_group_font_weight="600",
        data_row_padding="4px",
    )


def _latex(table: GT, widths: Mapping[str, float]) -> str:
    """With columns that break their lines, and no vertical rule."""
    text = table.tab_options(table_font_size="8pt").as_latex(use_longtable=True)
    begin = "\\begin{longtable}{"
    start = text.index(begin) + len(begin)
    room = 1 - 0.012 * len(widths)  # the rest is the space between columns
    scale = room / sum(widths.values())
    ragged = ">{\\raggedright\\arraybackslash}p"
    columns = "".join(f"{ragged}{{{width * scale:.3f}\\linewidth}}" for width in widths.values())
    body = f"{text[:start]}@{{}}{columns}@{{}}{text[text.index('}', start) :]}"
    return _PREAMBLE + body.replace("\\begingroup\n", "\\begingroup\n\\setlength{\\tabcolsep}{0.006\\linewidth}\n", 1)
