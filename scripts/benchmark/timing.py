"""The arithmetic of a comparison: rates, interleaved repeats, paired ratios. No torch, no clock of its own."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from initsuite.errors import bad_value


@dataclass(frozen=True)
class Timing:
    """One measurement: an amount of work (trials, or GFLOP), the seconds it took, and a note on where they went.

    `gflop`: the work in matrix products, if it was counted.

    Example:
        >>> Timing(seconds=4.0, amount=30.0).rate
        7.5
    """

    seconds: float
    amount: float
    note: str = ""
    gflop: float = math.nan

    @property
    def rate(self) -> float:
        """Amount per second."""
        return self.amount / self.seconds

    @property
    def gflop_rate(self) -> float:
        """Matrix products, GFLOP per second."""
        return self.gflop / self.seconds


@dataclass(frozen=True)
class Arm:
    """One side of a comparison.

    Attributes:
        label: what is run, for people: sizes, threads, what is extrapolated.
        run: does the work once.
    """

    label: str
    run: Callable[[], Timing]


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest ratio of one comparison."""

    median: float
    low: float
    high: float


def interleave(
    arms: Mapping[str, Arm],
    num_repeats: int,
    tell: Callable[[str, int, Timing], None] = lambda name, repeat, timing: None,
) -> dict[str, list[Timing]]:
    """Run all arms in turn, A B A B ..., so that a slow minute of the machine affects all of them.

    Args:
        arms: by name, in their order.
        num_repeats: from 1.
        tell: called after each run with the name, the repeat from 1, and the timing.
    """
    timings: dict[str, list[Timing]] = {name: [] for name in arms}
    for repeat in range(1, num_repeats + 1):
        for name, arm in arms.items():
            timings[name].append(arm.run())
            tell(name, repeat, timings[name][-1])
    return timings


def rate_ratios(above: Sequence[Timing], below: Sequence[Timing]) -> list[float]:
    """Rate of each timing over the rate of its neighbour, which was measured next to it.

    Raises:
        ConfigError: the two differ in length, so that some timings have no neighbour.

    Example:
        >>> rate_ratios([Timing(1.0, 30.0), Timing(2.0, 30.0)], [Timing(1.0, 3.0), Timing(1.0, 5.0)])
        [10.0, 3.0]
    """
    if len(above) != len(below) or not above:
        raise bad_value("rate_ratios", "below", f"{len(below)} timings", f"{len(above)}, one for each above, from 1")
    return [one.rate / other.rate for one, other in zip(above, below, strict=True)]


def spread(ratios: Sequence[float]) -> Spread:
    """Median and range.

    Example:
        >>> spread([10.0, 3.0, 4.0])
        Spread(median=4.0, low=3.0, high=10.0)
    """
    return Spread(statistics.median(ratios), min(ratios), max(ratios))


@dataclass(frozen=True)
class JobTimes:
    """When one job of a launcher began and ended, seconds on a clock that all jobs share, and `rest_s`: what a job of
    the whole budget would take beyond that."""

    begin: float
    end: float
    rest_s: float = 0.0


def sweep_seconds(begin: float, jobs: Sequence[JobTimes], num_jobs: int, num_processes: int = 1) -> float:
    """What a sweep of `num_jobs` jobs takes, from a few of them.

    The first round, one job in each process, carries the start of the program; each further round takes as long as the
    measured ones. The time that a launcher needs to compose more jobs is left out, in its favour.

    Args:
        begin: when the program was started, on the clock of the jobs.
        jobs: two rounds or more, a multiple of `num_processes`.
        num_jobs: jobs of the whole sweep, at least as many.
        num_processes: processes that run jobs at the same time.

    Raises:
        ConfigError: fewer than two rounds.

    Example:
        >>> sweep_seconds(0.0, [JobTimes(4.0, 5.0), JobTimes(5.0, 7.0)], num_jobs=30)
        63.0
    """
    num_rounds, left = divmod(len(jobs), num_processes)
    if num_rounds < 2 or left:
        expected = f"a multiple of {num_processes}, from {2 * num_processes}"
        raise bad_value("sweep_seconds", "jobs", len(jobs), expected)
    ends = sorted(job.end for job in jobs)
    rest_s = statistics.mean(job.rest_s for job in jobs)
    first_s = ends[num_processes - 1] - begin + rest_s
    round_s = (ends[-1] - ends[num_processes - 1]) / (num_rounds - 1) + rest_s
    return first_s + (num_jobs / num_processes - 1) * round_s


def job_rest_s(step_s: float, evaluation_s: float, steps_left: int, evaluations_left: int) -> float:
    """Seconds that the rest of a job's budget would take."""
    return step_s * steps_left + evaluation_s * evaluations_left
