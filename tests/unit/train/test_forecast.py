"""The time that is left: from what the stacks promised, then from how they keep it."""

from __future__ import annotations

import math

import pytest

from initsuite.train.forecast import TRUST_S, Forecast


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def expecting(clock: Clock, seconds: float, at_a_time: int = 1, later_s: float = 0.0) -> Forecast:
    """Four trials in stacks of two."""
    forecast = Forecast(clock=clock)
    forecast.expect(dict.fromkeys("abcd", seconds), at_a_time, later_s)
    return forecast


def test_before_the_first_evaluation_the_timing_speaks(clock: Clock) -> None:
    assert expecting(clock, 10.0).left_s == pytest.approx(40.0)
    assert expecting(clock, 10.0, at_a_time=2).left_s == pytest.approx(20.0)
    assert expecting(clock, 10.0, at_a_time=2, later_s=30.0).left_s == pytest.approx(35.0)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_it_comes_to_believe_how_the_stacks_keep_their_promise(clock: Clock, factor: float) -> None:
    """One stack of 200 s takes `factor` times as long: after half of it, the error is that of the trust alone."""
    forecast = expecting(clock, 100.0)
    forecast.begin("first", "ab")
    for step in range(1, 6):
        clock.now = factor * 20.0 * step
        forecast.advance("first", step / 10)
    assert forecast.share == pytest.approx(0.25)
    expected = 300.0 * (factor * 100.0 + TRUST_S) / (100.0 + TRUST_S)
    assert forecast.left_s == pytest.approx(expected)
    assert forecast.left_s == pytest.approx(300.0 * factor, rel=TRUST_S / 50)


def test_a_slow_start_does_not_make_minutes_of_seconds(clock: Clock) -> None:
    """20 of 600 steps after 2 s, of which nearly all was done once: 2 / (20 / 600) would be a minute."""
    forecast = expecting(clock, 5.0)
    clock.now = 100.0  # before anything trains: no time of a stack
    forecast.begin("first", "ab")
    clock.now = 102.0
    forecast.advance("first", 20 / 600)
    assert forecast.left_s < 1.5 * 20.0


def test_time_in_which_nothing_trains_does_not_count(clock: Clock) -> None:
    forecast = expecting(clock, 10.0)
    forecast.begin("first", "ab")
    clock.now = 20.0
    forecast.end("first")
    before = forecast.left_s
    clock.now = 500.0
    assert forecast.left_s == before == pytest.approx(20.0)


def test_the_last_stack_has_one_core_alone(clock: Clock) -> None:
    forecast = expecting(clock, 10.0, at_a_time=2)
    forecast.begin("first", "ab")
    forecast.begin("second", "cd")
    clock.now = 20.0
    forecast.end("first")
    forecast.advance("second", 0.0)
    pace = (20.0 + TRUST_S) / (20.0 + 2 * TRUST_S)
    assert forecast.left_s == pytest.approx(pace * 2 * 20.0)


def test_a_stack_that_is_given_up_waits_again(clock: Clock) -> None:
    forecast = expecting(clock, 10.0)
    forecast.begin("whole", "abcd")
    forecast.advance("whole", 0.5)
    forecast.give_up("whole", "abcd")
    assert forecast.share == 0.0
    forecast.begin("half", "ab")
    forecast.end("half")
    assert forecast.share == pytest.approx(0.5)
    forecast.drop("cd")
    assert forecast.share == 1.0
    assert forecast.left_s == 0.0


def test_without_a_timing_it_waits_for_the_first_evaluation(clock: Clock) -> None:
    forecast = expecting(clock, math.nan)
    assert math.isnan(forecast.left_s)
    forecast.begin("first", "ab")
    clock.now = 30.0
    forecast.advance("first", 0.5)
    assert forecast.left_s == pytest.approx(90.0)


def test_a_trial_of_unknown_speed_counts_as_the_others(clock: Clock) -> None:
    forecast = Forecast(clock=clock)
    forecast.expect({"a": 10.0, "b": 30.0, "c": math.nan}, at_a_time=1)
    assert forecast.left_s == pytest.approx(60.0)
