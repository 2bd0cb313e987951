"""The initializers of a comparison: names, names with options, objects, or all of the catalogue that fit."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from initsuite.apply.own.reading import WHERE
from initsuite.apply.own.sources import Identity, is_plain, state_of
from initsuite.config import catalogue
from initsuite.config.build import Arm
from initsuite.config.groups import label
from initsuite.config.initializer import init_identity, rehearsed
from initsuite.engine.stack import start_of
from initsuite.engine.workload import Workload
from initsuite.errors import ConfigError, InitsuiteError, as_overrides, bad_value
from initsuite.init import as_initializer
from initsuite.wording import first_line

ALL = "all that fit"
USUAL = ("torch_default", "he", "xavier", "orthogonal")


@dataclass(frozen=True)
class Wish:
    """An initializer that was asked for.

    Attributes:
        name: in the catalogue; "" for an object.
        options: those that replace its defaults.
        given: the object.
        is_optional: left out where it does not fit.
    """

    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    given: Any = None
    is_optional: bool = False

    @property
    def overrides(self) -> list[str]:
        """What composes its configuration."""
        options = {f"++init.{key}": value for key, value in self.options.items()}
        return [f"init={self.name or 'custom'}", *(as_overrides({key: value}) for key, value in options.items())]


def wishes(init: Any, where: str = WHERE) -> list[Wish]:
    """What `init=` of a function asks for.

    Raises:
        ConfigError: an unknown name, nothing, or the same twice.
    """
    if isinstance(init, str) and init == ALL:
        return [Wish(name, is_optional=True) for name in catalogue.names()]
    is_one = isinstance(init, str) or callable(init) or _is_pair(init)
    if not is_one and not isinstance(init, Sequence):
        expected = f"names, (name, options) pairs, objects, or {ALL!r}"
        raise bad_value(where, "init", type(init).__name__, expected)
    found = [_wish(each, where) for each in cast("Sequence[Any]", [init] if is_one else init)]
    if not found:
        raise bad_value(where, "init", init, "at least one initializer")
    return found


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple | list) and len(given) == 2 and isinstance(given[1], Mapping)


def _wish(given: Any, where: str) -> Wish:
    name, options = given if _is_pair(given) else (given, {})
    if isinstance(name, str):
        catalogue.build(name, options, where)  # refuses unknown names and options
        return Wish(name, dict(options))
    if _is_pair(given):
        raise bad_value(where, "init", type(name).__name__, "a name before options", "Give options to the class.")
    as_initializer(given)
    return Wish(given=given)


def arm_of(wish: Wish, workload: Workload, tree: Mapping[str, Any], *, is_own: bool) -> tuple[Arm, list[str]]:
    """An initializer that was tried on the model once, and what of its source cannot be read.

    Args:
        tree: the configuration, composed with what was asked for.
        is_own: whether the model was built elsewhere, so that what an initializer requires of it is not known.

    Raises:
        ConfigError: the initializer is not for this model.
        InitsuiteError: it fails.
    """
    if wish.name:
        init = tree["init"]
        if is_own:
            _check_requirements(wish, init)
        own = init_identity(init, lambda: workload.model)
        arm = Arm(label("init", init, tree), init, own, rehearsed(workload, init))
        if wish.is_optional:
            start_of(workload, arm.initializer, seed=0)
        return arm, []
    kind = _kind(wish.given)
    name, options = kind.__name__, _options(wish.given)
    initializer = as_initializer(wish.given)
    try:
        start_of(workload, initializer, seed=0)
    except InitsuiteError:
        raise
    except Exception as error:  # a person's own law may raise anything
        raise InitsuiteError(f"{WHERE}: the initializer {name} failed on this model. {first_line(error)}") from error
    identity = Identity(wish.given)
    own = {"class": f"{kind.__module__}.{kind.__qualname__}", "parts": identity.parts}
    version: Any = getattr(kind, "law_version", 1)
    number: Any = version(workload.model) if callable(version) else version
    own |= {"law_version": number} if number > 1 else {}
    return Arm(label_of(wish.given), {"name": name, **options}, own, initializer), identity.unread


def _check_requirements(wish: Wish, init: Mapping[str, Any]) -> None:
    built = catalogue.build(wish.name, wish.options)
    if init.get("requires") and not getattr(built, "checks_model", False):
        raise ConfigError(
            f"{WHERE}: init `{wish.name}` is made for a model with the options {as_overrides(init['requires'])}, and "
            "yours is not known to have them. Expected an initializer whose `requires` in initsuite.initializers() is "
            "empty. Or compare on a model of the suite, such as model='resnet'."
        )


def _kind(given: Any) -> Any:
    """The function, or the class of an object."""
    function = given.func if isinstance(given, functools.partial) else given
    return function if inspect.isfunction(function) else type(given)


def _options(given: Any) -> dict[str, Any]:
    if isinstance(given, functools.partial):
        state: Mapping[str, Any] = given.keywords
    else:
        state = {} if inspect.isfunction(given) else state_of(given)
    return {key: value if is_plain(value) and _is_json(value) else repr(value) for key, value in state.items()}


def _is_json(value: Any) -> bool:
    return isinstance(value, str | bool | int | float | type(None))


def label_of(given: Any) -> str:
    """The name of a class or function, with the options of a partial, or the fields of a dataclass that differ from
    their defaults.

    Example:
        >>> from torch.nn.init import normal_
        >>> label_of(normal_), label_of(functools.partial(normal_, std=0.1))
        ('normal_', 'normal_(std=0.1)')
    """
    name, changed = _kind(given).__name__, dict[str, Any]()
    if isinstance(given, functools.partial):
        changed = given.keywords
    elif dataclasses.is_dataclass(given) and not inspect.isclass(given):
        changed = {
            each.name: getattr(given, each.name)
            for each in dataclasses.fields(given)
            if each.default is dataclasses.MISSING or getattr(given, each.name) != each.default
        }
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in changed.items())})" if changed else name
