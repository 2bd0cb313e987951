"""From the resolved configuration of a cell back to the overrides of a command: what differs from the files of conf.

They are stored with each trial, and are part of no id.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from initsuite.config.groups import PLACES, shipped_file
from initsuite.config.trees import followed, paths
from initsuite.errors import written
from initsuite.spec import CONTEXT_AXES

Overrides = dict[str, str]
"""Values by key, as the command line writes them."""
GROUPS = (*CONTEXT_AXES, "schedule", "init")
_DEFAULT = {"schedule": "constant"}
"""Choices that need not be written down."""
_SKIPPED = {
    "dataset": {"levels", "chance", "direction"},  # no id depends on them, or only the metric decides them
    "optimizer": {"lr"},  # it belongs to the trial
}
_VALUE = re.compile(r"(?:\[[^]]*\]|[^,\s])+")
"""One of the values of a sweep; commas in brackets are part of it."""


def overrides_text(config: Mapping[str, Any], experiment: str) -> str:
    """The overrides of a cell as the store holds them: a JSON object.

    Args:
        config: the cell's, resolved.
        experiment: the name that it is trained under. A cell that this file of conf/experiment sweeps has the name and
            the values of the swept axes; any other cell has its choices, and the options that differ from their files
            (an option that was deleted with `~` leaves no trace).
    """
    found = _choices_and_options(config)
    return json.dumps(_plan(experiment).get(frozenset(found.items()), found), sort_keys=True)


def _choices_and_options(config: Mapping[str, Any]) -> Overrides:
    found: Overrides = {}
    for group in GROUPS:
        tree = config.get(group)
        if isinstance(tree, dict) and "name" in tree:
            found |= _group(group, tree, config)
    dataset = config.get("dataset") or {}
    usual = {**shipped_file("dataset", str(dataset.get("name"))), **dataset}
    for key in ("batch_size", "max_steps", "eval_every"):
        if key in config and config[key] != usual.get(key):
            found[key] = written(config[key])
    return found


def _group(group: str, tree: dict[str, Any], config: Mapping[str, Any]) -> Overrides:
    name = str(tree["name"])
    choice = name if shipped_file(group, name) else "custom"
    file = shipped_file(group, choice)
    usual = _flat(file)
    found = {} if _DEFAULT.get(group) == choice else {group: choice}
    skipped = PLACES | _SKIPPED.get(group, set()) | {"requires"}
    if tree.get("requires") != file.get("requires"):  # its keys have dots of their own: a whole
        found[f"{'' if 'requires' in file else '+'}{group}.requires"] = written(tree.get("requires"))
    for key, value in _flat({key: value for key, value in tree.items() if key not in skipped}).items():
        if key in usual and written(followed(usual[key], config)) == written(value):
            continue
        is_new = key not in usual and key.partition(".")[0] not in file
        found[f"{'+' if is_new else ''}{group}.{key}"] = written(value)
    return found


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    """The leaves of a tree by dotted key."""
    return {".".join(path): value for path, value in paths(tree)}


def planned_sweeps(sweeper: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The axes of each sweep of an experiment, shared ones included, from the node `hydra.sweeper` of its file.

    Example:
        >>> planned_sweeps({"params": {"seeds": "1,2"}, "sweeps": [{"init": "he"}, {"init": "zero"}]})
        [{'seeds': '1,2', 'init': 'he'}, {'seeds': '1,2', 'init': 'zero'}]
    """
    return [{**(sweeper.get("params") or {}), **own} for own in sweeper.get("sweeps") or [{}]]


@functools.cache
def _plan(experiment: str) -> dict[frozenset[tuple[str, str]], Overrides]:
    """The overrides of each cell that an experiment sweeps, by the choices and options of the cell.

    Empty for a name without a file. Composing the sweep would give the same, but takes seconds for hundreds of cells.
    """
    tree = shipped_file("experiment", experiment)
    if not tree:
        return {}
    sweeps = [
        {key: _VALUE.findall(value if isinstance(value, str) else written(value)) for key, value in axes.items()}
        for axes in planned_sweeps((tree.get("hydra") or {}).get("sweeper") or {})
    ]
    counts = {key: len({value for axes in sweeps for value in axes.get(key, ())}) for axes in sweeps for key in axes}
    planned = {}
    for axes in sweeps:
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            swept = {key: value for key, value in chosen.items() if counts[key] > 1}
            planned[frozenset(_cell(chosen, tree).items())] = {"experiment": experiment, **swept}
    return planned


def _cell(chosen: Mapping[str, str], tree: Mapping[str, Any]) -> Overrides:
    """A cell of an experiment as `_choices_and_options` would write it.

    Args:
        chosen: the values of its axes.
        tree: the file of the experiment.
    """
    choices, options = {}, {}
    for file in (shipped_file("", "config"), shipped_file("workload", chosen.get("workload", "")), tree):
        choices |= _choices_of(file)
        options |= _flat({group: file[group] for group in GROUPS if group in file})
    choices |= {key: value for key, value in chosen.items() if key in GROUPS}
    options |= {key: value for key, value in chosen.items() if key not in (*GROUPS, "workload")}
    return _normal_form(choices, options)


def _choices_of(file: Mapping[str, Any]) -> dict[str, str]:
    """By group, what the defaults list of a file chooses."""
    entries = [entry for entry in file.get("defaults") or [] if isinstance(entry, dict)]
    named = {key.removeprefix("override ").strip("/ "): value for entry in entries for key, value in entry.items()}
    return {key: str(value) for key, value in named.items() if key in GROUPS}


def _normal_form(choices: Mapping[str, str], options: Mapping[str, Any]) -> Overrides:
    """As `_choices_and_options` would write them: without options that repeat the files."""
    found = {group: name for group, name in choices.items() if _DEFAULT.get(group) != name}
    for key, value in options.items():
        group, _, option = key.partition(".")
        usual = _flat(shipped_file(group, choices.get(group, "")))
        text = value if isinstance(value, str) else written(value)
        if not (option in usual and written(usual[option]) == text):
            found[key] = text
    return found
