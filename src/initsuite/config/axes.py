"""The sweeps of an experiment: every combination of some values, or several such sets, one after another.

An experiment whose choices do not all fit together names its axes in `hydra.sweeper.sweeps`, a list, beside those that
all of them share, in `hydra.sweeper.params`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from initsuite.errors import bad_value

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override

MOST_COMBINATIONS = 100_000


def chosen_sweeps(
    sweeper: Mapping[str, Any], arguments: Sequence[str], loader: ConfigLoader | None = None
) -> list[list[Override]]:
    """The overrides of each sweep, with those of the command line.

    A key of the command line replaces one of `params`. It narrows one of `sweeps`: what remains are the values in both,
    and the sweeps that have one.

    Raises:
        ConfigError: a value that no sweep has together with the other ones; an axis without a value; more combinations
            than anybody trains.
        HydraException: an override that Hydra refuses.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser  # late: overrides are written without Hydra

    parser = OverridesParser.create(config_loader=loader)
    _check_size(parser.parse_overrides(list(arguments)))
    shared = parser.parse_overrides([*_written(sweeper.get("params") or {}), *arguments])
    asked = {override.get_key_element(): _values(override) for override in parser.parse_overrides(list(arguments))}
    planned = [parser.parse_overrides(_written(own)) for own in sweeper.get("sweeps") or [{}]]
    axes = [{override.get_key_element(): _values(override) for override in own} for own in planned]
    narrowed = [{key: _shared(values, asked.get(key)) for key, values in own.items()} for own in axes]
    kept = [own for own in narrowed if all(own.values())]
    for key in dict.fromkeys(key for own in axes for key in own if key in asked):
        _check_has_all(kept, axes, key, asked[key])
    chosen = [
        [override for override in shared if override.get_key_element() not in own]
        + parser.parse_overrides(_written({key: ",".join(values) for key, values in own.items()}))
        for own in kept
    ]
    for sweep in chosen:
        _check_size(sweep)
    return chosen


def _check_size(overrides: Sequence[Override]) -> None:
    """Refuse a sweep without a combination, and one that it would take minutes to list."""
    total = 1
    for override in overrides:
        if not override.is_discrete_sweep():
            continue
        number = sum(1 for _ in itertools.islice(override.sweep_iterator(), MOST_COMBINATIONS + 1))
        key = override.get_key_element()
        if not number:
            raise bad_value("sweep", key, override.get_value_string(), "at least one value", "No value fits this.")
        total *= number
        if total > MOST_COMBINATIONS:
            expected = f"at most {MOST_COMBINATIONS:,} combinations in a sweep"
            raise bad_value(
                "sweep", key, override.get_value_string(), expected, "Start several, with fewer values each."
            )


def _written(axes: Mapping[str, str]) -> list[str]:
    return [f"{key}={values}" for key, values in axes.items()]


def _values(override: Override) -> list[str]:
    if override.is_discrete_sweep():
        return list(override.sweep_string_iterator())
    return [override.get_value_element_as_str()]


def _shared(values: list[str], asked: list[str] | None) -> list[str]:
    """The values of an axis that the command line asks for; all of them where it does not name the axis."""
    return [value for value in values if asked is None or value in asked]


def _check_has_all(
    kept: Sequence[Mapping[str, list[str]]], axes: Sequence[Mapping[str, list[str]]], key: str, asked: Sequence[str]
) -> None:
    there = {value for own in kept for value in own.get(key, asked)}
    for value in asked:
        if value not in there:
            known = ", ".join(dict.fromkeys(known for own in axes for known in own.get(key, ())))
            expected = f"one that this experiment sweeps together with the other choices; it has {known}"
            raise bad_value("sweep", key, value, expected, "To sweep other values, leave out experiment=NAME.")
