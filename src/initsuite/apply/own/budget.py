"""How much evidence a time buys: the largest protocol whose planned trials fit into it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from initsuite.apply.own.reading import WHERE
from initsuite.config.build import Job
from initsuite.config.settings import Settings
from initsuite.errors import ConfigError, bad_value
from initsuite.protocol.tuning import Protocol
from initsuite.stats.pairwise import pairs_to_decide
from initsuite.train.launch import plan_cells
from initsuite.wording import format_count, format_duration

UNITS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "m": 60, "h": 3600, "hour": 3600}
RESERVE = 1.3
"""The plan's time is multiplied by this: grids are extended, and timings are short."""


@dataclass(frozen=True)
class Size:
    """How much is trained.

    Attributes:
        tuning_seeds: at each learning rate.
        seeds: scoring seeds.
        stride: every so manieth value of the grid of learning rates.
    """

    tuning_seeds: int
    seeds: int
    stride: int = 1


SIZES = (
    Size(3, 30), Size(3, 20), Size(3, 10), Size(2, 10), Size(2, 8), Size(2, 6), Size(1, 6), Size(1, 6, 2),
    Size(1, 4, 2), Size(1, 2, 2), Size(1, 1, 2),
)  # fmt: skip
"""From the most evidence to the least."""


def seconds_of(budget: object) -> float:
    """A time in seconds.

    Raises:
        ConfigError: anything else.

    Example:
        >>> seconds_of("5 min"), seconds_of("1.5h"), seconds_of(90)
        (300.0, 5400.0, 90.0)
    """
    if isinstance(budget, int | float) and not isinstance(budget, bool) and 0 < budget < float("inf"):
        return float(budget)
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-z]+?)s?\s*", budget.lower()) if isinstance(budget, str) else None
    unit = UNITS.get(match.group(2)) or UNITS.get(f"{match.group(2)}s") if match else None
    if match is None or unit is None or float(match.group(1)) <= 0:
        raise bad_value(WHERE, "budget", budget, 'a time, such as "90 s", "5 min" or "2 h"')
    return float(match.group(1)) * unit


def fitted(jobs: Sequence[Job], settings: Settings, seconds: float, say: Callable[[str], None]) -> list[Job]:
    """The jobs with the most seeds and the finest grid that the plan fits into a time.

    Raises:
        ConfigError: not even the least fits.
    """
    expected = 0.0
    for size in SIZES:
        sized = [with_size(job, size) for job in jobs]
        plan = plan_cells(sized, settings)
        if plan.illegal.notna().any():
            raise ConfigError(f"{WHERE}: this model cannot be trained: {plan.illegal.dropna().iloc[0]}")
        expected = RESERVE * float(plan.expected_s.fillna(0).sum())
        if expected <= seconds:
            say(_said(size, sized, expected, seconds))
            return sized
    raise ConfigError(
        f"{WHERE}: `budget` of {format_duration(seconds)} is too short: one seed at every second learning rate takes "
        f"about {format_duration(expected)}. Expected more time, or a smaller max_steps, or fewer initializers."
    )


def with_size(job: Job, size: Size) -> Job:
    """A job under the protocol of a size; no id depends on it."""
    grid = job.cell.lr_grid[:: size.stride]
    optimizer = {**job.cell.config["optimizer"], "lr_grid": list(grid)}
    cell = replace(job.cell, lr_grid=grid, config={**job.cell.config, "optimizer": optimizer})
    return Job(cell, Protocol("budget", size.tuning_seeds, size.seeds))


def _said(size: Size, jobs: Sequence[Job], expected: float, seconds: float) -> str:
    rates = len(jobs[0].cell.lr_grid)
    what = (
        f"Budget {format_duration(seconds)}: {format_count(size.seeds, 'seed')} of each of "
        f"{format_count(len(jobs), 'initializer')}, tuned over {rates} learning rates with "
        f"{format_count(size.tuning_seeds, 'seed')} each, expected to take {format_duration(expected)}."
    )
    return f"{what} {decides(size.seeds, len(jobs))}"


def decides(seeds: int, num_arms: int) -> str:
    """What so many seeds can and cannot decide, in a sentence."""
    if num_arms < 2:
        return "There is nothing to compare with: it measures one initializer."
    needed = pairs_to_decide(num_arms - 1)
    if seeds < needed:
        return (
            f"That is too few to call any difference sure ({needed} would be enough): take it as a first look at who "
            "trains and who does not."
        )
    if seeds < needed + 3:
        return (
            "That can decide differences that (nearly) every seed agrees on, such as between one that trains well and "
            "one that does not; small ones it cannot."
        )
    return "That can decide differences about as large as the spread between seeds; smaller ones it may miss."
