"""The commands that make the trials of a report again: the overrides stored with them, put together into sweeps."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from initsuite.errors import written
from initsuite.spec import Stage

if TYPE_CHECKING:
    from initsuite.report.verdicts.recommendations import Report

COMMAND = "python -m initsuite.train"
_FIXED = "fixed"
FROM_PYTHON = "{}"
"""The overrides of a cell that no command can make: its model or data were given as objects."""
_EXPERIMENT = "experiment"
_OF_THE_COMMAND = (_EXPERIMENT, "protocol", "seeds")
"""Keys with one value for all jobs of a command."""
_FIRST = ("init", "activation")
"""Axes that are put together first."""
_ORDER = (
    _EXPERIMENT, "workload", "dataset", "model", "activation", "optimizer", "schedule", "init", "", "protocol", "seeds",
)  # fmt: skip
"""Choices, each before its options, then how to run; "" stands for all other keys."""

Overrides = dict[str, str]
"""Values by key, as the command line writes them."""
Sweep = dict[str, tuple[str, ...]]


def commands(report: Report) -> list[str]:
    """Shell commands that train the trials of a report again, or the seeds that some of them lack.

    The commands of an experiment name the values of its axes, as far as there are trials of them. A user's own classes
    must be importable where the command is run.
    """
    return commands_of(report.trials)


def commands_of(trials: pd.DataFrame, seeds: int | None = None) -> list[str]:
    """The same for some trials, with so many scoring seeds; None = as many as there are."""
    has_one = trials.overrides.notna() & (trials.overrides != FROM_PYTHON)
    cells = list(_cells(trials[has_one].reset_index(drop=True)))
    if seeds is not None:
        cells = [({**given, "seeds": str(seeds)}, config) for given, config in cells]
    return list(dict.fromkeys(_command(sweep) for sweep in _sweeps(cells)))


def diagnose_command(overrides: Iterable[str]) -> str:
    """The command that measures cells at step 0, from the stored overrides of each; their first sweep if they need
    several.

    Example:
        >>> diagnose_command(['{"init": "he", "model": "mlp"}', '{"init": "zero", "model": "mlp"}'])
        'initsuite diagnose model=mlp init=he,zero'
    """
    sweep = merged([json.loads(text) for text in overrides])[0]
    return " ".join(["initsuite diagnose", *_parts(sweep)])


def without_command(report: Report) -> str:
    """What to say about trials whose overrides are not stored; "" where all trials have theirs."""
    number = int(report.trials.overrides.isna().sum())
    if not number and (report.trials.overrides == FROM_PYTHON).any():
        return "Trials of initsuite.compare are made again by the same call, in Python."
    if not number:
        return ""
    return (
        f"{number:,} trials were stored by an older version, without the overrides that make them, so no command is "
        "shown for them. Have the overrides worked out, once, with: python -m initsuite.results migrate RESULTS_DIR"
    )


def merged(cells: Sequence[Overrides]) -> list[Sweep]:
    """As few sweeps as give these cells and no others: values of one key are put together where all else agrees.

    Example:
        >>> merged([{"init": "he", "model.depth": "2"}, {"init": "zero", "model.depth": "2"}])
        [{'init': ('he', 'zero'), 'model.depth': ('2',)}]
    """
    found: list[Sweep] = [{key: (value,) for key, value in cell.items()} for cell in cells]
    for key in dict.fromkeys([*_FIRST, *(key for cell in cells for key in cell if key not in _OF_THE_COMMAND)]):
        groups: dict[Any, list[Sweep]] = {}
        for sweep in found:
            others = frozenset((name, values) for name, values in sweep.items() if name != key)
            groups.setdefault((key in sweep, others), []).append(sweep)
        order = list(dict.fromkeys(cell.get(key, "") for cell in cells))
        found = [
            {**group[0], key: tuple(sorted({value for sweep in group for value in sweep[key]}, key=order.index))}
            if is_there
            else group[0]
            for (is_there, _), group in groups.items()
        ]
    return found


def _sweeps(cells: Sequence[tuple[Overrides, Mapping[str, Any]]]) -> Iterator[Sweep]:
    """The cells as sweeps, with the usual value of an option where others differ in it: `model.depth=2,8` needs both.

    Args:
        cells: the overrides of each, and its configuration.
    """
    options = dict.fromkeys(key for given, _ in cells for key in given if "." in key)
    filled = [given if _EXPERIMENT in given else {**_usual(options, config), **given} for given, config in cells]
    given_of = {frozenset(whole.items()): given for whole, (given, _) in zip(filled, cells, strict=True)}
    for sweep in merged(filled):
        parts = [given_of[frozenset(zip(sweep, values, strict=True))] for values in itertools.product(*sweep.values())]
        yield {key: values for key, values in sweep.items() if any(key in given for given in parts)}


def _usual(options: Iterable[str], config: Mapping[str, Any]) -> Overrides:
    """The values that a configuration has for these options, where it has any."""
    found = {}
    for option in options:
        value: Any = config
        for part in option.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            found[option] = written(value)
    return found


def _cells(trials: pd.DataFrame) -> Iterator[tuple[Overrides, Mapping[str, Any]]]:
    """The overrides of each cell under each protocol with how to run it, and its configuration.

    The cells of an experiment get as many seeds as any of them has, so that an interrupted one is completed.
    """
    overrides = {index: json.loads(text) for index, text in trials.overrides.items()}
    lr = trials.lr.map(written).where(trials.protocol == _FIXED, "")
    experiment = pd.Series({index: found.get(_EXPERIMENT) for index, found in overrides.items()}, dtype=object)
    whole = [experiment.fillna(trials.overrides), trials.protocol, lr]
    seeds = (trials.seed + 1).where(trials.stage == Stage.SCORE, 0).groupby(whole).transform("max")
    table = pd.DataFrame({"text": trials.overrides, "protocol": trials.protocol, "lr": lr, "seeds": seeds})
    for index in table.drop_duplicates(["text", "protocol", "lr"]).index:
        run = {"protocol": table.protocol[index], "optimizer.lr": lr[index], "seeds": str(seeds[index] or "")}
        yield overrides[index] | {key: value for key, value in run.items() if value}, json.loads(trials.config[index])


def _command(sweep: Sweep) -> str:
    is_sweep = _EXPERIMENT in sweep or any(len(values) > 1 for values in sweep.values())
    return " ".join([COMMAND, *(["-m"] if is_sweep else []), *_parts(sweep)])


def _parts(sweep: Sweep) -> list[str]:
    return [shlex.quote(f"{key}={','.join(sweep[key])}") for key in sorted(sweep, key=_place)]


def _place(key: str) -> tuple[int, bool]:
    group = key.lstrip("+").partition(".")[0]
    return _ORDER.index(group if group in _ORDER else ""), "." in key
