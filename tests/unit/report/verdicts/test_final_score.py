"""The second result: the arm that ends best is chosen on validation scores and judged by test scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from initsuite.protocol.yardstick import Yardstick
from initsuite.report.evidence.context import Arm
from initsuite.report.verdicts.comparison import compare
from initsuite.report.verdicts.rulings import Verdict
from initsuite.report.verdicts.words import in_words
from support.arms import MISS, arm, context

SEEDS = 10
HIGH = [0.90 + 0.001 * (seed % 3) for seed in range(SEEDS)]
LOW = [0.88 + 0.001 * (seed % 4) for seed in range(SEEDS)]


def with_test_scores(found: Arm, scores: list[float]) -> Arm:
    """The same arm with other test scores."""
    return replace(found, trials=found.trials.assign(test_score=scores))


def test_each_result_has_its_own_leader_test_and_interval() -> None:
    result = compare(context(arm("fast", [100] * SEEDS, LOW), arm("slow", [300] * SEEDS, HIGH)))
    assert result.leader is not None
    assert result.scores.leader is not None
    assert (result.leader.arm.name, result.scores.leader.arm.name) == ("fast", "slow")
    beaten = result.scores.standings[1]
    differences = np.subtract(HIGH, LOW)
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (beaten.difference.estimate, beaten.difference.low, beaten.difference.high) == pytest.approx(
        (differences.mean(), low, high)
    )
    assert beaten.p_value == 2 / 2**SEEDS
    assert beaten.verdict == Verdict.WORSE
    assert "Fastest: fast; most accurate: slow, +2.0 points [1.8, 2.1], p = 0.002." in in_words(result)


def test_validation_chooses_and_test_scores_judge() -> None:
    lucky = with_test_scores(arm("lucky", [100] * SEEDS, HIGH), LOW)
    solid = with_test_scores(arm("solid", [100] * SEEDS, LOW), HIGH)
    scores = compare(context(lucky, solid)).scores
    assert scores.leader is not None
    assert scores.leader.arm.name == "lucky"
    assert scores.standings[1].difference.estimate == pytest.approx(np.mean(LOW) - np.mean(HIGH))
    assert scores.standings[1].verdict == Verdict.BETTER_WHERE_SHARED


def test_where_both_results_agree_one_is_named() -> None:
    result = compare(context(arm("a", [100] * SEEDS, HIGH), arm("b", [300] * SEEDS, LOW), arm("c", [300] * SEEDS, 0.5)))
    assert "Fastest and most accurate: a, +2.0 points [1.8, 2.1] over b, p = 0.0039." in in_words(result)


def test_a_higher_score_that_the_seeds_do_not_show_is_said() -> None:
    # Of the 2^10 flips 2 (10/32)^2 + 2 (5/32)^2 give a smaller sum than five of +2.1 and five of -1.9 points.
    mixed = [0.90, 0.86] * (SEEDS // 2)
    result = compare(context(arm("fast", [100] * SEEDS, 0.879), arm("slow", [300] * SEEDS, mixed)))
    assert "most accurate: slow, +0.1 points [-1.4, 1.6], p = 0.76 (undecided)." in in_words(result)


def test_a_lower_error_is_better() -> None:
    scale = Yardstick("mse", 1.0)
    one, other = arm("one", [MISS] * 6, 0.2, loss_auc=0.5), arm("other", [MISS] * 6, 0.1, loss_auc=0.6)
    result = compare(context(one, other, yardstick=scale))
    assert result.scores.standings[0].arm.name == "other"
    assert result.scores.standings[1].difference.estimate == pytest.approx(0.1)
    assert "Fastest: one; most accurate: other, mean squared error lower by 0.1 [0.1, 0.1], p = 0.031." in in_words(
        result
    )


def test_an_arm_near_chance_never_ends_best() -> None:
    stuck = arm("stuck", [MISS] * 6, 0.1, loss_auc=2.3)
    alone = compare(context(stuck)).scores
    assert (alone.leader, alone.of_arm("stuck")) == (None, alone.standings[0])
    assert alone.standings[0].verdict == Verdict.NOT_TRAINED
