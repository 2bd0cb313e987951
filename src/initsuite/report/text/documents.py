"""The report as one text: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from initsuite.report.text.display import (
    CAPTION,
    SCORECARD_CAPTION,
    arms_by_context,
    confidence_text,
    recommendations_for_people,
    records,
    scorecard_for_people,
    summary_line,
)
from initsuite.report.text.starts import STARTS_CAPTION, STARTS_TITLE, starts_for_people
from initsuite.report.text.worth import WORTH_CAPTION, WORTH_TITLE, worth_for_people, worth_lines, worth_words
from initsuite.report.verdicts.views import Views
from initsuite.report.verdicts.worth_answers import how_sure

SCHEMA = 3
"""The version of the JSON; with another one, its readers have to change."""
_FIGURES = {
    "curves": "learning curves",
    "steps_to_target": "steps to the target",
    "lr_sensitivity": "score by learning rate",
    "worth": "what the choice of initializer is worth, without a norm and with one, by optimizer",
    "scorecard": "the article's recommendations against the trials",
}
"""The figures that the Markdown shows, with what they are."""
_INFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def report_parts(views: Views, pictures: dict[str, str]) -> list[str]:
    """The title, sentences, the notes, the recommendations, the scorecard, arms and step 0, in Markdown.

    Args:
        views: the views of the report.
        pictures: paths of figures from the file's folder, by name; figures without one are left out.
    """
    report = views.report
    parts = ["# Which weight initializer, and how sure are we?", summary_line(report)]
    for row in records(report.recommendations):
        where, choice, words = (plain(row[name]) for name in ("context", "recommended", "in_words"))
        parts.append(f"**{where}** ({row['lr_rule']}): **{choice}**. {words} Confidence {confidence_text(row)}.")
    parts += notes_parts(report.notes)
    if not report.comparisons:
        return parts
    parts += ["## Recommendations", markdown_table(recommendations_for_people(report.recommendations)), CAPTION]
    parts += worth_parts(views)
    parts += scorecard_parts(views)
    parts += [f"![{what}]({pictures[name]})" for name, what in _FIGURES.items() if name in pictures]
    parts.append("## Every initializer")
    for title, table in arms_by_context(report):
        parts += [f"### {plain(title)}", markdown_table(table)]
    return parts + starts_parts(views)


def markdown(parts: Sequence[str]) -> str:
    """Paragraphs, headings and tables as one text."""
    return "\n\n".join(parts) + "\n"


def notes_parts(notes: Sequence[str]) -> list[str]:
    """Notes as a list under a heading; nothing without any."""
    return ["## Left out, and warnings", "\n".join(f"- {plain(note)}" for note in notes)] if notes else []


def worth_parts(views: Views) -> list[str]:
    """What the choice is worth, in Markdown: the answer, the table, how it was measured; nothing where that is not
    known."""
    if views.worth.empty:
        return []
    table = markdown_table(worth_for_people(views.worth))
    lines = "\n".join(f"- {plain(line)}" for line in worth_lines(views))
    return [f"## {WORTH_TITLE}", plain(worth_words(views)), lines, plain(how_sure(views.worths)), table, WORTH_CAPTION]


def starts_parts(views: Views) -> list[str]:
    """What was measured at step 0, in Markdown; nothing where nothing was."""
    if views.starts.empty:
        return []
    return [f"## {STARTS_TITLE}", markdown_table(starts_for_people(views.starts)), STARTS_CAPTION]


def scorecard_parts(views: Views) -> list[str]:
    """The scorecard in Markdown: a sentence per rule, the table, what its columns mean."""
    sentences = [f"- **{plain(row['recommendation'])}**: {plain(row['in_words'])}" for row in records(views.scorecard)]
    table = markdown_table(scorecard_for_people(views.scorecard))
    return ["## The article's recommendations", "\n".join(sentences), table, SCORECARD_CAPTION]


def report_json(views: Views) -> str:
    """The report for programs, in strict JSON.

    An object with `schema` (3), `protocol_version` (of the trials that count), and lists of objects:
    `recommendations`, `arms` and `scorecard`, with the columns of the CSV files of the same names, `votes` (one context
    on one rule of the scorecard), and `notes`, of strings. Units are those of `recommend_table`. A missing number is
    null. An infinite one, such as the steps of a median seed that never reaches the target, is the string "Infinity",
    which `float` in Python and `Number` in JavaScript read as infinity.

    Since schema 3 the verdicts are those of `Verdict` and `Ruling` (schema 2 had `no difference found` for what is now
    `no difference` or `undecided`), and final scores have columns of their own. Since schema 2 `confidence` and
    `article_agrees` of the recommendations are one word each, with their reasons in `confidence_reason` and
    `article_reason`; schema 1 had each pair in one string.
    """
    report = views.report
    content = {
        "schema": SCHEMA,
        "protocol_version": int(report.trials.protocol_version.max()),
        "recommendations": _objects(report.recommendations),
        "arms": _objects(report.arms),
        "scorecard": _objects(views.scorecard),
        "votes": _objects(views.votes),
        "notes": list(report.notes),
    }
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _objects(table: pd.DataFrame) -> list[dict[str, Any]]:
    known = table.astype(object).where(table.notna(), None)
    return [{name: _INFINITE.get(value, value) for name, value in row.items()} for row in records(known)]


def markdown_table(table: pd.DataFrame) -> str:
    """A table for people, or any other table whose entries are readable as they are."""
    return table.map(lambda value: plain(str(value))).to_markdown(index=False, disable_numparse=True)


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line: underscores and stars in names, bars in cells, no links.

    Example:
        >>> print(plain("torch_default"))
        torch\\_default
    """
    for mark in "\\`*_|<[]!&":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.splitlines())
