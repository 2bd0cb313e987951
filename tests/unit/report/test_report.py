"""The parts of the report that need no store: names, rules, numbers in words, comparisons of hand-made arms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from initsuite.protocol.yardstick import Yardstick
from initsuite.report.colours import COLOURS, colour, line_style
from initsuite.report.evidence.context import TUNED, Arm, Context
from initsuite.report.evidence.labels import distinct_labels
from initsuite.report.formatting import format_share, format_steps
from initsuite.report.verdicts.comparison import Verdict, compare
from initsuite.report.verdicts.guideline import guideline_agreement, rule_choice
from initsuite.report.verdicts.recommendations import lr_window
from initsuite.report.verdicts.words import confidence_grade, in_words
from initsuite.stats.intervals import Interval

LEVELS = {"easy": 0.7, "primary": 0.84, "hard": 0.9}
MISS = math.nan


def arm(
    name: str,
    steps: Sequence[float],
    accuracy: float = 0.85,
    loss_auc: float = 0.5,
    scores: Mapping[float, float] | None = None,
) -> Arm:
    """An arm whose seed j reached the target at steps[j], with this final accuracy in every seed."""
    trials = pd.DataFrame(
        {
            "trial_id": [f"{name}{seed}" for seed in range(len(steps))],
            "status": "done",
            "steps_to_target": list(steps),
            "steps_to_easy": list(steps),
            "loss_auc": loss_auc,
            "final_val_score": accuracy,
            "test_score": accuracy,
        }
    )
    return Arm(name, cell_id=name, lr=0.1, lr_scores=scores or {}, trials=trials, num_failed=0)


def context(*arms: Arm, **changes: Any) -> Context:
    facts: dict[str, Any] = {
        "context_id": "c",
        "axes": {"dataset": "digits", "model": "mlp-2x64", "activation": "relu", "optimizer": "sgd"},
        "title": "digits / mlp-2x64 / relu / sgd",
        "lr_rule": TUNED,
        "lr_grid": (0.01, 0.1, 1.0),
        "yardstick": Yardstick("accuracy", 0.1, LEVELS),
        "loss_unit": "nats",
        "max_steps": 600,
        "eval_every": 20,
        "config": {"model": {"name": "mlp", "depth": 2}},
    }
    return Context(arms=arms, **{**facts, **changes})


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


def test_a_paired_test_that_contradicts_the_ranking_is_told() -> None:
    lucky = arm("a", [400] * 8 + [100] * 12)
    result = compare(context(lucky, arm("b", [300] * 8)))
    assert result.standings[0].arm.name == "a"
    assert result.standings[1].verdict == Verdict.BETTER_WHERE_SHARED
    assert "On the seeds they share, b is better on average (adjusted p = 0.0078)." in in_words(result)
    assert confidence_grade(result) == "low: the paired test contradicts the ranking"


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


def test_a_partial_lead_is_moderate() -> None:
    steps = [100, 120, 140, 160] * 2
    result = compare(context(arm("a", steps), arm("b", steps[::-1]), arm("c", [400] * 8)))
    assert confidence_grade(result) == "moderate: better than 1 of 2 others"


@pytest.mark.parametrize(
    ("scores", "window"),
    [
        ({0.01: 0.5, 0.1: 0.8, 1.0: 0.1}, (0.01, 0.1)),
        ({0.001: 0.5, 0.01: 0.1, 0.1: 0.8, 1.0: 0.6}, (0.1, 1.0)),
        ({0.01: 0.1, 0.1: 0.1}, None),
        ({0.01: 0.5}, None),
        ({}, None),
    ],
    ids=["edge", "hole", "none trains", "best was not tuned", "one lr for all"],
)
def test_lr_window(scores: dict[float, float], window: tuple[float, float] | None) -> None:
    assert lr_window(context(), arm("a", [], scores=scores)) == window


@pytest.mark.parametrize(
    ("activation", "model", "choice"),
    [
        ("relu", {"name": "mlp", "depth": 29}, "he"),
        ("tanh", {"name": "mlp", "widths": [8] * 30}, "orthogonal"),
        ("tanh", {"name": "mlp", "widths": [8, 8], "depth": 30}, "xavier"),
        ("sigmoid", {"name": "cnn"}, "xavier"),
        ("relu", {"name": "cnn", "channels": [8] * 30}, "orthogonal"),
        ("leaky_relu", {}, "he"),
        ("tanh", {"name": "lstm"}, "orthogonal"),
    ],
)
def test_the_articles_rule(activation: str, model: dict[str, Any], choice: str) -> None:
    assert rule_choice(context(config={"model": model, "activation": {"name": activation}})) == choice


def test_very_deep_is_what_the_arm_of_the_rule_was_given() -> None:
    ruled = replace(arm("guideline", [100] * 8), options={"name": "guideline", "deep_from": 2})
    assert guideline_agreement(compare(context(ruled, arm("he", [300] * 8)))) == "yes, orthogonal"


@pytest.mark.parametrize(
    ("arms", "answer"),
    [
        ([arm("he", [100] * 8), arm("xavier", [300] * 8)], "yes, he"),
        ([arm("he", [300] * 8), arm("xavier", [100] * 8)], "no, it chooses he"),
        ([arm("he", [100, 140] * 4), arm("xavier", [140, 100] * 4, loss_auc=0.4)], "yes, he is tied"),
        ([arm("he", [300] * 2), arm("xavier", [100] * 2)], "cannot say, it chooses he but there are not enough seeds"),
        ([arm("xavier", [100] * 2)], "cannot say, its choice he was not tried"),
        ([arm("guideline", [100] * 8), arm("xavier", [300] * 8)], "yes, he"),
    ],
)
def test_agreement_with_the_articles_rule(arms: list[Arm], answer: str) -> None:
    assert guideline_agreement(compare(context(*arms))) == answer


def test_names_without_a_difference_get_their_id() -> None:
    assert distinct_labels(["he", "he"], [{}, {}], ["abcdef12", "123456ab"]) == ["he (abcdef)", "he (123456)"]
    assert distinct_labels(["he", "zero"], [{"gain": 1}, None], ["a", "b"]) == ["he", "zero"]
    three = distinct_labels(["he"] * 3, [{"gain": 1}, {"gain": 1}, {"gain": 2}], ["a", "b", "c"])
    assert three == ["he (gain=1) a", "he (gain=1) b", "he (gain=2)"]


def test_numbers_carry_their_uncertainty() -> None:
    assert format_steps(Interval(860.0, 800.0, 920.0, 0.9375, 5)) == "860 [800, 920] at 93.8 %"
    assert format_steps(Interval(math.inf, math.inf, math.inf, 0.97, 6)) == "never"
    assert format_steps(Interval(math.inf, 300.0, math.inf, 0.97, 6)) == "never [300, never]"
    assert format_share(Interval(0.8, math.nan, math.nan, 0.0, 1)) == "0.800 [too few seeds]"
    assert format_share(Interval(math.nan, math.nan, math.nan, 0.0, 0)) == ""


def test_colours_are_distinct_and_depend_on_the_name_alone() -> None:
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert colour("somebodys_own") == colour("somebodys_own") not in COLOURS.values()
    assert (line_style("he"), line_style("somebodys_own") != "-") == ("-", True)
