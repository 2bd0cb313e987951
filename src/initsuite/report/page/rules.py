"""The article's rules as the page shows them: a verdict, the contexts for and against, and the numbers behind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from initsuite.report.formatting import format_p, format_share
from initsuite.report.text.display import records
from initsuite.report.verdicts.views import Views
from initsuite.stats.intervals import CONFIDENCE, Interval

MARKS = {
    "supported": "✓",
    "contradicted": "✗",
    "no difference found": "≈",
    "undecided": "?",
    "not tested": "·",
}


@dataclass(frozen=True)
class RuleCard:
    """A rule, its verdict and its evidence.

    Attributes:
        tone: good, bad, even or open: the colour of the verdict.
        counts: contexts for, against and undecided.
        position: of the estimate and its bounds on the way from 0 to 1, percent; None where nothing was tested.
        numbers: the estimate with its interval and p-value, in words.
        votes: a row a context.
    """

    number: int
    recommendation: str
    test: str
    verdict: str
    mark: str
    tone: str
    counts: tuple[tuple[str, int], ...]
    position: tuple[float, float, float] | None
    numbers: str
    in_words: str
    votes: tuple[Mapping[str, Any], ...]

    @property
    def num_contexts(self) -> int:
        return sum(count for _, count in self.counts)


def rules(views: Views) -> list[RuleCard]:
    """All of them, in the article's order."""
    votes = records(views.votes)
    return [
        _card(row, tuple(_vote(vote) for vote in votes if vote["rule"] == row["rule"]))
        for row in records(views.scorecard)
    ]


def _card(row: Mapping[str, Any], votes: tuple[Mapping[str, Any], ...]) -> RuleCard:
    tones = {"supported": "good", "contradicted": "bad", "no difference found": "even"}
    bounds = [row["estimate"], row["low"], row["high"]]
    # An interval that does not exist is drawn as the whole width: nothing is known.
    low, high = (0.0, 1.0) if any(math.isnan(bound) for bound in bounds[1:]) else bounds[1:]
    position = None if math.isnan(row["estimate"]) else (100 * row["estimate"], 100 * low, 100 * high)
    return RuleCard(
        number=row["rule"],
        recommendation=row["recommendation"],
        test=row["test"],
        verdict=row["verdict"],
        mark=MARKS.get(row["verdict"], "?"),
        tone=tones.get(row["verdict"], "open"),
        counts=tuple((name, row[f"num_{name}"]) for name in ("for", "against", "undecided")),
        position=position,
        numbers=_numbers(row),
        in_words=row["in_words"],
        votes=votes,
    )


def _numbers(row: Mapping[str, Any]) -> str:
    if math.isnan(row["estimate"]):
        return ""
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
