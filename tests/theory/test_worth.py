"""How often the worth of a choice is wrong, simulated: arms that are alike, and a planted interaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from initsuite.report.evidence.context import Arm
from initsuite.report.verdicts.comparison import Comparison, Standing
from initsuite.report.verdicts.final_score import ScoreRanking
from initsuite.report.verdicts.worth import Worth, worth_of
from initsuite.stats.intervals import MISSING, mean_interval
from support.arms import arm, context

SEEDS, TUNING_SEEDS, STORES = 10, 2, 400
SPREAD = 0.01
"""Of a seed's score, half of its variance shared by all arms."""
STANDARD_ERRORS = 4
TRUTH = {
    ("none", "sgd"): {"he": 0.86, "lsuv": 0.859, "torch_default": 0.80, "normal": 0.10},
    ("none", "adamw"): {"he": 0.86, "lsuv": 0.859, "torch_default": 0.84, "normal": 0.46},
    ("batch", "sgd"): {"he": 0.86, "lsuv": 0.859, "torch_default": 0.85, "normal": 0.83},
    ("batch", "adamw"): {"he": 0.86, "lsuv": 0.859, "torch_default": 0.86, "normal": 0.86},
}


def drawn(means: Mapping[str, float], rng: np.random.Generator) -> Worth:
    """What is found of arms with these true scores."""
    arms, shared, tuning_shared = [], rng.normal(0, 1, SEEDS), rng.normal(0, 1, TUNING_SEEDS)
    for name, mean in means.items():
        scores = mean + SPREAD * (shared + rng.normal(0, 1, SEEDS)) / np.sqrt(2)
        tuned = mean + SPREAD * (tuning_shared + rng.normal(0, 1, TUNING_SEEDS)) / np.sqrt(2)
        arms.append(arm(name, [100.0] * SEEDS, accuracy=list(scores), scores={0.1: float(tuned.mean())}))
    tuning = {one.cell_id: pd.DataFrame({"status": "done", "lr": 0.1, "loss_auc": [0.5]}) for one in arms}
    standings = tuple(_standing(one) for one in arms)
    worth = worth_of(Comparison(context(*arms), None, None, standings, 6, ScoreRanking(())), tuning)
    assert worth is not None
    return worth


def _standing(one: Arm) -> Standing:
    return Standing(one, MISSING, MISSING, MISSING, MISSING, 0, 0, near_chance=False, always_trains=True)


def most(share: float) -> int:
    """Of `STORES` at most so many, where the probability of each is this one."""
    return int(STORES * share + STANDARD_ERRORS * np.sqrt(STORES * share * (1 - share)))


@pytest.mark.slow
def test_arms_that_are_alike_are_seldom_called_different() -> None:
    """A worth above 0 is wrong: 2.5 % on this side. Chosen by the seeds that judge, it is wrong far more often."""
    rng = np.random.default_rng(0)
    wrong, flattered = 0, 0
    for _ in range(STORES):
        worth = drawn(dict.fromkeys("abcdef", 0.8), rng)
        wrong += worth.interval("score").low > 0
        scores = pd.DataFrame({one.name: one.trials.test_score for one in worth.arms})
        order = scores.mean().sort_values().index
        flattered += mean_interval(scores[order[-1]] - scores[order[0]]).low > 0
    assert wrong <= most(0.025)
    assert flattered > most(0.2)


@pytest.mark.slow
@pytest.mark.parametrize("cell", TRUTH, ids=" ".join)
def test_the_intervals_hold_the_planted_worth_of_the_chosen_arms(cell: tuple[str, str]) -> None:
    """Norm and optimizer change what the choice is worth; the truth is that of the arms that the tuning seeds chose."""
    rng, means = np.random.default_rng(1), TRUTH[cell]
    errors: dict[str, int] = {"score": 0, "score_over_default": 0}
    estimates = []
    for _ in range(STORES):
        worth = drawn(means, rng)
        for name, other in (("score", worth.worst), ("score_over_default", "torch_default")):
            found, truth = worth.interval(name), means[worth.best] - means[other]
            errors[name] += not found.low - 1e-12 <= truth <= found.high + 1e-12
        estimates.append(worth.interval("score").estimate - (means[worth.best] - means[worth.worst]))
    assert max(errors.values()) <= most(0.05)
    error = SPREAD / np.sqrt(SEEDS * STORES)  # of the mean over stores; a gap of one pair has the variance SPREAD^2
    assert abs(np.mean(estimates)) < STANDARD_ERRORS * error


def test_a_wrong_spread_would_be_noticed() -> None:
    """An interval of half the width misses the truth in 29 % of stores: beyond the bound of the test above."""
    half = 2 * stats.t.cdf(-stats.t.ppf(0.975, SEEDS - 1) / 2, SEEDS - 1)
    assert STORES * half > most(0.05) + STANDARD_ERRORS * np.sqrt(STORES * half)


def test_missing_seeds_are_left_out_of_all_arms() -> None:
    worth = drawn({"a": 0.9, "b": 0.8}, np.random.default_rng(2))
    short = replace(worth.arms[1], trials=worth.arms[1].trials.iloc[2:])
    comparison = Comparison(
        context(worth.arms[0], short), None, None, tuple(map(_standing, (worth.arms[0], short))), 6, ScoreRanking(())
    )
    tuning = {one.cell_id: pd.DataFrame({"status": "done", "lr": 0.1, "loss_auc": [0.5]}) for one in worth.arms}
    found = worth_of(comparison, tuning)
    assert found is not None
    assert found.table.index.tolist() == list(range(2, SEEDS))
