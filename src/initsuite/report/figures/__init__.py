"""The figures of the report as a paper prints them. Drawn from the views, without a screen or global state."""

from collections.abc import Callable, Iterator

from initsuite.report.figures.across import aggregates, critical_difference, profiles, tuning_budget
from initsuite.report.figures.maps import heat_activation, heat_depth
from initsuite.report.figures.multiples import curves, lr_sensitivity, steps_to_target
from initsuite.report.figures.rules import scorecard
from initsuite.report.figures.style import STYLE, Drawing
from initsuite.report.verdicts.views import Views

FIGURES: dict[str, Callable[[Views], Drawing | None]] = {
    "curves": curves,
    "steps_to_target": steps_to_target,
    "lr_sensitivity": lr_sensitivity,
    "profiles": profiles,
    "heat_activation": heat_activation,
    "heat_depth": heat_depth,
    "critical_difference": critical_difference,
    "scorecard": scorecard,
    "tuning_budget": tuning_budget,
    "aggregates": aggregates,
}
"""By the name of their files."""


def drawings(views: Views) -> Iterator[Drawing]:
    """The figures that there are data for, one after the other."""
    for draw in FIGURES.values():
        drawing = draw(views)
        if drawing is not None:
            yield drawing


__all__ = ["FIGURES", "STYLE", "Drawing", "drawings"]
