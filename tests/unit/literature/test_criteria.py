"""Every kind of criterion on planted evidence: reproduced, not reproduced, inconclusive; and how often it is wrong."""

from __future__ import annotations

import inspect
import math
import re

import numpy as np
import pytest

from initsuite.errors import ConfigError
from initsuite.literature.criteria import (
    KINDS,
    ClosedForm,
    Criterion,
    NoDifference,
    Rank,
    Score,
    Slope,
    Speed,
    Starts,
    Within,
)
from initsuite.literature.evidence import Evidence
from initsuite.literature.text import effect
from initsuite.literature.verdict import Finding, Verdict, false_discoveries, joined, verdicts_of, weakest_p
from support.claims import FALSE_ALARMS, A, B, arms_of, evidence_of, false_alarm_rate, verdict_of

YES, NO, OPEN = Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE
NOISE = np.tile([-1.0, 1.0], 10)
"""20 values of mean 0 and standard deviation about 1."""
EIGHT = NOISE[:8]


def one(values: object) -> Evidence:
    return evidence_of("m", [(A, np.asarray(values, float).tolist())])


def line(slope: float, noise: float = 0.01) -> Evidence:
    return evidence_of("m", [({"depth": x}, (x**slope * np.exp(noise * EIGHT * x)).tolist()) for x in (1, 2, 4, 8)])


def cells(*predictors: tuple[float, int]) -> Evidence:
    return evidence_of("trains", [({"x": x}, [y, y]) for x, y in predictors])


SEPARATED = [(float(x), int(x > 10)) for x in range(21)]
SAME, FEW = [0.9] * 8, [0.9, 0.91]
CASES: dict[str, tuple[Criterion, Evidence, Verdict]] = {
    "closed form": (ClosedForm("m", A, 2.0), one(2.04 + 0.01 * NOISE), YES),
    "closed form, off": (ClosedForm("m", A, 2.0), one(2.2 + 0.1 * NOISE), NO),
    "closed form, not a number": (ClosedForm("m", A, 2.0), one([math.inf] * 20), NO),
    "closed form, noisy": (ClosedForm("m", A, 2.0), one(2.0 + 2.0 * NOISE), OPEN),
    "closed form, few draws": (ClosedForm("m", A, 2.0), one([2.0, 2.01]), OPEN),
    "variance": (ClosedForm("m", A, 1.05, statistic="variance"), one(NOISE), YES),
    "variance, off": (ClosedForm("m", A, 2.0, statistic="variance"), one(NOISE), NO),
    "within": (Within("m", A, 0.9, 1.1), one(1 + 0.01 * NOISE), YES),
    "within, beyond": (Within("m", A, 0.9, 1.1), one(1.2 + 0.01 * NOISE), NO),
    "within, at the limit": (Within("m", A, 0.9, 1.1), one(1.09 + 0.1 * NOISE), OPEN),
    "within, overflown": (Within("m", A, 9, math.inf), one([math.inf] * 19 + [99.0]), YES),
    "within, overflown beyond": (Within("m", A, 0, 9), one([math.inf] * 20), NO),
    "share": (Within("m", A, 0.5, 1), one([1] * 8), YES),
    "share, beyond": (Within("m", A, 0.5, 1), one([0] * 8), NO),
    "share, between": (Within("m", A, 0.5, 1), one([1, 1, 1, 1, 1, 0, 0, 0]), OPEN),
    "rare": (Within("m", A, 0, 0.02), one([0] * 400), YES),
    "ratio": (Within("m", A, 3, 5, against=B), arms_of("m", 4 * np.exp(EIGHT / 9), np.exp(EIGHT / 8)), YES),
    "ratio, beyond": (Within("m", A, 3, 5, against=B), arms_of("m", 8 * np.exp(EIGHT / 9), np.exp(EIGHT / 8)), NO),
    "starts": (Starts(A, B), arms_of("trains", [1] * 8, [0] * 7 + [1]), YES),
    "starts, both": (Starts(A, B), arms_of("trains", [1] * 8, [1] * 8), NO),
    "starts, the reverse": (Starts(A, B), arms_of("trains", [0] * 8, [1] * 8), NO),
    "starts, few": (Starts(A, B), arms_of("trains", [1, 1], [0, 0]), OPEN),
    "speed": (Speed(A, B, 1.5), arms_of("steps", 50 + EIGHT, 100 + EIGHT), YES),
    "speed, censored": (Speed(A, B, 5), arms_of("steps", 50 + EIGHT, [math.inf] * 8), YES),
    "speed, censored and faster": (Speed(A, B, 1.5), arms_of("steps", 200 + EIGHT, [50] * 7 + [math.inf]), NO),
    "speed, equal": (Speed(A, B, 1.5), arms_of("steps", 50 + EIGHT, 51 - EIGHT), NO),
    "speed, noisy": (Speed(A, B, 1.5), arms_of("steps", 50 + 30 * EIGHT, 60 - 40 * EIGHT), OPEN),
    "score": (Score(A, B, 0.02), arms_of("score", 0.9 + EIGHT / 99, 0.85 + EIGHT / 98), YES),
    "score, smaller": (Score(A, B, 0.02), arms_of("score", 0.9 + EIGHT / 99, 0.895 + EIGHT / 90), NO),
    "score, the reverse": (Score(A, B, 0.0), arms_of("score", 0.85 + EIGHT / 99, 0.9 + EIGHT / 98), NO),
    "score, few": (Score(A, B, 0.02), arms_of("score", FEW, [0.8, 0.85]), OPEN),
    "no difference": (NoDifference(A, B, 0.01), arms_of("score", SAME, 0.9 + EIGHT / 999), YES),
    "no difference, large": (NoDifference(A, B, 0.01), arms_of("score", SAME, 0.8 + EIGHT / 99), NO),
    "no difference, noisy": (NoDifference(A, B, 0.01), arms_of("score", SAME, 0.9 + EIGHT / 9), OPEN),
    "slope": (Slope("m", "depth", {}, 0.9, 1.1, logs=True), line(1.0), YES),
    "slope, another": (Slope("m", "depth", {}, 0.9, 1.1, logs=True), line(0.5), NO),
    "slope, noisy": (Slope("m", "depth", {}, 0.9, 1.1, logs=True), line(1.0, 0.3), OPEN),
    "rank": (Rank("trains", "x", 0.9), cells(*SEPARATED), YES),
    "rank, falling": (Rank("trains", "x", 0.9, sign=-1), cells(*((-x, y) for x, y in SEPARATED)), YES),
    "rank, the reverse": (Rank("trains", "x", 0.9), cells(*((x, 1 - y) for x, y in SEPARATED)), NO),
    "rank, few": (Rank("trains", "x", 0.9), cells((0, 0), (1, 1), (2, 1)), OPEN),
    "correlation": (Rank("m", "depth", 0.8), line(1.0, 0.1), YES),
    "correlation, none": (Rank("m", "depth", 0.8), line(0.0, 0.5), NO),
}


