"""A batch that a user gives: inputs as a model takes them, and targets; refused if it is bad."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from initsuite.apply.own.reading import is_list_of_numbers
from initsuite.errors import ConfigError, bad_value
from initsuite.signal.subject import Batch

ONE_BATCH = "Give one batch: example=next(iter(loader))."


def batch_of(model: nn.Module, example: Any, targets: Any) -> Batch:
    """Read an example.

    Args:
        model: what takes it.
        example: a tensor or array; a tuple of positional arguments, the last of which is the targets where `forward`
            needs one less; a dict of keywords; or a pair (arguments, keywords).
        targets: if they are not in the example.

    Raises:
        ConfigError: an empty batch, numbers that are not finite, targets of another length, or what is no example.
    """
    args, kwargs, found = _taken(model, _tensors(example))
    found = found if targets is None else _tensors(targets)
    tensors = [each for each in tree_flatten((args, dict(kwargs)))[0] if isinstance(each, Tensor)]
    if not tensors:
        raise bad_value("diagnose", "example", type(example).__name__, "a batch with a tensor in it", ONE_BATCH)
    for each in (*tensors, *([found] if found is not None else [])):
        _check(each, "targets" if each is found else "example")
    size = len(tensors[0]) if tensors[0].ndim else 0
    if found is not None and (not found.ndim or len(found) != size):
        got = f"{len(found) if found.ndim else 'one'} targets for {size} examples"
        raise ConfigError(
            f"diagnose: `example` has parts of unequal length: {got}. Expected a target for each example."
        )
    return Batch(tuple(args), kwargs, found, size)


def _tensors(value: Any) -> Any:
    def plain(each: Any) -> Any:
        if is_list_of_numbers(each) and isinstance(each, list):
            try:
                each = np.asarray(each)
            except ValueError as error:
                raise bad_value("diagnose", "example", "lists of unequal length", "an array") from error
            each = each.astype(np.float32) if each.dtype == np.float64 else each
        if isinstance(each, np.ndarray):
            if each.dtype.kind not in "biufc":
                raise bad_value("diagnose", "example", f"an array of {each.dtype}", "numbers")
            each = torch.as_tensor(each)
        return each.detach() if isinstance(each, Tensor) else each

    return tree_map(plain, value, is_leaf=is_list_of_numbers)


def _taken(model: nn.Module, example: Any) -> tuple[Sequence[Any], Mapping[str, Any], Any]:
    """The arguments, the keywords and the targets."""
    if isinstance(example, Tensor):
        return (example,), {}, None
    if isinstance(example, Mapping) and all(isinstance(name, str) for name in example):
        return (), dict(example), None
    if isinstance(example, tuple | list) and example:
        if len(example) == 2 and isinstance(example[0], tuple | list) and isinstance(example[1], Mapping):
            return example[0], example[1], None
        given = list(example)
        is_batch = len(given) > 1 and len(given) - 1 == max(_needed(model), 1) and isinstance(given[-1], Tensor)
        return (given[:-1], {}, given[-1]) if is_batch else (given, {}, None)
    expected = "a tensor, a tuple of arguments, a batch (inputs, targets), a dict of keywords, or a pair of these two"
    raise bad_value("diagnose", "example", type(example).__name__, expected, ONE_BATCH)


def _needed(model: nn.Module) -> int:
    """How many arguments `forward` needs."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = inspect.signature(model.forward).parameters.values()
    return sum(each.kind in kinds and each.default is each.empty for each in given)


def _check(tensor: Tensor, name: str) -> None:
    if not tensor.numel():
        shape = tuple(tensor.shape)
        raise bad_value("diagnose", name, shape, "at least one example", "The batch is empty: check the loader.")
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        count = int((~tensor.isfinite()).sum())
        got = f"{count:,} of {tensor.numel():,} numbers are NaN or infinite"
        raise ConfigError(
            f"diagnose: bad `{name}`: {got}. Expected finite numbers. Clean the data, or check how it is read."
        )
