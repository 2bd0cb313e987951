"""How a number is written: with its unit and its uncertainty, the same in every table and sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from initsuite.protocol.yardstick import METRICS
from initsuite.stats.intervals import CONFIDENCE, Interval

NEVER = "never"


@dataclass(frozen=True)
class Cell:
    """An entry of a table for people; as a string, all that is shown.

    Attributes:
        value: what it sorts by; None where there is nothing.
        text: what is shown first.
        detail: its interval or p-value, which a narrow column shows on the line below.
    """

    value: float | str | None
    text: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.detail}" if self.detail else self.text


BLANK = Cell(None, "")


def format_steps(interval: Interval) -> Cell:
    """A median number of steps with its interval; a miss is `never`, alone where the whole interval is.

    Example:
        >>> str(format_steps(Interval(905.0, 820.0, math.inf, 0.96875, 6)))
        '905 [820, never]'
        >>> format_steps(Interval(905.0, math.nan, math.nan, 0.5, 2))
        Cell(value=905.0, text='905', detail='[too few seeds]')
    """
    if math.isinf(interval.low):
        return Cell(math.inf, NEVER)
    return _format(interval, lambda value: NEVER if math.isinf(value) else f"{value:z.0f}")


def format_share(interval: Interval, digits: int = 3) -> Cell:
    """A probability or another share, 0 to 1, with its interval.

    Example:
        >>> str(format_share(Interval(0.8461, 0.84, 0.852, 0.95, 6)))
        '0.846 [0.840, 0.852]'
    """
    return _format(interval, lambda value: f"{value:z.{digits}f}")


def format_score(interval: Interval, metric: str) -> Cell:
    """A score with its interval, in the digits of its metric.

    Example:
        >>> str(format_score(Interval(0.01234, 0.011, 0.0139, 0.95, 6), "mse"))
        '0.0123 [0.011, 0.0139]'
    """
    return _format(interval, lambda value: format(value, METRICS[metric].written))


def format_difference(interval: Interval, metric: str) -> str:
    """How much better one score is than another, with its interval: in points, hundredths, of an accuracy.

    Args:
        interval: of the difference, turned so that a positive one is better.

    Example:
        >>> format_difference(Interval(0.005, 0.001, 0.0094, 0.95, 10), "accuracy")
        '+0.5 points [0.1, 0.9]'
        >>> format_difference(Interval(0.012, -0.01, 0.034, 0.95, 10), "mse")
        'mean squared error lower by 0.012 [-0.01, 0.034]'
    """
    if metric == "accuracy":
        points = Interval(100 * interval.estimate, 100 * interval.low, 100 * interval.high, 1.0, 0)
        cell = _format(points, lambda value: f"{value:z.1f}")
        return f"{'+' * (points.estimate >= 0)}{cell.text} points {cell.detail}"
    cell = _format(interval, lambda value: format(value, METRICS[metric].written))
    direction = "higher" if METRICS[metric].direction == "max" else "lower"
    return f"{METRICS[metric].label} {direction} by {cell.text} {cell.detail}"


def format_ratio(interval: Interval) -> Cell:
    """How many times the steps of one arm another one takes, with its interval; a miss is `never`.

    Example:
        >>> str(format_ratio(Interval(1.6, 1.5, math.inf, 0.98, 10)))
        'x 1.6 [1.5, never]'
    """
    if math.isinf(interval.low):
        return Cell(math.inf, NEVER)
    cell = _format(interval, lambda value: NEVER if math.isinf(value) else f"{value:z.3g}")
    return replace(cell, text=f"x {cell.text}") if math.isfinite(interval.estimate) else cell


def format_area(interval: Interval) -> Cell:
    """A loss area with its interval, in the unit of the loss."""
    return _format(interval, lambda value: f"{value:z.3g}")


def format_lr(lr: float) -> str:
    """A learning rate.

    Example:
        >>> format_lr(0.1), format_lr(0.000316)
        ('0.1', '0.000316')
    """
    return f"{lr:z.3g}"


def format_p(p_value: float, equals: str = "p = ") -> str:
    """A p-value.

    Args:
        equals: what stands before a number; "" under a heading that says it.

    Example:
        >>> format_p(0.00004), format_p(0.0313), format_p(0.0313, equals="")
        ('p < 0.001', 'p = 0.031', '0.031')
    """
    return "p < 0.001" if p_value < 0.001 else f"{equals}{p_value:z.2g}"


def _format(interval: Interval, write: Callable[[float], str]) -> Cell:
    if math.isnan(interval.estimate):
        return BLANK
    if not interval.exists:
        return Cell(interval.estimate, write(interval.estimate), "[too few seeds]")
    # The interval of five seeds covers a little less than the headings promise: it says so itself.
    short = f" at {100 * interval.coverage:z.3g} %" if interval.coverage < CONFIDENCE - 1e-9 else ""
    return Cell(interval.estimate, write(interval.estimate), f"[{write(interval.low)}, {write(interval.high)}]{short}")
