"""Arms made by hand against each other: which leads, and whether the seeds can tell."""

from __future__ import annotations

import pandas as pd

from initsuite.report.verdicts.comparison import compare
from initsuite.report.verdicts.rulings import Verdict
from initsuite.report.verdicts.words import in_words
from support.arms import MISS, arm, context


def test_the_success_rate_comes_before_the_speed() -> None:
    result = compare(context(arm("fast", [20] * 9 + [MISS]), arm("sure", [400] * 10)))
    assert [standing.arm.name for standing in result.standings] == ["sure", "fast"]


def test_the_loss_area_breaks_a_tie() -> None:
    result = compare(context(arm("a", [100] * 3, loss_auc=0.6), arm("b", [100] * 3, loss_auc=0.5)))
    assert result.standings[0].arm.name == "b"


def test_a_miss_is_worse_than_any_reached_step() -> None:
    # All seven differences of rank are positive, so p is the smallest there is.
    result = compare(context(arm("a", [100] * 7), arm("b", [MISS, *[200] * 6])))
    assert result.standings[1].p_value == 2.0**-6
    assert result.standings[1].verdict == Verdict.WORSE


def test_two_misses_of_a_seed_are_told_apart_by_their_loss_area() -> None:
    # Without the area one of six pairs would be tied, and the smallest p 2^-4: above 0.05.
    result = compare(context(arm("a", [*[100] * 5, MISS], loss_auc=0.5), arm("b", [MISS] * 6, loss_auc=1.5)))
    assert result.standings[1].p_value == 2.0**-5
    assert "b in 0 of 6 seeds, test accuracy 0.850" in in_words(result)


def test_two_that_reach_the_level_at_the_same_step_are_tied() -> None:
    result = compare(context(arm("a", [100] * 8, loss_auc=0.5), arm("b", [100] * 8, loss_auc=1.5)))
    assert result.standings[1].p_value == 1


def test_unequal_seeds_use_those_that_are_shared() -> None:
    result = compare(context(arm("a", [100] * 8), arm("b", [200] * 5)))
    assert result.standings[1].verdict == Verdict.TOO_FEW_SEEDS
    assert "Not enough seeds to tell a from b (5 of at least 6)" in in_words(result)


def test_no_shared_seed_claims_nothing() -> None:
    late = arm("b", [200] * 8)
    late.trials.index = pd.RangeIndex(100, 108)
    result = compare(context(arm("a", [100] * 8), late))
    assert result.standings[1].verdict == Verdict.TOO_FEW_SEEDS


def test_an_arm_near_chance_never_leads_one_that_trains() -> None:
    stuck = arm("stuck", [MISS] * 6, accuracy=0.1, loss_auc=2.3)
    overfit = arm("overfit", [MISS] * 6, accuracy=0.5, loss_auc=4.0)
    result = compare(context(stuck, overfit))
    assert result.leader is not None
    assert result.leader.arm.name == "overfit"
    assert "stuck stays near chance at every learning rate" in in_words(result)


def test_one_lr_that_trains_is_not_near_chance() -> None:
    stuck = arm("stuck", [MISS] * 6, accuracy=0.1, scores={0.01: 0.1, 0.1: 0.1})
    saved = arm("saved", [MISS] * 6, accuracy=0.1, scores={0.01: 0.1, 0.1: 0.4})
    near = {standing.arm.name: standing.near_chance for standing in compare(context(stuck, saved)).standings}
    assert near == {"stuck": True, "saved": False}
