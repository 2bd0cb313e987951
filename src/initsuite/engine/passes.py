"""A pass of a model over a batch: how it is called, in what precision, and what of its outputs is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from initsuite.data.base import Tree, tensors_of
from initsuite.engine.workload import Workload
from initsuite.errors import bad_value


def outputs_of(workload: Workload, call: Callable[..., Any], inputs: Tree) -> Any:
    """Call a model on the inputs of a batch, and pick from what it returns.

    Args:
        call: the model, or a function that stands for it.

    Raises:
        ConfigError: there is nothing of the name or index that the workload picks.
    """
    args, kwargs = arguments(inputs)
    with _precision(workload, inputs):
        outputs = picked(call(*args, **kwargs), workload.output)
    is_narrow = isinstance(outputs, Tensor) and workload.dtype == torch.bfloat16 and outputs.is_floating_point()
    return outputs.float() if is_narrow else outputs


def arguments(inputs: Tree) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a model is called with."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs), {}) if isinstance(inputs, tuple | list) else ((inputs,), {})


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
        raise bad_value("model", "output", output, f"a part of what the model returns: {_parts(outputs)}") from None


def _parts(outputs: Any) -> str:
    if isinstance(outputs, Mapping):
        return f"a dictionary of {', '.join(map(str, outputs))}"
    if isinstance(outputs, tuple | list):
        return f"a {type(outputs).__name__} of {len(outputs)}"
    return f"one {type(outputs).__name__}; leave `output` away"


def _precision(workload: Workload, inputs: Tree) -> AbstractContextManager[Any]:
    if workload.dtype != torch.bfloat16:
        return nullcontext()
    device = tensors_of(inputs)[0].device
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
