"""The figures of the report as a paper prints them. Drawn from the views, without a screen or global state."""

from collections.abc import Callable, Iterator

import matplotlib as mpl

from initsuite.report.figures.across import aggregates, critical_difference, profiles, tuning_budget
from initsuite.report.figures.maps import heat_activation, heat_depth
from initsuite.report.figures.multiples import curves, lr_sensitivity, steps_to_target
from initsuite.report.figures.rules import scorecard
from initsuite.report.figures.scores import final_scores
from initsuite.report.figures.style import STYLE, Drawing
from initsuite.report.figures.worth import worth
from initsuite.report.verdicts.views import Views

_DRAWERS = (
    curves, steps_to_target, final_scores, lr_sensitivity, profiles, heat_activation, heat_depth, critical_difference,
    scorecard, tuning_budget, aggregates, worth,
)  # fmt: skip
FIGURES: dict[str, Callable[[Views], Drawing | None]] = {draw.__name__: draw for draw in _DRAWERS}
"""The figures by the name of their files."""


def drawings(views: Views) -> Iterator[Drawing]:
    """The figures that there are data for, in `STYLE`."""
    for draw in FIGURES.values():
        with mpl.rc_context(STYLE):
            drawing = draw(views)
        if drawing is not None:
            yield drawing
