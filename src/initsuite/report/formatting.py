"""How a number is written: with its unit and its uncertainty, the same in every table and sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
    return _format(interval, lambda value: NEVER if math.isinf(value) else f"{value:.0f}")


def format_share(interval: Interval, digits: int = 3) -> Cell:
    """A probability or another share, 0 to 1, with its interval.

    Example:
        >>> str(format_share(Interval(0.8461, 0.84, 0.852, 0.95, 6)))
        '0.846 [0.840, 0.852]'
    """
    return _format(interval, lambda value: f"{value:.{digits}f}")


def format_score(interval: Interval, metric: str) -> Cell:
    """A score with its interval, in the digits of its metric.

    Example:
        >>> str(format_score(Interval(0.01234, 0.011, 0.0139, 0.95, 6), "mse"))
        '0.0123 [0.011, 0.0139]'
    """
    return _format(interval, lambda value: format(value, METRICS[metric].written))


def format_area(interval: Interval) -> Cell:
    """A loss area with its interval, in the unit of the loss."""
    return _format(interval, lambda value: f"{value:.3g}")


def format_lr(lr: float) -> str:
    """A learning rate.

    Example:
        >>> format_lr(0.1), format_lr(0.000316)
        ('0.1', '0.000316')
    """
    return f"{lr:.3g}"


def format_p(p_value: float, equals: str = "p = ") -> str:
    """A p-value.

    Args:
        equals: what stands before a number; "" under a heading that says it.

    Example:
        >>> format_p(0.00004), format_p(0.0313), format_p(0.0313, equals="")
        ('p < 0.001', 'p = 0.031', '0.031')
    """
    return "p < 0.001" if p_value < 0.001 else f"{equals}{p_value:.2g}"


def _format(interval: Interval, write: Callable[[float], str]) -> Cell:
    if math.isnan(interval.estimate):
        return BLANK
    if not interval.exists:
        return Cell(interval.estimate, write(interval.estimate), "[too few seeds]")
    # The interval of five seeds covers a little less than the headings promise: it says so itself.
    short = f" at {100 * interval.coverage:.3g} %" if interval.coverage < CONFIDENCE - 1e-9 else ""
    return Cell(interval.estimate, write(interval.estimate), f"[{write(interval.low)}, {write(interval.high)}]{short}")