@pytest.mark.parametrize("name", CASES)
def test_planted_evidence_gets_its_verdict(name: str) -> None:
    criterion, evidence, expected = CASES[name]
    finding = criterion.find(evidence)
    assert verdict_of(criterion, evidence) is expected
    assert expected is NO or not finding.low > finding.estimate + 1e-9
    if expected is OPEN and not isinstance(criterion, Rank):
        assert finding.needed is not None
        assert finding.needed > finding.num


@pytest.mark.parametrize("kind", [ClosedForm, Within, Starts, Speed, Score, NoDifference, Slope, Rank])
def test_every_kind_is_tested_all_three_ways_and_states_its_false_alarms(kind: type) -> None:
    assert kind in KINDS.values()
    assert {expected for criterion, _, expected in CASES.values() if isinstance(criterion, kind)} == {YES, NO, OPEN}
    assert "False alarms" in (kind.__doc__ or "")


@pytest.mark.parametrize("kind", [ClosedForm, Within, Starts, Speed, Score, NoDifference, Slope, Rank])
def test_without_evidence_nothing_is_judged(kind: type) -> None:
    criterion = next(criterion for criterion, _, _ in CASES.values() if isinstance(criterion, kind))
    assert verdict_of(criterion, evidence_of("m", [])) is Verdict.NOT_RUN


@pytest.mark.slow  # 10 s of processor time together
@pytest.mark.parametrize("name", FALSE_ALARMS)
def test_false_alarms_are_as_rare_as_the_docstring_says(name: str) -> None:
    kind, pattern, *_ = FALSE_ALARMS[name]
    found = re.search(pattern, " ".join(inspect.getdoc(kind).split()))
    assert found, pattern
    stated, repetitions = float(found[1].rstrip(".")), 100
    spread = math.sqrt(max(stated, 0.01) * (1 - stated) / repetitions)
    assert false_alarm_rate(name, repetitions) == pytest.approx(stated, abs=3 * spread + 0.005)


