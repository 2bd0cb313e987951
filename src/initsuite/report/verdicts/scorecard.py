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
from initsuite.report.verdicts.comparison import ALPHA, Comparison
from initsuite.report.verdicts.pooling import Duel, Pooled, duel, pooled
from initsuite.report.verdicts.recommendations import MISSING, Report
from initsuite.report.verdicts.rules import RULES, Pair, Rule
from initsuite.stats.intervals import Interval, success_rate
from initsuite.stats.pairwise import holm
from initsuite.wording import format_count

SCORECARD_COLUMNS = [
    "rule", "recommendation", "test", "verdict", "num_contexts", "num_for", "num_against", "num_undecided",
    "measure", "estimate", "low", "high", "p_value", "num_pairs", "in_words",
]  # fmt: skip
VOTE_COLUMNS = ["rule", "context", "vote", "improvement", "low", "high", "p_value", "num_pairs"]
IMPROVEMENT, SHARE = "P(better)", "share of contexts"


class Vote(StrEnum):
    """What one context says about a rule."""

    FOR = "for"
    AGAINST = "against"
    UNDECIDED = "undecided"
    NEITHER = "neither trains"


class Ruling(StrEnum):
    """What all contexts together say about a rule."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NO_DIFFERENCE = "no difference found"
    UNDECIDED = "undecided"
    UNTESTED = "not tested"


@dataclass(frozen=True)
class ContextVote:
    """One context's evidence on a rule.

    Attributes:
        where: the context, in words.
        duel: the recommended arm against the other one; None where neither trains, or where a rule says how one arm
            behaves.
    """

    where: str
    vote: Vote
    duel: Duel | None = None

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
        pooled: all contexts together, unadjusted; None for shares.
    """

    rule: Rule
    votes: tuple[ContextVote, ...]
    ruling: Ruling
    estimate: Interval
    p_value: float = math.nan
    pooled: Pooled | None = None

    @property
    def measure(self) -> str:
        return IMPROVEMENT if self.rule.pairs else SHARE

    def count(self, *votes: Vote) -> int:
        return sum(found.vote in votes for found in self.votes)


def scorecard(report: Report) -> tuple[Score, ...]:
    """Every recommendation of the article, judged, [rule].

    A context where both arms stay near chance says nothing and is left out of the pooled numbers. Elsewhere trials are
    ordered as in the recommendations (steps to the level; those that miss it, by their loss area), and pairs share a
    seed. A context is for or against at 5 %, unadjusted. The pooled test flips the signs of each workload and seed
    together, every workload weighing the same; its p-values are adjusted over the rules (Holm). Rules on how one arm
    behaves are judged by the share of contexts (Clopper-Pearson, as if contexts were independent): supported where the
    interval lies above one half, contradicted where below.
    """
    comparisons = main_comparisons(report)
    scores = [(_of_pairs if rule.pairs else _of_sightings)(rule, comparisons) for rule in RULES]
    tested = [score for score in scores if not math.isnan(score.p_value)]
    adjusted = iter(holm([score.p_value for score in tested]).tolist())
    return tuple(
        score if math.isnan(score.p_value) else _ruled(replace(score, p_value=next(adjusted)), len(tested))
        for score in scores
    )


def scorecard_table(scores: Sequence[Score]) -> pd.DataFrame:
    """One row per rule, columns `SCORECARD_COLUMNS`."""
    return pd.DataFrame([_row(score) for score in scores], columns=SCORECARD_COLUMNS)


def votes_table(scores: Sequence[Score]) -> pd.DataFrame:
    """One row per rule and context, columns `VOTE_COLUMNS`.

    `improvement` is P(the recommended arm is better), ties 1/2, with its 95 % interval; `p_value` is not adjusted.
    """
    rows = []
    for rule, vote in ((score.rule, vote) for score in scores for vote in score.votes):
        found, p_value = (vote.duel.improvement, vote.duel.p_value) if vote.duel else (MISSING, math.nan)
        numbers = (found.estimate, found.low, found.high, p_value, vote.num_pairs)
        rows.append((rule.number, vote.where, str(vote.vote), *numbers))
    return pd.DataFrame(rows, columns=VOTE_COLUMNS)


def _of_pairs(rule: Rule, comparisons: Sequence[Comparison]) -> Score:
    votes = tuple(_vote(pair) for pair in (rule.pairs(comparisons) if rule.pairs else ()))
    duels = [vote.duel for vote in votes if vote.duel and vote.num_pairs]
    if not duels:
        return Score(rule, votes, Ruling.UNTESTED, MISSING)
    found = pooled(duels)
    return Score(rule, votes, Ruling.UNDECIDED, found.improvement, found.p_value, found)


def _vote(pair: Pair) -> ContextVote:
    (comparison, ours), (other, theirs) = pair.ours, pair.theirs
    level = next((level for level in COLUMN_OF_LEVEL if level in (comparison.level, other.level)), None)
    found = duel(ours, theirs, level, pair.cluster)
    return ContextVote(pair.where, _VOTE_OF[found.is_won] if found else Vote.NEITHER, found)


def _ruled(score: Score, num_tests: int) -> Score:
    if score.p_value <= ALPHA:
        return replace(score, ruling=Ruling.SUPPORTED if score.estimate.estimate > 0.5 else Ruling.CONTRADICTED)
    can_decide = score.pooled is not None and score.pooled.can_decide(num_tests)
    return replace(score, ruling=Ruling.NO_DIFFERENCE if can_decide else Ruling.UNDECIDED)


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


def _why_untested(score: Score) -> str:
    if not score.votes:
        return "no context here holds both sides"
    if score.count(Vote.NEITHER) == len(score.votes):
        return "neither side trains in any context here"
    return "no context here can tell, for want of shared seeds or of a shallow network that trains"
