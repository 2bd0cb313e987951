"""What is concluded, and the one place for its words: on two arms of a context, and on a pair or a rule over many."""

from __future__ import annotations

from enum import StrEnum

from initsuite.stats.intervals import CONFIDENCE, Interval

ALPHA = 1 - CONFIDENCE
EQUAL = (0.4, 0.6)
"""Where the whole interval of P(better) lies within these, there is no difference worth a choice."""


class Verdict(StrEnum):
    """What the seeds of one context say about an arm beside the leader."""

    LEADS = "leads"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference"
    UNDECIDED = "undecided"
    TOO_FEW_SEEDS = "not enough seeds"
    BETTER_WHERE_SHARED = "better on the shared seeds"
    NOT_SCORED = "no scoring trials"
    NOT_TRAINED = "stays near chance"


TIED = (Verdict.NO_DIFFERENCE, Verdict.UNDECIDED)
"""The verdicts on arms that the seeds do not distinguish from the leader, although there are enough of them."""


class Ruling(StrEnum):
    """What several contexts together say about "this arm is better than that one", or about another rule."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    DEPENDS = "depends"
    NO_DIFFERENCE = "no difference"
    UNDECIDED = "undecided"
    UNTESTED = "not tested"


def verdict_of(lead: Interval, p_value: float, best_case: float, *, is_ahead: bool) -> Verdict:
    """The verdict on an arm.

    Args:
        lead: P(the leader is better).
        p_value: that of the paired test, adjusted.
        best_case: the smallest p-value that so many pairs can give, adjusted.
        is_ahead: whether the paired differences favour the leader.
    """
    if best_case > ALPHA:
        return Verdict.TOO_FEW_SEEDS
    if p_value > ALPHA:
        return Verdict.NO_DIFFERENCE if is_equal(lead) else Verdict.UNDECIDED
    return Verdict.WORSE if is_ahead else Verdict.BETTER_WHERE_SHARED


def ruling_of(improvement: Interval, p_value: float, num_for: int, num_against: int) -> Ruling:
    """The ruling on a pair or a rule.

    Args:
        improvement: P(the recommended arm is better), over contexts.
        p_value: that of the pooled test, adjusted.
        num_for: contexts that are significant on their own for the recommended arm, adjusted.
        num_against: those for the other one.
    """
    if num_for and num_against:
        return Ruling.DEPENDS
    if p_value <= ALPHA:
        return Ruling.SUPPORTED if improvement.estimate > 0.5 else Ruling.CONTRADICTED
    return Ruling.NO_DIFFERENCE if is_equal(improvement) else Ruling.UNDECIDED


def is_equal(improvement: Interval) -> bool:
    """Whether the interval of a probability of improvement lies within `EQUAL`; without an interval it does not."""
    return EQUAL[0] <= improvement.low and improvement.high <= EQUAL[1]
