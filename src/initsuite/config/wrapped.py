"""Options that every initializer has, whatever its class: what each of them wraps the initializer in."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

from initsuite.config.groups import instantiate, options_of, shipped_file, target_of
from initsuite.errors import bad_value
from initsuite.wording import OWN

WRAPPERS = {"forget_bias": "initsuite.init.ForgetBias"}
"""By the name of the option the class that takes (initializer, value). A class with an option of its own keeps it."""


def built_initializer(tree: Mapping[str, Any]) -> Any:
    """The initializer or law that a choice of the group init names, wrapped as its options say.

    Example:
        >>> built_initializer({"name": "zero", "_target_": "initsuite.init.Zero", "forget_bias": 1})
        ForgetBias(inside=Zero(), value=1)
    """
    target = target_of("init", tree)
    own = inspect.signature(target).parameters
    wrapping = {name: tree[name] for name in WRAPPERS if name in tree and name not in own}
    rest = {name: value for name, value in tree.items() if name not in wrapping}
    law = _in_place(target, rest) if _is_plain_function(target) else instantiate("init", rest)
    for name, value in wrapping.items():
        as_initializer = pkgutil.resolve_name("initsuite.init.as_initializer")  # torch is imported with it
        law = pkgutil.resolve_name(WRAPPERS[name])(as_initializer(law), value)
    return law


def _is_plain_function(target: Any) -> bool:
    """Whether it fills a tensor, as the functions of torch.nn.init do."""
    return inspect.isfunction(target) and pkgutil.resolve_name("initsuite.init.in_place.works_in_place")(target)


def _in_place(target: Any, tree: Mapping[str, Any]) -> Any:
    """The law of a plain function.

    Raises:
        ConfigError: it stands under the name of another initializer, whose options it does not have.
    """
    if tree["name"] != OWN and shipped_file("init", tree["name"]):
        fix = f"For a function of torch or your own: init={OWN} init._target_={tree['_target_']}"
        raise bad_value(f"init={tree['name']}", "_target_", tree["_target_"], f"the class of {tree['name']}", fix)
    return pkgutil.resolve_name("initsuite.init.in_place.InPlace")(
        target, tuple(sorted(options_of("init", tree).items()))
    )
