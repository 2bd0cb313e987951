"""The comparison of a context in sentences, and how sure it is."""

from __future__ import annotations

from initsuite.report.verdicts.comparison import Verdict, compare
from initsuite.report.verdicts.words import Grade, confidence, in_words
from support.arms import arm, context


def test_a_paired_test_that_contradicts_the_ranking_is_told() -> None:
    lucky = arm("a", [400] * 8 + [100] * 12)
    result = compare(context(lucky, arm("b", [300] * 8)))
    assert result.standings[0].arm.name == "a"
    assert result.standings[1].verdict == Verdict.BETTER_WHERE_SHARED
    assert "On the seeds they share, b is better on average (adjusted p = 0.0078)." in in_words(result)
    assert confidence(result) == (Grade.LOW, "the paired test contradicts the ranking")


def test_a_partial_lead_is_moderate() -> None:
    steps = [100, 120, 140, 160] * 2
    result = compare(context(arm("a", steps), arm("b", steps[::-1]), arm("c", [400] * 8)))
    assert confidence(result) == (Grade.MODERATE, "better than 1 of 2 others")
