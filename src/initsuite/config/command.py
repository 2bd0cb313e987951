"""What a command line says before anything is composed: what Hydra would take in silence is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from initsuite.config.axes import MOST_COMBINATIONS
from initsuite.config.groups import conf_dir, shipped_file
from initsuite.config.schema import Schema
from initsuite.errors import bad_value

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

FLAGS = tuple(name for name, field in Schema.__dataclass_fields__.items() if field.type == "bool")
"""Keys that are true or false; Hydra makes true of any number but 0, and of a few words."""
TEXTS = tuple(name for name, field in Schema.__dataclass_fields__.items() if str(field.type).startswith("str"))
"""Keys that are texts: Hydra makes `True` of true, and `1000.0` of 1e3."""
FOLDERS = ("results_dir", "data_dir")


def check_command(words: Sequence[str]) -> None:
    """Refuse overrides of which a part would be ignored, or taken for something else.

    Args:
        words: a command line without its program; what is no override is passed over.

    Raises:
        ConfigError: a key given twice, several choices of a group, a choice that is given another name, a flag that is
            neither true nor false, an empty name of a folder, or a file of the user's that is hidden by one of the
            suite.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser  # late: others read the names above

    texts = [word for word in words if "=" in word and not word.startswith("-")]
    try:
        overrides = OverridesParser.create().parse_overrides(texts)
    except Exception:  # said by Hydra, in its own words
        return
    _check_given_once(overrides)
    _check_names(overrides)
    for override in overrides:
        key, value = override.key_or_group, override.value()
        if key in FLAGS and not override.is_sweep_override() and not isinstance(value, bool | str):
            raise bad_value("config", key, value, "true or false")
        if (conf_dir() / key).is_dir() and isinstance(value, list) and len(value) > 1:
            fix = f"To compare them: -m {key}={','.join(map(str, value))}."
            raise bad_value("config", key, [str(one) for one in value], "one choice", fix)
        if key in TEXTS and isinstance(value, bool | float) and str(value) != override.get_value_string():
            fix = f"In quotes it is one: '{key}=\"{override.get_value_string()}\"'."
            raise bad_value("config", key, value, "a text", fix)
        if key in FOLDERS and isinstance(value, str) and not str(value).strip("' \""):
            raise bad_value("config", key, "", "the name of a folder", f"Leave out {key} for the usual one.")
    for hidden, name in _hidden_files(overrides, words):
        expected = f"a name that the suite does not have: {name} is its own, and yours would be ignored"
        raise bad_value("config", "hydra.searchpath", str(hidden), expected, "Rename the file.")


def _check_given_once(overrides: Sequence[Override]) -> None:
    given: dict[str, str] = {}
    for override in overrides:
        if override.is_delete():
            continue
        key, text = override.get_key_element().lstrip("+"), override.get_value_string()
        if given.setdefault(key, text) != text:
            fix = f"To compare them: -m {key}={given[key]},{text}."
            raise bad_value("config", key, f"{given[key]} and {text}", "one value for a key", fix)


def _check_names(overrides: Sequence[Override]) -> None:
    """Refuse another name for what a group chooses: a name says which file the values come from."""
    chosen = {one.key_or_group: _values(one) for one in overrides if not isinstance(one.value(), dict)}
    for override in overrides:
        group, _, key = override.key_or_group.partition(".")
        given = override.value()
        if key == "name":
            names = _values(override)
        elif not key and isinstance(given, dict) and "name" in given:
            names = [str(given["name"])]
        else:
            continue
        if override.is_delete() or not (conf_dir() / group).is_dir():
            continue
        choices = chosen.get(group, ["the one of its file"])
        for name in names:
            if any(name != choice and not _has_free_name(group, choice) for choice in choices):
                own = f"; one with a name of your own: {group}=custom" * (conf_dir() / group / "custom.yaml").is_file()
                expected = f"the name of what is chosen: {' or '.join(choices)}"
                raise bad_value("config", f"{group}.name", name, expected, f"To choose another: {group}=NAME{own}.")


def _values(override: Override) -> list[str]:
    """The values of an override as text, without quotes; a pattern as it is."""
    from hydra.core.override_parser.types import ValueType  # late, as above

    if not override.is_discrete_sweep() or override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        return [override.get_value_string().strip("\"'")]
    found = itertools.islice(override.sweep_iterator(), MOST_COMBINATIONS)
    return [str(getattr(value, "text", value)) for value in found]


def _has_free_name(group: str, choice: str) -> bool:
    """Whether a choice may have any name: a person's own, and one that reads it as an option."""
    return choice == "custom" or "${.name}" in shipped_file(group, choice).values()


def _hidden_files(overrides: Sequence[Override], words: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """The user's files that differ from those of the suite with the same names, and what chooses those."""
    places = [word.partition("=")[2] for word in words if word.startswith("--config-dir=")]
    places += [after for word, after in itertools.pairwise(words) if word in ("--config-dir", "-cd")]
    for override in overrides:
        if override.key_or_group == "hydra.searchpath" and isinstance(value := override.value(), list):
            places += [str(place) for place in value]
    for place in places:
        folder = Path(urlparse(place).path if place.startswith("file:") else place)
        if "://" in str(folder) or not folder.is_dir() or folder.resolve() == conf_dir().resolve():
            continue
        for ours in sorted(conf_dir().glob("*/*.yaml")):
            theirs = folder / ours.parent.name / ours.name
            if theirs.is_file() and theirs.read_bytes() != ours.read_bytes():
                yield theirs, f"{ours.parent.name}={ours.stem}"
