"""The list of slow tests names tests that there are."""

from __future__ import annotations

from pathlib import Path

from support.times import slow_functions

REPOSITORY = Path(__file__).parents[1]


def test_every_function_that_is_called_slow_is_there() -> None:
    found = slow_functions()
    assert len(found) > 100
    places = [name.partition("::") for name in sorted(found)]
    for path, _, name in places:
        text = (REPOSITORY / path).read_text(encoding="utf-8")
        assert path.startswith("src/") or f"def {name.rpartition('::')[2]}(" in text, f"{path} has no {name}"
