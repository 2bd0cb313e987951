"""The ratios that the documentation states, read from its table, so that they can be measured again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.rows import AT_MOST
from benchmark.timing import Spread
from initsuite.errors import bad_value

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
_ROW = re.compile(r"^\| `(?P<name>[\w-]+)` \|.*\| (?P<ratio>[^|]+) \|$", re.MULTILINE)
_RATIO = re.compile(r"([\d.]+)x? \(([\d.]+)x? to ([\d.]+)x?\)")


def stated(page: Path = PAGE) -> dict[str, Spread]:
    """The ratio of each row of the page's table, by the row's name.

    Raises:
        ConfigError: a page without such rows, or a row whose last column is not `MEDIANx (LOWx to HIGHx)`.
    """
    found = {}
    for row in _ROW.finditer(page.read_text()):
        ratio = _RATIO.fullmatch(row["ratio"].strip())
        if ratio is None:
            raise bad_value(page.name, row["name"], row["ratio"], "MEDIANx (LOWx to HIGHx) in the last column")
        found[row["name"]] = Spread(*map(float, ratio.groups()))
    if not found:
        raise bad_value(page.name, "rows", 0, "a table whose first column holds names of rows, each as `NAME`")
    return found


def judged(records: Sequence[Mapping[str, Any]], said: Mapping[str, Spread]) -> list[dict[str, Any]]:
    """What was measured beside what is stated; worse and better: the median is outside the stated range."""
    return [
        {
            "name": record["name"],
            "median": said[record["name"]].median,
            "low": said[record["name"]].low,
            "high": said[record["name"]].high,
            "verdict": _verdict(record, said[record["name"]]),
        }
        for record in records
        if record["name"] in said
    ]


def _verdict(record: Mapping[str, Any], said: Spread) -> str:
    low, high = ("better", "worse") if record["bound"] == AT_MOST else ("worse", "better")
    if record["median"] < said.low:
        return low
    return high if record["median"] > said.high else "as stated"
