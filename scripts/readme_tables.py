#!/usr/bin/env python3
"""What README.md and docs/which.md show of the reference: python scripts/readme_tables.py prints it."""

from __future__ import annotations

import pandas as pd

from initsuite.report import Views, build_report
from initsuite.report.page.contexts import explain_model
from initsuite.report.text.display import records, scorecard_for_people
from initsuite.report.text.documents import markdown_table
from initsuite.report.verdicts.recommendations import NOTHING
from initsuite.report.verdicts.worth_answers import how_sure
from initsuite.results.sources import REFERENCE_STORE, SHIPPED
from initsuite.results.store import load_results

COUNTS = ("for", "against", "undecided")
MARKED = r"\_"


def verdicts_block(views: Views) -> str:
    """The scorecard, in Markdown."""
    return markdown_table(_scorecard(views))


def winners_block(views: Views) -> str:
    """The recommended initializer of each context with its confidence, in Markdown."""
    return markdown_table(_overview(views))


def worth_block(views: Views) -> str:
    """Whether the choice of an initializer matters in each network, under each optimizer, in Markdown."""
    lines = [how_sure(views.worths)]
    for answer in views.worth_answers:
        kind, shape = explain_model(answer.context)
        lines += [
            "",
            f"**{kind[0].upper()}{kind[1:]} with {shape}, on {answer.context.config['dataset']['name']}**",
            "",
        ]
        lines += [f"- Trained with {optimizer}: {words.replace('_', MARKED)}" for optimizer, words in answer.lines]
    return "\n".join(lines)


def _scorecard(views: Views) -> pd.DataFrame:
    table = scorecard_for_people(views.scorecard)
    votes = table[list(COUNTS)].map(str).agg(" / ".join, axis=1)
    return pd.DataFrame(
        {
            "the article says": table.recommendation,
            "the trials say": table.verdict,
            "contexts for / against / undecided": votes,
            "P(better), or share of contexts [95 %]": table["estimate [95 %]"],
        }
    )


def _overview(views: Views) -> pd.DataFrame:
    """Workloads down, activations across."""
    cells: dict[str, dict[str, str]] = {}
    for row in records(views.report.recommendations):
        answer = "nothing trains" if row["recommended"] == NOTHING else f"{row['recommended']} ({row['confidence']})"
        workload = f"{row['dataset']} / {row['model']}"
        cells.setdefault(workload, {})[row["activation"]] = answer
    order = list(dict.fromkeys(views.report.recommendations.activation))
    return pd.DataFrame(
        [
            {"workload": name, **{activation: row.get(activation, "") for activation in order}}
            for name, row in cells.items()
        ]
    )


if __name__ == "__main__":
    found = Views(build_report(load_results(REFERENCE_STORE)))
    crossed = Views(build_report(load_results(SHIPPED["interaction"])))
    print(verdicts_block(found), winners_block(found), worth_block(crossed), sep="\n\n")
