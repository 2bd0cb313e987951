"""The article's recommendations held against the trials: for, against or undecided, with the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import pandas as pd

from initsuite.report.evidence.levels import COLUMN_OF_LEVEL
from initsuite.report.formatting import format_p, format_share
from initsuite.report.verdicts.across import main_comparisons
from initsuite.report.verdicts.comparison import Comparison
from initsuite.report.verdicts.pooling import Duel, Outcome, by_speed, duel, outcomes, pooled
from initsuite.report.verdicts.recommendations import Report
from initsuite.report.verdicts.rules import RULES, Pair, Rule
from initsuite.report.verdicts.rulings import Ruling, ruling_of
from initsuite.stats.intervals import MISSING, Interval, success_rate
from initsuite.stats.pairwise import holm
from initsuite.wording import format_count, format_first

SCORECARD_COLUMNS = [
    "rule", "recommendation", "test", "verdict", "num_contexts", "num_for", "num_against", "num_undecided",
    "measure", "estimate", "low", "high", "p_value", "num_pairs", "in_words",
]  # fmt: skip
VOTE_COLUMNS = ["rule", "context", "vote", "improvement", "low", "high", "p_value", "num_pairs"]
MOST_NAMED = 4
"""Contexts on each side that a rule that depends names; the votes have all of them."""
IMPROVEMENT, SHARE = "P(better)", "share of contexts"


class Vote(StrEnum):
    """What one context says about a rule."""

    FOR = "for"
    AGAINST = "against"
    UNDECIDED = "undecided"
    NEITHER = "neither trains"


@dataclass(frozen=True)
class ContextVote:
    """One context's evidence on a rule.

    Attributes:
        where: the context, in words.
        duel: the recommended arm against the other one; None where neither trains, or where a rule says how one arm
            behaves.
        p_value: that of this context, adjusted over the contexts of the rule (Hochberg); NaN where nothing was tested.
    """

    where: str
    vote: Vote
    duel: Duel | None = None
    p_value: float = math.nan

    @property
    def num_pairs(self) -> int:
        return self.duel.num_pairs if self.duel else 0


@dataclass(frozen=True)
class Score:
    """A rule with its verdict.

    Attributes:
        votes: [context].
        estimate: mean over contexts of P(better), or the share of contexts in which the statement holds.
        p_value: that of the pooled test, Holm over the rules; NaN for shares.
    """

    rule: Rule
    votes: tuple[ContextVote, ...]
    ruling: Ruling
    estimate: Interval
    p_value: float = math.nan

    @property
    def measure(self) -> str:
        return IMPROVEMENT if self.rule.pairs else SHARE

    def count(self, *votes: Vote) -> int:
        return sum(found.vote in votes for found in self.votes)


def scorecard(report: Report) -> tuple[Score, ...]:
    """Every recommendation of the article, judged, [rule].

    A context where both arms stay near chance says nothing and is left out of the pooled numbers. Elsewhere trials are
    ordered as in the recommendations (steps to the level; those that miss it, by their loss area), and pairs share a
    seed. A context is for or against at 5 % (Hochberg over the contexts of a rule, so that none is so by chance); with
    contexts on both sides, the rule depends. The pooled test flips the signs of each workload and seed
    together, every workload weighing the same; its p-values are adjusted over the rules (Holm). Rules on how one arm
    behaves are judged by the share of contexts (Clopper-Pearson, as if contexts were independent): supported where the
    interval lies above one half, contradicted where below.
    """
    comparisons = main_comparisons(report)
    scores = [(_of_pairs if rule.pairs else _of_sightings)(rule, comparisons) for rule in RULES]
    tested = [score for score in scores if not math.isnan(score.p_value)]
    adjusted = iter(holm([score.p_value for score in tested]).tolist())
    return tuple(
        score if math.isnan(score.p_value) else _ruled(replace(score, p_value=next(adjusted))) for score in scores
    )


def scorecard_table(scores: Sequence[Score]) -> pd.DataFrame:
    """One row per rule, columns `SCORECARD_COLUMNS`."""
    return pd.DataFrame([_row(score) for score in scores], columns=SCORECARD_COLUMNS)


def votes_table(scores: Sequence[Score]) -> pd.DataFrame:
    """One row per rule and context, columns `VOTE_COLUMNS`.

    `improvement` is P(the recommended arm is better), ties 1/2, with its 95 % interval; `p_value` is adjusted over
    the contexts of the rule (Hochberg).
    """
    rows = []
    for rule, vote in ((score.rule, vote) for score in scores for vote in score.votes):
        found = vote.duel.improvement if vote.duel else MISSING
        numbers = (found.estimate, found.low, found.high, vote.p_value, vote.num_pairs)
        rows.append((rule.number, vote.where, str(vote.vote), *numbers))
    return pd.DataFrame(rows, columns=VOTE_COLUMNS)


def _of_pairs(rule: Rule, comparisons: Sequence[Comparison]) -> Score:
    pairs = list(rule.pairs(comparisons)) if rule.pairs else []
    duels = [_duel(pair) for pair in pairs]
    fought = [found for found in duels if found]
    decided = iter(outcomes(fought))
    votes = tuple(
        _vote(pair.where, found, next(decided)) if found else ContextVote(pair.where, Vote.NEITHER)
        for pair, found in zip(pairs, duels, strict=True)
    )
    if not any(found.num_pairs for found in fought):
        return Score(rule, votes, Ruling.UNTESTED, MISSING)
    found = pooled([found for found in fought if found.num_pairs])
    return Score(rule, votes, Ruling.UNDECIDED, found.improvement, found.p_value)


def _duel(pair: Pair) -> Duel | None:
    (comparison, ours), (other, theirs) = pair.ours, pair.theirs
    level = next((level for level in COLUMN_OF_LEVEL if level in (comparison.level, other.level)), None)
    return duel(ours, theirs, by_speed(level), pair.cluster)


def _vote(where: str, found: Duel, outcome: Outcome) -> ContextVote:
    return ContextVote(where, _VOTE_OF[outcome.is_won], found, outcome.p_value)


def _ruled(score: Score) -> Score:
    ruling = ruling_of(score.estimate, score.p_value, score.count(Vote.FOR), score.count(Vote.AGAINST))
    return replace(score, ruling=ruling)


def _of_sightings(rule: Rule, comparisons: Sequence[Comparison]) -> Score:
    sightings = rule.sightings(comparisons) if rule.sightings else ()
    votes = tuple(ContextVote(found.where, _VOTE_OF[found.holds]) for found in sightings)
    share = success_rate([vote.vote == Vote.FOR for vote in votes if vote.vote != Vote.UNDECIDED])
    if not share.num_values:
        return Score(rule, votes, Ruling.UNTESTED, share)
    below = Ruling.CONTRADICTED if share.high < 0.5 else Ruling.UNDECIDED
    return Score(rule, votes, Ruling.SUPPORTED if share.low > 0.5 else below, share)


_VOTE_OF: Mapping[bool | None, Vote] = {True: Vote.FOR, False: Vote.AGAINST, None: Vote.UNDECIDED}


def _row(score: Score) -> tuple[Any, ...]:
    rule, estimate = score.rule, score.estimate
    return (
        rule.number, rule.recommendation, rule.test, str(score.ruling), len(score.votes),
        score.count(Vote.FOR), score.count(Vote.AGAINST), score.count(Vote.UNDECIDED, Vote.NEITHER),
        score.measure, estimate.estimate, estimate.low, estimate.high, score.p_value,
        sum(vote.num_pairs for vote in score.votes), " ".join(_sentences(score)),
    )  # fmt: skip


def _sentences(score: Score) -> Iterator[str]:
    if score.ruling == Ruling.UNTESTED:
        yield f"Not tested: {_why_untested(score)} ({score.rule.test})."
        return
    counts = {
        "for": score.count(Vote.FOR),
        "against": score.count(Vote.AGAINST),
        "undecided": score.count(Vote.UNDECIDED),
        "in which neither trains": score.count(Vote.NEITHER),
    }
    listed = ", ".join(f"{number} {word}" for word, number in counts.items() if number or word in ("for", "against"))
    p_value = f", pooled {format_p(score.p_value)}" if not math.isnan(score.p_value) else ""
    yield f"{str(score.ruling).capitalize()}: of {format_count(len(score.votes), 'context')} {listed};"
    yield f"{score.measure} {format_share(score.estimate)}{p_value}."
    if score.ruling == Ruling.DEPENDS:
        for vote in (Vote.FOR, Vote.AGAINST):
            where = [found.where for found in score.votes if found.vote == vote]
            yield f"{str(vote).capitalize()}: {format_first(where, MOST_NAMED)}."


def _why_untested(score: Score) -> str:
    if not score.votes:
        return "no context here holds both sides"
    if score.count(Vote.NEITHER) == len(score.votes):
        return "neither side trains in any context here"
    return "no context here can tell, for want of shared seeds or of a shallow network that trains"
