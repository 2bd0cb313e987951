"""The initializer of a configuration: the model that it requires, and a rehearsal before any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from torch import nn

from initsuite.config.groups import GROUP_KEYS, choices_with, identity, target_of
from initsuite.config.wrapped import built_initializer
from initsuite.engine.stack import start_of
from initsuite.engine.workload import Workload
from initsuite.errors import ConfigError, InitsuiteError, as_overrides, bad_value, unknown_choice
from initsuite.init.base.compose import PerTensor, as_initializer
from initsuite.spec import Initializer, ParamSpec


def init_identity(tree: Mapping[str, Any], model: Callable[[], nn.Module]) -> dict[str, Any]:
    """What goes into a `cell_id` for an initializer: its identity, and the version of its law where that is above 1.

    `law_version` of its class is a number, or a function of the model for a law that was corrected on some models only;
    it is 1 unless stated, and rises when the same options draw other numbers than before.

    Args:
        model: builds it, for such a function alone.
    """
    version: int | Callable[[nn.Module], int] = getattr(target_of("init", tree), "law_version", 1)
    number = version if isinstance(version, int) else version(model())
    return {**identity("init", tree), **({"law_version": number} if number > 1 else {})}


def required_model(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the model with the options that the initializer requires.

    Raises:
        ConfigError: the model has no such option.
    """
    init, model = f"init={tree['init']['name']}", tree["model"]
    requires = tree["init"].get("requires") or {}
    if not isinstance(requires, dict):
        raise bad_value(init, "requires", requires, "a mapping such as {model.norm: batch}")
    known = [f"model.{name}" for name in model if name not in GROUP_KEYS["model"]]
    unknown = [key for key in requires if key not in known]
    if not unknown:
        return {**model, **{key.removeprefix("model."): value for key, value in requires.items()}}
    having = choices_with("model", [each.removeprefix("model.") for each in requires])
    if not having:
        raise unknown_choice(init, "requires", unknown[0], known, "An initializer requires options of a model.")
    raise ConfigError(
        f"{init}: cannot be used with model={model['name']}: it requires {as_overrides(requires)}, and this "
        f"model has no `{unknown[0]}`. Expected one that has. "
        f"Use {' or '.join(f'model={name}' for name in having)}, or another init."
    )


def rehearsed(workload: Workload, tree: Mapping[str, Any]) -> Initializer:
    """An initializer that was drawn from once: an option that does not fit the model is refused before training.

    So is a number that is too large for float32. Anything else that a user's initializer raises is left to its trials,
    which fail alone.

    Raises:
        ConfigError: an option that does not fit.
    """
    initializer = as_initializer(built_initializer(tree))
    try:
        if _is_law_of_ours(initializer):
            initializer(workload.model, _one_of_each_kind(workload.specs), seed=0)
        else:
            start_of(workload, initializer, seed=0)
    except ConfigError:
        raise
    except Exception as error:
        if isinstance(error, InitsuiteError) and _is_law_of_ours(initializer):
            raise ConfigError(f"init={tree['name']}: {error}") from error
    return initializer


def _is_law_of_ours(initializer: Initializer) -> bool:
    """Whether it treats each tensor on its own, by laws of this package, which return what they should."""
    if not isinstance(initializer, PerTensor):
        return False
    laws = [getattr(initializer, field.name) for field in fields(initializer)]
    return all(type(law).__module__.startswith("initsuite.init.") for law in laws if law is not None)


def _one_of_each_kind(specs: Sequence[ParamSpec]) -> list[ParamSpec]:
    """The first of all tensors that differ only in name and place: deep networks have many of a kind."""
    return list({replace(spec, name="", layer=0): spec for spec in reversed(specs)}.values())[::-1]
