"""From what criteria found to verdicts: of each criterion, of a claim, of all claims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import scipy

from initsuite.stats.pairwise import holm

ALPHA = 0.05
"""The level of every test, and of the false discovery rate over all claims."""


class Verdict(StrEnum):
    """What a test of a claim says."""

    REPRODUCED = "reproduced"
    IN_PART = "reproduced in part"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Finding:
    """What a criterion found in the evidence.

    Attributes:
        estimate, low, high: the effect with its 95 % interval, in the unit of `unit`.
        unit: what the effect is, in words.
        stated: what the claim says of it, in words.
        p: one-sided, of evidence this strong for the stated direction where there is no effect; NaN where a rule
            decides.
        against: one-sided, of evidence this strong against the stated effect where it is as large as stated.
        is_large: whether the estimate is as large as stated.
        num: trials or draws of the smallest arm.
        needed: with how many of them the same effect would be decided; None where it is decided, or never would be.
        rule: the verdict where a rule decides, and no p-value.
    """

    estimate: float
    low: float
    high: float
    unit: str
    stated: str
    p: float = math.nan
    against: float = math.nan
    is_large: bool = True
    num: int = 0
    needed: int | None = None
    rule: Verdict | None = None

    @staticmethod
    def missing(unit: str, stated: str, num: int = 0) -> Finding:
        """Of a criterion that has no evidence yet."""
        return Finding(math.nan, math.nan, math.nan, unit, stated, num=num, rule=Verdict.NOT_RUN)


def verdicts_of(findings: Sequence[Finding]) -> list[Verdict]:
    """The verdict of each criterion of a claim, the p-values adjusted by Holm within it.

    Both questions, whether the claim holds and whether it does not, are a family of their own.

    Example:
        >>> effect = Finding(2.0, 1.5, 2.5, "times", "at least 1.5 times", p=0.001, against=0.99, num=8)
        >>> [str(verdict) for verdict in verdicts_of([effect])]
        ['reproduced']
    """
    tested = [finding for finding in findings if finding.rule is None]
    hold = iter(holm([_known(finding.p) for finding in tested]))
    fail = iter(holm([_known(finding.against) for finding in tested]))
    return [finding.rule or _decided(finding, next(hold), next(fail)) for finding in findings]


def _known(p: float) -> float:
    return 1.0 if math.isnan(p) else p


def _decided(finding: Finding, p: float, against: float) -> Verdict:
    if p <= ALPHA and finding.is_large:
        return Verdict.REPRODUCED
    return Verdict.NOT_REPRODUCED if against <= ALPHA else Verdict.INCONCLUSIVE


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a claim: that of its criteria, and *reproduced in part* where they differ and one is reproduced.

    Example:
        >>> str(joined([Verdict.REPRODUCED, Verdict.INCONCLUSIVE]))
        'reproduced in part'
    """
    found = set(verdicts)
    if len(found) == 1:
        return found.pop()
    if not found or Verdict.NOT_RUN in found:
        return Verdict.NOT_RUN
    if Verdict.REPRODUCED in found or Verdict.IN_PART in found:
        return Verdict.IN_PART
    return Verdict.NOT_REPRODUCED


def weakest_p(findings: Sequence[Finding], verdicts: Sequence[Verdict]) -> float:
    """The p-value that the verdict of a claim rests on: the largest, adjusted within it, of those criteria that are
    decided; NaN where rules decided alone."""
    tested = [number for number, finding in enumerate(findings) if finding.rule is None]
    hold, fail = (holm([_known(getattr(findings[number], name)) for number in tested]) for name in ("p", "against"))
    decided = []
    for place, number in enumerate(tested):
        if verdicts[number] is Verdict.REPRODUCED:
            decided.append(hold[place])
        elif verdicts[number] is Verdict.NOT_REPRODUCED:
            decided.append(fail[place])
    return float(max(decided)) if decided else math.nan


def false_discoveries(p_values: Sequence[float]) -> list[bool]:
    """Which of all decided claims stand at a false discovery rate of 5 % (Benjamini-Hochberg); NaN: no test, stands.

    Example:
        >>> false_discoveries([0.001, 0.04, float("nan")])
        [True, True, True]
    """
    p = np.asarray(p_values, dtype=float)
    stands = np.ones(len(p), dtype=bool)
    tested = ~np.isnan(p)
    if tested.any():
        stands[tested] = scipy.stats.false_discovery_control(p[tested]) <= ALPHA
    return stands.tolist()
