"""The commands that make the trials of a report again: by experiment where one is known, else choice by choice."""

from __future__ import annotations

import functools
import itertools
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from initsuite.report.page.overrides import (
    GROUPS,
    Overrides,
    flatten,
    load,
    normal_form,
    overrides_of,
    usual_value,
    written,
)
from initsuite.report.verdicts.recommendations import Report
from initsuite.spec import Stage

COMMAND = "python -m initsuite.train"
_FIXED = "fixed"
_OF_THE_COMMAND = ("protocol", "seeds")
"""Keys that are one for all jobs of a command."""
_FIRST = ("init", "activation")
"""Axes that are put together first."""


@dataclass(frozen=True)
class _Cell:
    """A stored cell under a protocol.

    Attributes:
        lr: of all arms, under `protocol=fixed`; "" where it is tuned.
        num_seeds: scoring seeds, 0 where there are none yet.
    """

    experiment: str
    protocol: str
    lr: str
    overrides: Overrides
    num_seeds: int


def commands(report: Report) -> list[str]:
    """Shell commands that train the trials of a report again, or what is missing of them.

    Trials of an experiment of conf/experiment are made by its name; others by their choices and by the options that
    differ from the files of conf. A user's own classes must be importable where the command is run.
    """
    cells = list(_cells(report.trials))
    found, explicit = [], []
    for (name, protocol, lr), group in _grouped(cells, lambda cell: (cell.experiment, cell.protocol, cell.lr)):
        planned = experiment_plan(name) if name else {}
        inside = [cell for cell in group if _key(cell.overrides) in planned]
        explicit += [cell for cell in group if _key(cell.overrides) not in planned]
        if inside:
            seeds = max(cell.num_seeds for cell in inside)
            narrowed = _narrowed([planned[_key(cell.overrides)] for cell in inside], list(planned.values()))
            found.append({"experiment": name, **narrowed, **_run(protocol, lr, seeds)})
    rest = [{**cell.overrides, **_run(cell.protocol, cell.lr, cell.num_seeds)} for cell in explicit]
    rest = [without_usual(overrides) for overrides in merged(with_usual(rest))]
    distinct = {_key(overrides): overrides for overrides in [*found, *rest]}
    return [_command(overrides) for overrides in distinct.values()]


def experiment_plan(name: str) -> dict[frozenset[tuple[str, str]], Overrides]:
    """What the sweep of an experiment asks for: its choices of each axis, by the overrides of the cell that they make.

    Empty for a name without a file in conf/experiment.
    """
    tree = load("experiment", name)
    if not tree:
        return {}
    params = ((tree.get("hydra") or {}).get("sweeper") or {}).get("params") or {}
    axes = {key: _split(value if isinstance(value, str) else written(value)) for key, value in params.items()}
    usual, _ = _defaults(load("config"))
    workloads = functools.cache(lambda workload: _defaults(load("workload", workload)))
    planned = {}
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        choices, flat = dict(usual), {}
        for part in (workloads(chosen.get("workload", "")), _defaults(tree)):
            choices, flat = choices | part[0], flat | part[1]
        choices |= {key: value for key, value in chosen.items() if key in GROUPS}
        flat |= {key: value for key, value in chosen.items() if key not in GROUPS and key != "workload"}
        planned[_key(normal_form(choices, flat))] = chosen
    return planned


def merged(cells: Sequence[Mapping[str, str]]) -> list[Overrides]:
    """As few sweeps as give these cells and no others: values of one key are put together where all else agrees.

    Example:
        >>> merged([{"init": "he", "model.depth": "2"}, {"init": "zero", "model.depth": "2"}])
        [{'init': 'he,zero', 'model.depth': '2'}]
    """
    found = [dict(cell) for cell in cells]
    keys = dict.fromkeys([*_FIRST, *(key for cell in found for key in cell)])
    for key in keys:
        if key in _OF_THE_COMMAND:
            continue
        groups: dict[Any, list[Overrides]] = {}
        for cell in found:
            others = frozenset((name, value) for name, value in cell.items() if name != key)
            groups.setdefault((key in cell, others), []).append(cell)
        order = list(dict.fromkeys(cell.get(key, "") for cell in found))
        found = [
            {**group[0], key: ",".join(sorted({cell[key] for cell in group}, key=order.index))}
            if is_there
            else group[0]
            for (is_there, _), group in groups.items()
        ]
    return found


