"""What a launch says of its number of seeds before it trains."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from initsuite.train.plan.deciding import too_few_seeds


def jobs(num_arms: int, num_seeds: int, context: str = "c") -> list[Any]:
    protocol = SimpleNamespace(scoring_seeds=num_seeds)
    return [
        SimpleNamespace(context_id=context, cell_id=f"{context}{arm}", protocol=protocol) for arm in range(num_arms)
    ]


@pytest.mark.parametrize(("num_arms", "num_seeds", "smallest", "needed"), [(5, 7, "0.062", 8), (2, 5, "0.062", 6)])
def test_seeds_that_decide_nothing_are_said_with_those_that_would(
    num_arms: int, num_seeds: int, smallest: str, needed: int
) -> None:
    assert too_few_seeds(jobs(num_arms, num_seeds)) == [
        f"Too few seeds to decide anything: with {num_seeds} scoring seeds and {num_arms} initializers in a context, "
        f"the smallest p is {smallest}. With seeds={needed} the leader can be told from each other one."
    ]
    assert too_few_seeds(jobs(num_arms, needed)) == []


def test_one_initializer_a_context_compares_nothing() -> None:
    assert too_few_seeds([*jobs(1, 1), *jobs(1, 1, "other")]) == []
    assert too_few_seeds([]) == []


def test_the_largest_context_decides() -> None:
    (line,) = too_few_seeds([*jobs(2, 6), *jobs(4, 6, "other")])
    assert line.endswith("With seeds=7 the leader can be told from each other one.")