INFINITE = [math.inf] * 18 + [1.0, 1.0]
UNBOUNDED: dict[str, tuple[Criterion, Evidence, Verdict]] = {
    "ratio, two of twenty finite": (Within("m", A, 0.5, 2, B), arms_of("m", INFINITE, [1.0] * 20), OPEN),
    "ratio, all infinite": (Within("m", A, 0.5, 2, B), arms_of("m", [math.inf] * 20, [1.0] * 20), NO),
    "ratio, to an infinite one": (Within("m", A, 0, 0.05, B), arms_of("m", [1.0] * 20, [math.inf] * 20), YES),
    "ratio, of two infinite ones": (Within("m", A, 0, 2, B), arms_of("m", INFINITE, INFINITE), OPEN),
    "score, infinite": (Score(A, B, 1), arms_of("score", [math.inf] * 8, 20 + EIGHT), YES),
    "score, both infinite": (Score(A, B, 1), arms_of("score", INFINITE, INFINITE), OPEN),
    "no difference, some infinite": (NoDifference(A, B, 1), arms_of("score", INFINITE, [1.0] * 20), OPEN),
    "speed, both censored": (Speed(A, B, 1.5), arms_of("steps", 980 + EIGHT, [math.inf] * 8), OPEN),
    "speed, of none": (Speed(A, B, 2), arms_of("steps", [0.0] * 7 + [50], [40.0] * 8), OPEN),
    "slope, vanished": (
        Slope("m", "x", {}, 0.5, 2), evidence_of("m", [({"x": x}, [x] * 7 + [-math.inf]) for x in (1, 2, 4)]), OPEN
    ),
    "slope of logs, 0": (
        Slope("m", "x", {}, 0.5, 2, logs=True), evidence_of("m", [({"x": x}, [x, x, x - 1]) for x in (1, 2, 4, 8)]),
        OPEN,
    ),
    "slope, overflown": (  # of a measure that counts no steps, so that no budget takes its place
        Slope("m", "x", {}, -2, 2000), evidence_of("m", [({"x": x}, [math.inf] * 8) for x in (1, 2, 4)]), OPEN
    ),
    "slope of steps, censored": (
        Slope("steps", "x", {}, 9, 99), evidence_of("steps", [({"x": x}, [x] * 4 + [math.inf]) for x in (1, 2, 4)]),
        OPEN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNBOUNDED)
def test_what_is_not_finite_is_judged_and_never_left_out(name: str) -> None:
    criterion, evidence, expected = UNBOUNDED[name]
    finding = criterion.find(evidence)
    assert verdict_of(criterion, evidence) is expected
    assert finding.num == evidence.rows.seed.nunique()
    assert "no evidence" not in effect(finding)


def test_a_theory_of_zero_has_an_absolute_tolerance() -> None:
    criterion = ClosedForm("m", A, 0)
    for shift, expected in ((0.0, YES), (0.1, NO)):
        assert verdict_of(criterion, one(shift + 0.01 * NOISE)) is expected
    assert criterion.find(one(NOISE)).stated == "0 within 0.05"
    assert verdict_of(criterion, one(NOISE)) is OPEN
    assert verdict_of(ClosedForm("m", A, "law"), Evidence(one(0.01 * NOISE).rows.assign(law=0.0), {"0": A})) is YES


def test_only_starts_that_all_cells_have_count() -> None:
    evidence = evidence_of("score", [({**A, "d": 1}, [1.0, 2.0]), ({**A, "d": 2}, [3.0])])
    assert evidence.by_seed("score", A).to_dict() == {0: 2.0}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClosedForm("m", A, 1.0, tolerance=0), "closed_form: bad value `tolerance`=0"),
        (lambda: ClosedForm("m", A, 1.0, statistic="mode"), "Expected one of: mean, variance"),
        (lambda: Within("m", A, 2, 1), "a number above low=2"),
        (lambda: Slope("m", "x", A, 2, 1), "a number above low=2"),
        (lambda: Starts(A, B, minimum=0), "starts: bad value `minimum`=0"),
        (lambda: Speed(A, B, 0.5), "speed: bad value `ratio`=0.5"),
        (lambda: Score(A, B, -1), "score: bad value `minimum`=-1"),
        (lambda: NoDifference(A, B, 0), "no_difference: bad value `margin`=0"),
        (lambda: Rank("m", "x", 0.8, sign=2), "Expected 1 or -1"),
        (lambda: Rank("m", "x", 1.8), "a number above 0, below 1"),
        (lambda: ClosedForm("m", A, math.nan), "closed_form: bad value `theory`=nan"),
        (lambda: one([1.0]).of("n", A), "unknown `measure`='n'"),
        (lambda: one([1.0]).of("m", {"inti": "a"}), "claims: unknown `key`='inti'. .*Did you mean `init`"),
        (lambda: Rank("m", "dept", 0.8).find(line(1.0)), "unknown `key`='dept'. .*Did you mean `depth`"),
        (lambda: Slope("m", "dept", {}, 1, 2).find(line(1.0)), "unknown `key`='dept'"),
    ],
)
def test_a_criterion_that_cannot_be_judged_is_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_a_claim_is_joined_from_its_criteria() -> None:
    assert joined([YES, YES]) is YES
    assert joined([YES, NO]) is joined([YES, OPEN]) is Verdict.IN_PART
    assert joined([NO, OPEN]) is NO
    assert joined([OPEN, OPEN]) is OPEN
    assert joined([YES, Verdict.NOT_RUN]) is joined([]) is Verdict.NOT_RUN


def test_holm_inside_a_claim_and_benjamini_hochberg_over_claims() -> None:
    weak = Finding(1, 0, 2, "", "", p=0.03, against=0.9, num=8)
    assert verdicts_of([weak]) == [YES]
    assert verdicts_of([weak, weak]) == [OPEN, OPEN]
    assert weakest_p([weak], [YES]) == pytest.approx(0.03)
    ruled = Finding(1, 0, 2, "", "", rule=YES)
    assert verdicts_of([weak, ruled]) == [YES, YES]  # a rule is no test of the family
    assert math.isnan(weakest_p([ruled], [YES]))
    assert false_discoveries([0.04, math.nan, 0.5, 0.9, 0.8]) == [False, True, False, False, False]
