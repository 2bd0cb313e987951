"""From the stored configuration of a cell back to the overrides of a command: what differs from the files of conf."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from initsuite.config.groups import PLACES, conf_dir

Overrides = dict[str, str]
"""Values by key, as the command line writes them."""
GROUPS = ("dataset", "model", "activation", "optimizer", "schedule", "init")
_DEFAULT = {"schedule": "constant"}
"""Choices that a reader need not be told."""
_FROZEN = ("levels", "chance", "direction")
"""Of a data set: no id depends on them, or only the metric decides them."""
_CUSTOM = "custom"
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_PLAIN = re.compile(r"[\w.+-]+")


def overrides_of(config: Mapping[str, Any]) -> Overrides:
    """The overrides that give a cell of this configuration.

    Args:
        config: of a stored trial, resolved.
    """
    found: Overrides = {}
    for group in GROUPS:
        tree = config.get(group)
        if isinstance(tree, Mapping) and "name" in tree:
            found |= _group(group, tree, config)
    dataset = config.get("dataset") or {}
    for key in ("batch_size", "max_steps", "eval_every"):
        if key in config and config[key] != dataset.get(key, _file("dataset", str(dataset.get("name"))).get(key)):
            found[key] = written(config[key])
    return found


def normal_form(choices: Mapping[str, str], flat: Mapping[str, Any]) -> Overrides:
    """Choices and options as `overrides_of` would write them: without options that say what the files say.

    Args:
        choices: by group.
        flat: options by dotted key, plain values or texts.
    """
    found = {group: name for group, name in choices.items() if _DEFAULT.get(group) != name}
    for key, value in flat.items():
        group, _, option = key.partition(".")
        file = _file(group, choices.get(group, "")) if option else {}
        text = value if isinstance(value, str) else written(value)
        if not (option in file and written(file[option]) == text):
            found[key] = text
    return found


def usual_value(key: str, overrides: Mapping[str, str]) -> str | None:
    """What the files say of an option, under the choices of these overrides; None where they do not, or refer to it.

    Example:
        >>> usual_value("model.depth", {"model": "mlp"})
        '2'
    """
    group, _, option = key.partition(".")
    value = dict(flatten(_file(group, overrides.get(group, "")))).get(option)
    is_said = value is not None and value != "???" and "${" not in str(value)
    return written(value) if option and is_said else None


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree by dotted key."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def written(value: Any) -> str:
    """A value in Hydra's grammar.

    Example:
        >>> written([0.1, 1.0]), written(None), written(True), written("a b")
        ('[0.1,1.0]', 'null', 'true', "'a b'")
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(written(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or not isinstance(yaml.safe_load(value), str)):
        return "'" + re.sub(r"(\\*)'", r"\1\1\\'", value) + "'"
    return str(value)


def load(*parts: str) -> dict[str, Any]:
    """A file of conf; empty where there is none."""
    path = conf_dir().joinpath(*parts[:-1], f"{parts[-1]}.yaml")
    is_name = all(_PLAIN.fullmatch(part) for part in parts)
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if is_name and path.is_file() else {}


def _group(group: str, tree: Mapping[str, Any], config: Mapping[str, Any]) -> Overrides:
    name = str(tree["name"])
    file = _file(group, name)
    choice = name if file else _CUSTOM
    if not file:
        file = _file(group, _CUSTOM)
    found = {} if _DEFAULT.get(group) == choice else {group: choice if _PLAIN.fullmatch(choice) else written(choice)}
    skipped = {*PLACES, *(_FROZEN if group == "dataset" else ()), *(("requires",) if group == "init" else ())}
    if group == "optimizer":
        skipped.add("lr")
    usual = dict(flatten(file))
    for key, value in flatten({key: value for key, value in tree.items() if key not in skipped}):
        if key in usual and written(_resolved(usual[key], config)) == written(value):
            continue
        is_new = key not in usual and key.partition(".")[0] not in file
        found[f"{'+' if is_new else ''}{group}.{key}"] = written(value)
    return found


def _resolved(value: Any, config: Mapping[str, Any]) -> Any:
    """A value of a file; one that refers to another key is looked up in the configuration."""
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return value
    found: Any = config
    for key in match.group(1).split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


@functools.cache
def _file(group: str, name: str) -> dict[str, Any]:
    return load(group, name) if group in GROUPS else {}
