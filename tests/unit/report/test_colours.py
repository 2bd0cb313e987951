"""The look of an initializer."""

from __future__ import annotations

from initsuite.report.colours import COLOURS, colour, line_style


def test_colours_are_distinct_and_depend_on_the_name_alone() -> None:
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert colour("somebodys_own") == colour("somebodys_own") not in COLOURS.values()
    assert (line_style("he"), line_style("somebodys_own") != "-") == ("-", True)
