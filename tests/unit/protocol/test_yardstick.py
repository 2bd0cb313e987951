"""The scale of a data set: which way is better, what counts as chance and as the target."""

from __future__ import annotations

import math

import numpy as np
import pytest

from initsuite.errors import ConfigError
from initsuite.protocol.yardstick import Yardstick, yardstick_of

ACCURACY = Yardstick("accuracy", 0.1, {"easy": 0.5, "primary": 0.8, "hard": 0.9})
MSE = Yardstick("mse", 1.0, {"easy": 0.5, "primary": 0.2, "hard": 0.1})


def test_chance_is_0_and_the_hard_level_1_whichever_way_is_better() -> None:
    assert ACCURACY.normalised(0.5) == pytest.approx(0.5)
    assert Yardstick("accuracy", 0.1).normalised(0.55) == pytest.approx(0.5)  # of a perfect score
    assert MSE.normalised(0.55) == pytest.approx(0.5)
    assert Yardstick("mse", 1.0).normalised(0.5) == pytest.approx(0.5)
    assert Yardstick("bits_per_char", 6.0).normalised(3.0) == pytest.approx(0.5)


def test_a_level_is_reached_from_the_side_of_chance() -> None:
    scores = np.array([0.3, 0.5, 0.7, math.nan])
    assert ACCURACY.is_at(scores, 0.5).tolist() == [False, True, True, False]
    assert MSE.is_at(scores, 0.5).tolist() == [True, True, False, False]
    assert not ACCURACY.is_at(scores, None).any()


def test_a_score_one_rounding_short_of_a_level_is_at_it() -> None:
    assert ACCURACY.is_at(np.nextafter(0.95, 0), 0.95)
    assert MSE.is_at(np.nextafter(0.05, 1), 0.05)
    assert not ACCURACY.is_at(0.95 - 1 / 1e6, 0.95)


def test_turned_scores_are_better_where_they_are_higher() -> None:
    assert ACCURACY.oriented(0.9) > ACCURACY.oriented(0.8)
    assert MSE.oriented(0.1) > MSE.oriented(0.2)
    assert MSE.oriented(MSE.oriented(0.1)) == 0.1


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"metric": "f1"}, "unknown `metric`='f1'"),
        ({"direction": "max"}, "`direction`='max'. Expected min, of mse"),
        ({"chance": -1.0}, "`chance`=-1.0. Expected mse from 0 to inf"),
        ({"chance": None}, "`chance`=None"),
        ({"chance": 0.0}, "`chance`=0.0. Expected mse from 0 to inf, and not the best there is"),
        ({"levels": {"easy": 0.2, "primary": 0.5, "hard": 0.1}}, r"on the way from chance \(1\) to 0"),
        ({"levels": {"easy": 1.0, "primary": None, "hard": None}}, r"on the way from chance \(1\) to 0"),
        ({"levels": {"easy": None, "primary": None, "hard": -0.1}}, r"on the way from chance \(1\) to 0"),
        ({"levels": {"easy": "low", "primary": None, "hard": None}}, "`levels`='low'"),
        ({"levels": {"easy": None}}, "easy, primary and hard"),
    ],
)
def test_a_scale_that_leads_nowhere_is_refused(dataset, message: str) -> None:
    good = {"metric": "mse", "direction": "min", "chance": 1.0, "levels": dict.fromkeys(("easy", "primary", "hard"))}
    assert yardstick_of(good) == Yardstick("mse", 1.0)
    with pytest.raises(ConfigError, match=message):
        yardstick_of({**good, **dataset})
