"""How often the worth of a choice is wrong, simulated: arms that are alike, and a planted interaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from initsuite.report.evidence.context import Arm
from initsuite.report.verdicts.comparison import Comparison, Standing
from initsuite.report.verdicts.final_score import ScoreRanking, ScoreStanding
from initsuite.report.verdicts.worth import Worth, worth_of
from initsuite.stats.intervals import MISSING, mean_interval
from support.arms import arm, context

SEEDS, STORES = 10, 400
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
    arms, shared = [], rng.normal(0, 1, SEEDS)
    for name, mean in means.items():
        scores = mean + SPREAD * (shared + rng.normal(0, 1, SEEDS)) / np.sqrt(2)
        arms.append(arm(name, [100.0] * SEEDS, accuracy=list(scores)))  # validation and test alike: the worst case
    return found_of(arms)


def found_of(arms: Sequence[Arm]) -> Worth:
    standings = tuple(_standing(one) for one in arms)
    order = sorted(arms, key=lambda one: -one.trials.final_val_score.mean())
    scores = ScoreRanking(tuple(ScoreStanding(one, 0.0, near_chance=False, key=()) for one in order))
    worth = worth_of(Comparison(context(*arms), None, None, standings, 6, scores))
    assert worth is not None
    return worth


def _standing(one: Arm) -> Standing:
    return Standing(one, MISSING, MISSING, MISSING, MISSING, 0, 0, near_chance=False, always_trains=True)


def most(share: float) -> int:
    """Of `STORES` at most so many, where the probability of each is this one."""
    return int(STORES * share + STANDARD_ERRORS * np.sqrt(STORES * share * (1 - share)))


@pytest.mark.slow
def test_arms_that_are_alike_are_seldom_called_different() -> None:
    """A worth above 0 is wrong. The interval of an ordinary pair, of the first and the last arm, is wrong far more
    often."""
    rng = np.random.default_rng(0)
    wrong, flattered = 0, 0
    for _ in range(STORES):
        worth = drawn(dict.fromkeys("abcdef", 0.8), rng)
        wrong += worth.interval("score").low > 0
        flattered += mean_interval(worth.table.score).low > 0
    assert wrong <= most(0.05)
    assert flattered > most(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("cell", TRUTH, ids=" ".join)
def test_the_intervals_hold_the_planted_worth_of_the_chosen_arms(cell: tuple[str, str]) -> None:
    """Norm and optimizer change what the choice is worth; the truth is that of the arms that were chosen."""
    rng, means = np.random.default_rng(1), TRUTH[cell]
    errors: dict[str, int] = {"score": 0, "score_over_default": 0}
    for _ in range(STORES):
        worth = drawn(means, rng)
        second = next(name for name in _ordered(worth) if name != "torch_default")
        pairs = {"score": (worth.best, worth.worst), "score_over_default": (second, "torch_default")}
        for name, (better, worse) in pairs.items():
            found, truth = worth.interval(name), means[better] - means[worse]
            errors[name] += not found.low - 1e-12 <= truth <= found.high + 1e-12
    assert max(errors.values()) <= most(0.05)


def _ordered(worth: Worth) -> list[str]:
    return [one.name for one in sorted(worth.arms, key=lambda one: -one.trials.final_val_score.mean())]


@pytest.mark.slow
def test_intervals_of_a_pair_alone_would_be_noticed() -> None:
    """Where it matters: two arms lead and two come last, and luck chooses among them."""
    rng, means = np.random.default_rng(2), {"a": 0.86, "b": 0.86, "c": 0.86, "d": 0.8, "e": 0.8, "f": 0.8}
    alone, together = 0, 0
    for _ in range(STORES):
        worth = drawn(means, rng)
        ordinary, found = mean_interval(worth.table.score), worth.interval("score")
        alone += not ordinary.low <= 0.06 <= ordinary.high
        together += not found.low <= 0.06 <= found.high
    assert together <= most(0.05)
    assert alone > most(0.05)


def test_missing_seeds_are_left_out_of_all_arms() -> None:
    worth = drawn({"a": 0.9, "b": 0.8}, np.random.default_rng(2))
    short = replace(worth.arms[1], trials=worth.arms[1].trials.iloc[2:])
    assert found_of([worth.arms[0], short]).table.index.tolist() == list(range(2, SEEDS))
