"""Errors that say where, what, got, expected and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InitsuiteError(Exception):
    """Base of every error that a user can mend. The doors print it as one block, without a traceback."""


class ConfigError(InitsuiteError, ValueError):
    """A configuration that cannot be trained. Raised before the first step."""


class DataError(InitsuiteError):
    """A data file that is missing, damaged or of an unexpected kind."""


class StoreError(InitsuiteError):
    """A results store that cannot be read or written."""


def bad_value(where: str, name: str, got: object, expected: str, fix: str = "") -> ConfigError:
    """The error for a value outside its range.

    Example:
        >>> print(bad_value("Sgd", "lr", -1, "a number above 0"))
        Sgd: bad value `lr`=-1. Expected a number above 0.
    """
    return ConfigError(f"{where}: bad value `{name}`={got!r}. Expected {expected}.{' ' + fix if fix else ''}")


def unknown_choice(where: str, name: str, got: object, choices: Iterable[str], fix: str = "") -> ConfigError:
    """The error for a name that is not in a list; proposes the nearest one.

    Example:
        >>> print(unknown_choice("VarianceScaling", "fan", "fanin", ["fan_in", "fan_out"]))
        VarianceScaling: unknown `fan`='fanin'. Expected one of: fan_in, fan_out. Did you mean `fan_in`?
    """
    choices = list(choices)
    near = difflib.get_close_matches(str(got), choices, n=1)
    hint = fix or (f"Did you mean `{near[0]}`?" if near else "")
    return ConfigError(f"{where}: unknown `{name}`={got!r}. Expected one of: {', '.join(choices)}. {hint}".rstrip())
