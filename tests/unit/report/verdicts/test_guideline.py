"""What the article's rule chooses, and whether the evidence agrees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from initsuite.report.evidence.context import Arm
from initsuite.report.verdicts.comparison import compare
from initsuite.report.verdicts.guideline import guideline_agreement, rule_choice
from support.arms import arm, context


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
    assert guideline_agreement(compare(context(ruled, arm("he", [300] * 8)))) == ("yes", "orthogonal")


@pytest.mark.parametrize(
    ("arms", "answer"),
    [
        ([arm("he", [100] * 8), arm("xavier", [300] * 8)], ("yes", "he")),
        ([arm("he", [300] * 8), arm("xavier", [100] * 8)], ("no", "it chooses he")),
        ([arm("he", [100, 140] * 4), arm("xavier", [140, 100] * 4, loss_auc=0.4)], ("yes", "he is tied")),
        (
            [arm("he", [300] * 2), arm("xavier", [100] * 2)],
            ("cannot say", "it chooses he but there are not enough seeds"),
        ),
        ([arm("xavier", [100] * 2)], ("cannot say", "its choice he was not tried")),
        ([arm("guideline", [100] * 8), arm("xavier", [300] * 8)], ("yes", "he")),
    ],
)
def test_agreement_with_the_articles_rule(arms: list[Arm], answer: tuple[str, str]) -> None:
    assert guideline_agreement(compare(context(*arms))) == answer
