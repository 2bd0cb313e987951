"""The article's rules as the page shows them: a verdict, the contexts for and against, and the numbers behind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from initsuite.report.formatting import format_p, format_share
from initsuite.report.text.display import records
from initsuite.report.verdicts.rulings import Ruling
from initsuite.report.verdicts.views import Views
from initsuite.stats.intervals import CONFIDENCE, Interval

MARKS = {
    Ruling.SUPPORTED: ("✓", "good"),
    Ruling.CONTRADICTED: ("✗", "bad"),
    Ruling.DEPENDS: ("±", "even"),
    Ruling.NO_DIFFERENCE: ("≈", "even"),
    Ruling.UNDECIDED: ("?", "open"),
    Ruling.UNTESTED: ("·", "open"),
}
"""The sign and the tone of each verdict; the tone decides its colour."""


def rules(views: Views) -> list[dict[str, Any]]:
    """The rows of the scorecard, in the article's order, with what the page shows of them.

    `is_tested` says whether any context could test it; `counts` has the contexts for, against and undecided; `position`
    the estimate and its bounds, in percent of the way from 0 to 1, or None where nothing was tested; `numbers` the
    estimate, its interval and p-value in words; `votes` one row per context.
    """
    votes = records(views.votes)
    return [
        {
            **row,
            "is_tested": row["verdict"] != Ruling.UNTESTED,
            "mark": MARKS[row["verdict"]][0],
            "tone": MARKS[row["verdict"]][1],
            "counts": [(name, row[f"num_{name}"]) for name in ("for", "against", "undecided")],
            "position": None if math.isnan(row["estimate"]) else _position(row),
            "numbers": "" if math.isnan(row["estimate"]) else _numbers(row),
            "votes": [_vote(vote) for vote in votes if vote["rule"] == row["rule"]],
        }
        for row in records(views.scorecard)
    ]


def _position(row: Mapping[str, Any]) -> tuple[float, float, float]:
    # An interval that does not exist is drawn as the whole width: nothing is known.
    low, high = (0.0, 1.0) if math.isnan(row["low"]) or math.isnan(row["high"]) else (row["low"], row["high"])
    return 100 * row["estimate"], 100 * low, 100 * high


def _numbers(row: Mapping[str, Any]) -> str:
    p_value = "" if math.isnan(row["p_value"]) else f", {format_p(row['p_value'])}"
    return f"{row['measure']} {_share(row, 'estimate')}{p_value}"


def _vote(vote: Mapping[str, Any]) -> dict[str, str]:
    return {
        "context": vote["context"],
        "vote": vote["vote"],
        "improvement": _share(vote, "improvement"),
        "p_value": "" if math.isnan(vote["p_value"]) else format_p(vote["p_value"], equals=""),
        "num_pairs": str(vote["num_pairs"] or ""),
    }


def _share(row: Mapping[str, Any], name: str) -> str:
    return str(format_share(Interval(row[name], row["low"], row["high"], CONFIDENCE, 0), digits=2))
