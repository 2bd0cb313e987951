"""One choice in a configuration group: the class it names, its options, its identity and its label."""

from __future__ import annotations

import functools
import hashlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from initsuite.config.trees import followed
from initsuite.errors import (
    ConfigError,
    InitsuiteError,
    bad_value,
    exits_are_errors,
    is_out_of_memory,
    unknown_choice,
)
from initsuite.wording import first_line

GROUP_KEYS = {
    "init": {"name", "_target_", "requires"},
    "model": {"name", "_target_"},
    "dataset": {
        "name", "_target_", "batch_size", "max_steps", "eval_every", "loss", "metric", "direction", "chance", "levels"
    },
    "optimizer": {"name", "_target_", "family", "lr", "lr_grid"},
}  # fmt: skip
"""Keys of a group that the suite reads itself; the others are options of the group's `_target_`."""
WORDS = {"dataset": ("loss", "metric", "direction")}
"""Those of them that are looked up in a table."""
NEEDED = {"dataset": ("chance", "levels"), "optimizer": ("lr", "lr_grid")}
"""Further ones without which no cell can be made."""
LABELS = {"optimizer": "family"}
"""A key of a group that says of what kind a choice is: what is fixed by its file is no option."""
PLACES = {"data_dir", "download"}
"""Options of our own data sets that say where the data comes from, not what it is: part of no id."""


def conf_dir() -> Path:
    """The configuration folder: inside an installed package, at the top of a checkout."""
    package = Path(__file__).parents[1]
    shipped = package / "conf"
    return shipped if shipped.is_dir() else package.parents[1] / "conf"


@functools.cache
def shipped_file(group: str, name: str) -> dict[str, Any]:
    """The content of a file of the configuration folder, references unresolved; empty if there is no such file."""
    path = conf_dir() / group / f"{name}.yaml"
    is_there = re.fullmatch(r"[\w-]+", name) and path.is_file()
    return OmegaConf.to_container(OmegaConf.load(path)) if is_there else {}  # type: ignore[return-value]


