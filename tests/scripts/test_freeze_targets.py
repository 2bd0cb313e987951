"""Levels from scoring trials: the way from chance to the best arm, and to which side they are rounded."""

from __future__ import annotations

import pandas as pd
import pytest
from freeze_targets import checked, levels_from

from initsuite.errors import ConfigError
from initsuite.protocol.yardstick import Yardstick


def arm(*scores: float) -> pd.DataFrame:
    return pd.DataFrame({"lr": 0.1, "seed": range(len(scores)), "best_val_score": scores})


def test_levels_lie_on_the_way_from_chance_to_the_best_median() -> None:
    record = levels_from({"he": arm(0.8, 0.9, 0.95), "xavier": arm(0.99, 0.7, 0.7)}, Yardstick("accuracy", 0.1))
    assert (record["best_arm"], record["median_best_val_score"]) == ("he", {"he": 0.9, "xavier": 0.7})
    assert record["levels"] == {"easy": 0.74, "primary": 0.86, "hard": 0.9}


def test_an_accuracy_is_rounded_down() -> None:
    levels = levels_from({"he": arm(0.98767)}, Yardstick("accuracy", 0.1))["levels"]
    assert levels == {"easy": 0.8101, "primary": 0.9432, "hard": 0.9876}


def test_where_lower_is_better_the_lowest_median_wins_and_rounding_goes_up() -> None:
    record = levels_from({"he": arm(3.00001e-5), "xavier": arm(4e-5)}, Yardstick("mse", 1.0))
    assert record["best_arm"] == "he"
    assert record["levels"] == {"easy": 0.2001, "primary": 0.05003, "hard": 3.001e-5}
    assert Yardstick("mse", 1.0, record["levels"])  # a scale that holds


def test_no_target_is_frozen_where_nothing_learns() -> None:
    with pytest.raises(ConfigError, match=r"targets: no arm is better than chance \(0\.3\)"):
        levels_from({"he": arm(0.31), "xavier": arm(0.3)}, Yardstick("mse", 0.3))


@pytest.mark.parametrize(("shift", "holds"), [(0.0, True), (0.004, True), (0.03, False), (-0.03, False)])
def test_a_frozen_level_holds_where_todays_median_may_be_the_same(shift: float, holds: bool) -> None:
    scores = [0.90 + 0.002 * seed for seed in range(10)]
    scale, origin = Yardstick("accuracy", 0.1), dict.fromkeys(("protocol_version", "commit", "dirty", "torch_version"))
    now = {**levels_from({"he": arm(*scores), "xavier": arm(*[0.95] * 10)}, scale), **origin}
    frozen = levels_from({"he": arm(*(score + shift for score in scores)), "xavier": arm(*[0.5] * 10)}, scale)
    found = checked(frozen, now)
    assert found["holds"] is holds  # of the arm that the level came from, whichever is best today
    assert found["median"] == pytest.approx([0.902, 0.909, 0.916])
    assert (found["best_arm"], found["levels"]["hard"]) == ("xavier", 0.95)
