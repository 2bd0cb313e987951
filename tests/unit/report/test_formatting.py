"""Numbers in words."""

from __future__ import annotations

import math

from initsuite.report.formatting import BLANK, Cell, format_share, format_steps
from initsuite.stats.intervals import Interval


def test_numbers_carry_their_uncertainty() -> None:
    assert str(format_steps(Interval(860.0, 800.0, 920.0, 0.9375, 5))) == "860 [800, 920] at 93.8 %"
    assert format_steps(Interval(math.inf, math.inf, math.inf, 0.97, 6)) == Cell(math.inf, "never")
    assert format_steps(Interval(math.inf, 300.0, math.inf, 0.97, 6)) == Cell(math.inf, "never", "[300, never]")
    assert format_share(Interval(0.8, math.nan, math.nan, 0.0, 1)) == Cell(0.8, "0.800", "[too few seeds]")
    assert format_share(Interval(math.nan, math.nan, math.nan, 0.0, 0)) == BLANK
    assert str(BLANK) == ""
