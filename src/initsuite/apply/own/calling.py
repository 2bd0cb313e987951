"""How a person's model is called on a batch, and what of its outputs is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from initsuite.apply.own.reading import WHERE
from initsuite.data.base import Tree
from initsuite.errors import bad_value


def arguments(inputs: Tree) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a model is called with."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs), {}) if isinstance(inputs, tuple | list) else ((inputs,), {})


def measured(measure: Callable[[Any, Tree], Tensor], outputs: Any, inputs: Tree, targets: Tree) -> Tensor:
    """A loss or score of outputs: [example], or one number for the batch."""
    return measure(outputs, inputs if targets is None else targets)


def picked(outputs: Any, output: str | int | None) -> Any:
    """Part of what a model returns: all of it, or that of a name or index.

    Raises:
        ConfigError: there is no such part.

    Example:
        >>> picked({"logits": 1, "hidden": 2}, "logits")
        1
    """
    if output is None:
        return outputs
    if isinstance(output, str) and not isinstance(outputs, Mapping) and hasattr(outputs, output):
        return getattr(outputs, output)
    try:
        return outputs[output]
    except (KeyError, IndexError, TypeError):
        raise bad_value(WHERE, "output", output, f"a part of what the model returns: {parts_of(outputs)}") from None


def parts_of(outputs: Any) -> str:
    """What a model returns, in words."""
    if isinstance(outputs, Mapping):
        return f"a dictionary of {', '.join(map(str, outputs))}"
    named = f" of {len(outputs)}" if isinstance(outputs, tuple | list) else ""
    return f"a {type(outputs).__name__}{named}"