def with_usual(cells: Sequence[Overrides]) -> list[Overrides]:
    """The same cells, with the value of the file where only others say an option: `model.depth=2,8` needs both."""
    said = dict.fromkeys(key for cell in cells for key in cell)
    return [{**{key: usual for key in said if (usual := usual_value(key, cell)) is not None}, **cell} for cell in cells]


def without_usual(overrides: Overrides) -> Overrides:
    """The same command without the options whose one value is that of the file."""
    return {key: value for key, value in overrides.items() if value != usual_value(key, overrides)}


def _cells(trials: pd.DataFrame) -> Iterator[_Cell]:
    lr = trials.lr.map(lambda value: f"{value:g}").where(trials.protocol == _FIXED, "")
    grouped = trials.assign(fixed_lr=lr, experiment=trials.experiment.fillna(""))
    known: dict[str, Overrides] = {}
    for (name, protocol, fixed_lr, _), rows in grouped.groupby(
        ["experiment", "protocol", "fixed_lr", "cell_id"], sort=False
    ):
        text = str(rows.config.iloc[-1] or "{}")
        if text not in known:
            known[text] = overrides_of(json.loads(text))
        seeds = rows.seed[rows.stage == Stage.SCORE]
        num_seeds = 0 if seeds.empty else int(seeds.max()) + 1
        yield _Cell(str(name), str(protocol), str(fixed_lr), known[text], num_seeds)


def _defaults(tree: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Choices and options of a configuration file."""
    choices = {}
    for entry in tree.get("defaults") or []:
        if isinstance(entry, Mapping):
            (key, value), *_ = entry.items()
            choices[str(key).removeprefix("override").strip().removeprefix("/")] = value
    options = {key: value for key, value in tree.items() if key in GROUPS}
    choices = {key: str(value) for key, value in choices.items() if key in GROUPS}
    return choices, dict(flatten(options))


def _narrowed(used: Sequence[Overrides], planned: Sequence[Overrides]) -> Overrides:
    """The axes of which a part was run, if what was run is all combinations of such parts."""
    axes = {key: list(dict.fromkeys(combination[key] for combination in planned)) for key in planned[0]}
    parts = {key: [value for value in axes[key] if any(chosen[key] == value for chosen in used)] for key in axes}
    size = 1
    for values in parts.values():
        size *= len(values)
    if size != len(used):
        return {}
    return {key: ",".join(parts[key]) for key in axes if parts[key] != axes[key]}


def _run(protocol: str, lr: str, num_seeds: int) -> Overrides:
    found = {"protocol": protocol}
    if lr:
        found["optimizer.lr"] = lr
    return {**found, "seeds": str(num_seeds)} if num_seeds else found


def _command(overrides: Mapping[str, str]) -> str:
    parts = [shlex.quote(f"{key}={overrides[key]}") for key in sorted(overrides, key=_place)]
    is_sweep = "experiment" in overrides or any(len(_split(value)) > 1 for value in overrides.values())
    return " ".join([COMMAND, *(["-m"] if is_sweep else []), *parts])


def _place(key: str) -> tuple[int, bool]:
    """Choices, each before its options, then how to run."""
    order = ("experiment", "workload", *GROUPS, "", *_OF_THE_COMMAND)
    group = key.lstrip("+").partition(".")[0]
    return order.index(group if group in order else ""), "." in key


def _key(overrides: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(overrides.items())


def _grouped(cells: Iterable[_Cell], key: Any) -> Iterator[tuple[tuple[str, str, str], list[_Cell]]]:
    groups: dict[tuple[str, str, str], list[_Cell]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    yield from groups.items()


def _split(text: str) -> list[str]:
    """The values of a sweep: split at commas that are inside of no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for mark in text:
        if quote:
            quote = "" if mark == quote else quote
        elif mark in "'\"":
            quote = mark
        depth += (mark in "[{(") - (mark in "]})") if not quote else 0
        if mark == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += mark
    return [part.strip() for part in parts]