def names_of(group: str) -> list[str]:
    """The names of the shipped choices of a group, without the one that stands for a user's own."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml") if path.stem != "custom")


def choices_with(group: str, options: Iterable[str]) -> list[str]:
    """The shipped choices of a group that have all of these options."""
    names = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    return [name for name in names if options_of(group, shipped_file(group, name)).keys() >= set(options)]


def options_of(group: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name not in GROUP_KEYS[group]}


def check_choices(tree: Mapping[str, Any]) -> None:
    """Refuse a configuration in which a group is left out, has no name, or goes by the name of something else.

    Raises:
        ConfigError: so.
    """
    for group in (*GROUP_KEYS, "activation", "schedule", "protocol"):
        choice = tree.get(group)
        if not isinstance(choice, Mapping):
            expected = "a choice of this group, which no configuration can be without"
            raise bad_value("config", group, choice, expected, f"For example {group}={names_of(group)[0]}.")
        name = choice.get("name")
        if not isinstance(name, str) or not name.strip():
            raise bad_value(f"config: {group}", "name", name, "a name", f"It is what the report calls this {group}.")
        for key in NEEDED.get(group, ()):
            if key not in choice:
                raise ConfigError(f"config: `{group}.{key}` is left out. Expected a value. Leave out ~{group}.{key}.")
        for key in WORDS.get(group, ()):
            if not isinstance(choice.get(key), str):
                raise bad_value(f"config: {group}", key, choice.get(key), "a word")
        other, target = shipped_file(group, name).get("_target_", "???"), choice.get("_target_")
        if isinstance(target, str) and other not in ("???", target):
            expected = f"another one: this is the name of {other}"
            fix = f"To choose that: {group}={name}; what you named: {group}=custom {group}._target_={target}."
            raise bad_value(f"config: {group}", "name", name, expected, fix)
        if group in LABELS:
            _check_label(group, choice, LABELS[group])


def _check_label(group: str, choice: Mapping[str, Any], key: str) -> None:
    """Refuse a label that is not the one of the file of this name, or that no file has."""
    own = shipped_file(group, choice["name"]).get(key)
    known = {shipped_file(group, name)[key] for name in names_of(group)} if own is None else {own}
    got = choice.get(key)
    if key in choice and not (isinstance(got, str) and got in known):
        raise unknown_choice(f"config: {group}={choice['name']}", key, str(got), sorted(known))


def target_of(group: str, tree: Mapping[str, Any]) -> Callable[..., Any]:
    """The class or function that a choice names.

    Raises:
        ConfigError: it names none, or none that can be imported; or its module raises.
    """
    where, path = f"{group}={tree['name']}", tree.get("_target_", "???")
    if path == "???" or not isinstance(path, str):
        fix = f"Example: {group}=custom {group}._target_=mypkg.MyClass"
        raise bad_value(where, "_target_", path, "the import path of your own class", fix)
    try:
        with exits_are_errors():
            target = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        fix = f"({error}.) Run from the folder of your package, or install it."
        raise bad_value(where, "_target_", path, "an importable name", fix) from error
    except Exception as error:  # a module of a user may raise anything
        fix = f"Importing it raises {first_line(error)}."
        raise bad_value(where, "_target_", path, "a module that can be imported", fix) from error
    if not callable(target):
        raise bad_value(where, "_target_", path, "a class or a function", f"It is a {type(target).__name__}.")
    return target


def instantiate(group: str, tree: Mapping[str, Any], **context: Any) -> Any:
    """Build what a choice names.

    Args:
        context: arguments that every class of the group gets, besides its options.
    """
    where, target = f"{group}={tree['name']}", target_of(group, tree)
    parameters = inspect.signature(target).parameters
    if not _is_open_ended(parameters) and not context.keys() <= parameters.keys():
        got = f"a class that takes ({', '.join(parameters)})"
        expected = f"one that takes {', '.join(context)} by name, besides its options"
        raise bad_value(where, "_target_", tree["_target_"], expected, f"It is {got}. See conf/{group}/custom.yaml.")
    options = options_of(group, tree)
    for name in context.keys() & options.keys():
        expected = "no option of this name: the suite fills it in"
        raise bad_value(where, name, options[name], expected, f"Leave out {group}.{name}.")
    return call(where, target, {**context, **options})


def _is_open_ended(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def call(where: str, target: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """Call with options; an error names one that the target does not take, or lacks, before the call.

    Raises:
        ConfigError: so; or code of a user raises; or there is no memory for what the options ask for.
    """
    parameters = inspect.signature(target).parameters
    for name in options:
        if name not in parameters and not _is_open_ended(parameters):
            raise unknown_choice(where, "option", name, parameters)
    for name, parameter in parameters.items():
        is_named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if is_named and parameter.default is parameter.empty and name not in options:
            raise ConfigError(f"{where}: missing option `{name}`. Expected a value. Add it with +GROUP.{name}=VALUE")
    try:
        with exits_are_errors():
            return target(**options)
    except InitsuiteError:
        raise
    except Exception as error:
        is_ours = str(getattr(target, "__module__", "")).startswith("initsuite.")
        is_odd_value = isinstance(error, TypeError) and "unhashable" in str(error)  # a list in place of a name
        if is_ours and not is_out_of_memory(error) and not is_odd_value:
            raise
        given, why = ", ".join(f"{name}={str(value)[:80]}" for name, value in options.items()), first_line(error)
        raise ConfigError(
            f"{where}: cannot be made with ({given}): {why.rstrip('.')}. Expected options that it can be made with. "
            "HYDRA_FULL_ERROR=1 shows where it happens."
        ) from error


def identity(group: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    """What goes into an id for a group: the class and its options.

    For a user's own class also the name of the choice and the source files of the class and its bases. Other modules
    that those import are not followed: rename the choice, or its option, when they change. An option in the class's
    `added_options` came later than trials that are stored; with the value it has there, which is what those trials
    did, it is not part of the identity.
    """
    target = target_of(group, tree)
    added = getattr(target, "added_options", {})
    options = {
        name: value for name, value in options_of(group, tree).items() if name not in added or value != added[name]
    }
    modules = [module for module in _modules(target) if not module.startswith("initsuite.")]
    if not modules:
        options = {name: value for name, value in options.items() if name not in PLACES}
        return {"target": tree["_target_"], "options": options}
    sources = [_source(module) for module in modules]
    return {"target": tree["_target_"], "options": options, "name": tree["name"], "sources": sources}


def _modules(target: Callable[..., Any]) -> list[str]:
    """The module of a function, or those of a class and its bases, except Python's and torch's own."""
    kinds = inspect.getmro(target) if inspect.isclass(target) else (target,)
    names = dict.fromkeys(str(getattr(kind, "__module__", "")) for kind in kinds)
    return [name for name in names if name.partition(".")[0] not in {"builtins", "typing", "abc", "torch"}]


def _source(module: str) -> str | None:
    """Hash of the file of a module; None if it has none, in a notebook for example."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest() if path else None


@functools.cache
def _defaults(group: str, name: str, target: str) -> dict[str, Any]:
    """The options of a shipped choice; for a user's own file, the defaults of its class."""
    if file := shipped_file(group, name):
        return file
    parameters = inspect.signature(pkgutil.resolve_name(target)).parameters if target else {}
    return {name: parameter.default for name, parameter in parameters.items()}


def label(group: str, tree: Mapping[str, Any], whole: Mapping[str, Any] | None = None) -> str:
    """The name of a choice, with the options that differ from its file, or from its class where we have no such file:
    `normal(std=0.1)`.

    Args:
        whole: the configuration that the choice is part of, if its file may refer to other parts.
    """
    name = tree["name"]
    defaults = _defaults(group, name, str(tree.get("_target_", "")))
    if name == "custom":
        name = tree["_target_"].rpartition(".")[2]
    skip = GROUP_KEYS.get(group, {"name"}) | PLACES
    changed = [
        f"{key}={value}"
        for key, value in tree.items()
        if key not in skip and value != followed(defaults.get(key), whole or {})
    ]
    return f"{name}({', '.join(changed)})" if changed else name
