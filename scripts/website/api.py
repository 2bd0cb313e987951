"""The page of the public names: their docstrings, shown by autodoc."""

from __future__ import annotations

import inspect
import re
from typing import Any

import initsuite
from initsuite import spec
from website.markdown import page, section

CONTRACT = (spec.TensorInit, spec.Initializer, spec.ParamSpec, spec.Role, spec.Probe, spec.Initialization)
"""What a law of one's own is given, and what it returns."""


def api_page() -> str:
    """The public names, what they return, and the contract of a law."""
    functions = [getattr(initsuite, name) for name in initsuite.__all__]
    found = dict.fromkeys(kind for function in functions for kind in returned(function))
    return page(
        "The public names",
        "What `import initsuite` offers; everything else may change from one version to the next.",
        *(_directive("function", f"initsuite.{function.__name__}") for function in functions),
        section("What they return", *(_members(kind) for kind in found)),
        section("The contract of a law", *(_members(kind) for kind in CONTRACT)),
    )


def returned(function: Any) -> list[type]:
    """The classes of this package that a function returns.

    Example:
        >>> [kind.__name__ for kind in returned(initsuite.load_results)]
        ['Results']
    """
    module = vars(inspect.getmodule(function))
    named = [module.get(word) for word in re.findall(r"\w+", str(function.__annotations__.get("return", "")))]
    return [kind for kind in named if inspect.isclass(kind) and kind.__module__.startswith("initsuite.")]


def _members(kind: type) -> str:
    return _directive("class", f"{kind.__module__}.{kind.__qualname__}", ":members:")


def _directive(what: str, name: str, *options: str) -> str:
    lines = [f".. auto{what}:: {name}", *(f"   {option}" for option in options)]
    return "\n".join(["```{eval-rst}", *lines, "```"])
