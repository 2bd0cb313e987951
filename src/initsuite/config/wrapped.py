"""Options that every initializer has, whatever its class: what each of them wraps the initializer in."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

from initsuite.config.groups import instantiate, target_of

WRAPPERS = {"forget_bias": "initsuite.init.ForgetBias"}
"""By the name of the option the class that takes (initializer, value). A class with an option of its own keeps it."""


def built_initializer(tree: Mapping[str, Any]) -> Any:
    """The initializer or law that a choice of the group init names, wrapped as its options say.

    Example:
        >>> built_initializer({"name": "zero", "_target_": "initsuite.init.Zero", "forget_bias": 1})
        ForgetBias(inside=Zero(), value=1)
    """
    own = inspect.signature(target_of("init", tree)).parameters
    wrapping = {name: tree[name] for name in WRAPPERS if name in tree and name not in own}
    law = instantiate("init", {name: value for name, value in tree.items() if name not in wrapping})
    for name, value in wrapping.items():
        as_initializer = pkgutil.resolve_name("initsuite.init.as_initializer")  # torch is imported with it
        law = pkgutil.resolve_name(WRAPPERS[name])(as_initializer(law), value)
    return law
