"""How a number is written: with its unit and its uncertainty, the same in every table and sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from initsuite.protocol.yardstick import METRICS
from initsuite.stats.intervals import CONFIDENCE, Interval

NEVER = "never"
BLANK = ""


def format_steps(interval: Interval) -> str:
    """A median number of steps with its interval; a miss is `never`, alone where the whole interval is.

    Example:
        >>> format_steps(Interval(905.0, 820.0, math.inf, 0.96875, 6))
        '905 [820, never]'
        >>> format_steps(Interval(905.0, math.nan, math.nan, 0.5, 2))
        '905 [too few seeds]'
    """
    if math.isinf(interval.low):
        return NEVER
    return _format(interval, lambda value: NEVER if math.isinf(value) else f"{value:.0f}")


def format_share(interval: Interval) -> str:
    """A probability or another share, 0 to 1, with its interval.

    Example:
        >>> format_share(Interval(0.8461, 0.84, 0.852, 0.95, 6))
        '0.846 [0.840, 0.852]'
    """
    return _format(interval, lambda value: f"{value:.3f}")


def format_score(interval: Interval, metric: str) -> str:
    """A score with its interval, in the digits of its metric.

    Example:
        >>> format_score(Interval(0.01234, 0.011, 0.0139, 0.95, 6), "mse")
        '0.0123 [0.011, 0.0139]'
    """
    return _format(interval, lambda value: format(value, METRICS[metric].written))


def format_area(interval: Interval) -> str:
    """A loss area with its interval, in the unit of the loss."""
    return _format(interval, lambda value: f"{value:.3g}")


def format_lr(lr: float) -> str:
    """A learning rate.

    Example:
        >>> format_lr(0.1), format_lr(0.000316)
        ('0.1', '0.000316')
    """
    return f"{lr:.3g}"


def format_p(p_value: float) -> str:
    """A p-value.

    Example:
        >>> format_p(0.00004), format_p(0.0313)
        ('p < 0.001', 'p = 0.031')
    """
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def format_count(number: int, what: str) -> str:
    """How many there are.

    Example:
        >>> format_count(1, "seed"), format_count(6, "scoring seed")
        ('1 seed', '6 scoring seeds')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def format_counts(numbers: Iterable[int], what: str) -> str:
    """How many there are of each, from the least to the most.

    Example:
        >>> format_counts([10, 6, 6], "seed"), format_counts([1, 1], "seed")
        ('6 to 10 seeds', '1 seed')
    """
    found = sorted({int(number) for number in numbers})
    span = "" if len(found) == 1 else f"{found[0]} to "
    return span + format_count(found[-1], what)


def format_names(names: list[str]) -> str:
    """A list as a person writes it.

    Example:
        >>> format_names(["he", "xavier", "zero"])
        'he, xavier and zero'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _format(interval: Interval, write: Callable[[float], str]) -> str:
    if math.isnan(interval.estimate):
        return BLANK
    if not interval.exists:
        return f"{write(interval.estimate)} [too few seeds]"
    bounds = f"[{write(interval.low)}, {write(interval.high)}]"
    # An interval of five seeds is a little narrower than the headings promise: it says so itself.
    short = f" at {100 * interval.coverage:.3g} %" if interval.coverage < CONFIDENCE - 1e-9 else ""
    return f"{write(interval.estimate)} {bounds}{short}"
