"""Numbers in words."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

import initsuite.report
from initsuite.protocol.yardstick import METRICS
from initsuite.report.formatting import BLANK, Cell, format_difference, format_share, format_steps
from initsuite.report.page.across import heat_charts
from initsuite.report.verdicts.worth_summary import worth_in_words
from initsuite.stats.intervals import Interval

REPORT = Path(next(iter(initsuite.report.__path__)))
LITTLE = Interval(-0.0001, -0.0004, 0.2, 0.95, 6)


def test_numbers_carry_their_uncertainty() -> None:
    assert str(format_steps(Interval(860.0, 800.0, 920.0, 0.9375, 5))) == "860 [800, 920] at 93.8 %"
    assert format_steps(Interval(math.inf, math.inf, math.inf, 0.97, 6)) == Cell(math.inf, "never")
    assert format_steps(Interval(math.inf, 300.0, math.inf, 0.97, 6)) == Cell(math.inf, "never", "[300, never]")
    assert format_share(Interval(0.8, math.nan, math.nan, 0.0, 1)) == Cell(0.8, "0.800", "[too few seeds]")
    assert format_share(Interval(math.nan, math.nan, math.nan, 0.0, 0)) == BLANK
    assert str(BLANK) == ""


def test_a_number_that_rounds_to_nothing_has_no_sign() -> None:
    assert str(format_share(LITTLE, digits=2)) == "0.00 [0.00, 0.20]"
    assert format_difference(LITTLE, "accuracy").startswith("0.0 points [0.0, 20.0]")
    assert [format(-0.0, metric.written) for metric in METRICS.values()] == ["0.000", *["0"] * 5]
    row = {"panel": "all", "init": "he", "column": 2, "score": -0.001, "low": -0.0004, "high": 0.1}
    ((_, chart),) = heat_charts(pd.DataFrame([{**row, "num_contexts": 1, "num_seeds": 5}]), "depth", "")
    assert (chart["data"][0]["text"], chart["data"][0]["customdata"]) == (
        [["0.00"]],
        [["-0.001 [0.000, 0.100], 5 seeds"]],
    )
    worth = dict.fromkeys(("worth", "worth_low", "worth_over_default", "worth_over_default_low"), -0.01)
    worth |= dict.fromkeys(("worth_high", "worth_over_default_high"), 0.3)
    found = pd.DataFrame([{**worth, "has_norm": True, "optimizer": "sgd", "num_networks": 1, "unit": "points"}])
    assert "-0" not in worth_in_words(found)


def unsigned(source: str) -> Iterator[str]:
    """Formats of a source that round a number and keep the sign of what becomes zero."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
            spec = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.format_spec.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            spec = "".join(re.findall(r"^\{:([^}]*)\}$", node.value))
        else:
            continue
        if re.search(r"\.\d+[fge%]$", spec) and "z" not in spec:
            yield spec


def test_every_format_of_the_report_drops_that_sign() -> None:
    """Written with z before the precision; `short` of the page makes whole numbers of what it rounds to zero."""
    found = {path.stem: list(unsigned(path.read_text(encoding="utf-8"))) for path in REPORT.rglob("*.py")}
    assert {name: formats for name, formats in found.items() if formats} == {"cells": [".0g"]}


def test_a_format_that_keeps_it_is_found() -> None:
    source = "f'{x:.2f} {y:z.2f} {n:{width}d} {x:.{digits}g}'; '{:.3f}'.format; '{:z.3f}'.format"
    assert sorted(unsigned(source)) == [".0g", ".2f", ".3f"]
