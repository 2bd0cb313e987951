"""The comparison of a context in sentences, and how sure it is."""

from __future__ import annotations

from initsuite.report.verdicts.comparison import compare
from initsuite.report.verdicts.rulings import Verdict
from initsuite.report.verdicts.words import Grade, confidence, in_words
from support.arms import MISS, arm, context


def test_a_paired_test_that_contradicts_the_ranking_is_told() -> None:
    lucky = arm("a", [400] * 8 + [100] * 12)
    result = compare(context(lucky, arm("b", [300] * 8)))
    assert result.standings[0].arm.name == "a"
    assert result.standings[1].verdict == Verdict.BETTER_WHERE_SHARED
    assert "On the seeds they share, b is better on average (adjusted p = 0.0078)." in in_words(result)
    assert confidence(result) == (Grade.LOW, "the paired test contradicts the ranking")


def test_a_lead_that_its_interval_denies_is_low() -> None:
    # The same small lead at every seed, beside a spread of seeds ten times as large.
    steps = [100.0 + 40 * seed for seed in range(10)]
    result = compare(context(arm("a", steps), arm("b", [each + 20 for each in steps])))
    beaten = result.standings[1]
    assert beaten.verdict == Verdict.WORSE
    assert beaten.lead is not None
    assert beaten.lead.low < 0.5 < beaten.lead.estimate
    assert confidence(result) == (Grade.LOW, "the interval of P(better) spans 1/2")


def test_nobody_at_the_easy_level_is_low() -> None:
    arms = [arm("a", [MISS] * 8, loss_auc=0.5), arm("b", [MISS] * 8, loss_auc=1.5)]
    why = "nobody reaches the easy level; better than 1 of 1 others by loss area"
    assert confidence(compare(context(*arms))) == (Grade.LOW, why)


def test_one_seed_and_one_arm_are_said_first() -> None:
    result = compare(context(arm("a", [100]), arm("b", [200])))
    assert in_words(result).startswith("Only one seed: another one may reverse the order. a reaches")
    assert confidence(result) == (Grade.LOW, "one seed (6 could decide)")
    alone = compare(context(arm("a", [100] * 8)))
    assert in_words(alone).startswith("Only one initializer was scored here: there is nothing to compare it with. a")


def test_all_or_nothing_is_reported_as_that() -> None:
    stuck = arm("stuck", [MISS] * 3, accuracy=0.1, loss_auc=2.3)
    result = compare(context(arm("a", [100] * 3), stuck))
    assert result.standings[1].verdict == Verdict.NOT_TRAINED
    assert "a trains in all of 3 seeds, stuck in none." in in_words(result)
    assert confidence(result) == (Grade.LOW, "no other arm trains, in 3 seeds")
    sometimes = compare(context(arm("a", [100] * 3, accuracy=[0.85, 0.85, 0.1]), stuck))
    assert sometimes.standings[1].verdict == Verdict.TOO_FEW_SEEDS


def test_seven_seeds_decide_nothing_between_five_arms() -> None:
    # 4 x 2/2^7 = 0.0625: above 5 % whatever the seeds say; with eight it would be 0.031.
    others = [arm(name, [300] * 7) for name in "bcde"]
    result = compare(context(arm("a", [100] * 7), *others))
    assert {standing.verdict for standing in result.standings[1:]} == {Verdict.TOO_FEW_SEEDS}
    assert "Not enough seeds to tell a from b, c, d and e (7 of at least 8): " in in_words(result)
    assert confidence(result) == (Grade.LOW, "not enough seeds (8 could decide)")


def test_a_partial_lead_is_moderate() -> None:
    steps = [100, 120, 140, 160] * 2
    result = compare(context(arm("a", steps), arm("b", steps[::-1]), arm("c", [400] * 8)))
    assert confidence(result) == (Grade.MODERATE, "better than 1 of 2 others")
