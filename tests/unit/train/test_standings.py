"""The table of a launch: by workload, best arm first."""

from __future__ import annotations

import io

from rich.console import Console

from initsuite.protocol.yardstick import yardstick_of
from initsuite.train.standings import Standing, standings_table

ACCURACY = yardstick_of(
    {"metric": "accuracy", "chance": 0.1, "direction": "max", "levels": dict.fromkeys(("easy", "primary", "hard"))}
)
FIRST, SECOND = ("digits", "mlp-2x64", "relu", "sgd"), ("digits", "mlp-2x64", "tanh", "sgd")


def standing(context: tuple[str, ...], init: str, score: float, stage: str = "score") -> Standing:
    return Standing(context, init, stage, 0.1, [score - 0.01, score + 0.01], ACCURACY)


def printed(standings: list[Standing], most: int = 60, width: int = 80) -> list[str]:
    screen = io.StringIO()
    Console(file=screen, width=width).print(standings_table(standings, most))
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def test_each_workload_has_a_table_with_its_best_arm_first() -> None:
    mixed = [standing(FIRST, "zero", 0.1), standing(SECOND, "he", 0.9), standing(FIRST, "he", 0.8)]
    lines = printed(mixed)
    assert [line for line in lines if "/" in line] == [
        "digits / mlp-2x64 / relu / sgd",
        "digits / mlp-2x64 / tanh / sgd",
    ]
    first = lines[: lines.index("")]
    assert [line.split()[0] for line in first[2:]] == ["he", "zero"]
    assert "0.800 (0.790 to 0.810)" in first[2]
    assert "stage" not in first[1]


def test_the_stage_stands_where_some_are_still_tuned() -> None:
    lines = printed([standing(FIRST, "he", 0.9), standing(FIRST, "zero", 0.1, stage="tune")])
    assert "stage" in lines[1]
    assert "tune" in lines[3]


def test_more_than_the_screen_holds_is_counted() -> None:
    many = [standing((f"data{number}", "m", "a", "o"), "he", 0.5) for number in range(10)]
    lines = printed(many, most=9)
    assert lines[-1] == "... and 8 more workloads"
    arms = [standing(FIRST, f"arm{number}", 0.5) for number in range(30)]
    assert printed(arms, most=13)[-1] == "... and 20 more"
