"""A batch that a user gives: inputs as a model takes them, targets, and the loss between both; refused if it is bad."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_flatten, tree_map

from initsuite.errors import ConfigError, InitsuiteError, bad_value
from initsuite.models.describe.graph.contractions import shape_of
from initsuite.models.describe.graph.recording import Recording
from initsuite.signal.replay import Replay

IGNORED = -100
"""The label that torch's cross-entropy leaves out."""
ONE_BATCH = "Give one batch: example=next(iter(loader))."


@dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes:
        args, kwargs: what the model is called with.
        targets: what the outputs are compared with; None where that is not known.
        size: how many examples; 0 where the inputs hold no tensor.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    targets: Tensor | None
    size: int

    @property
    def in_words(self) -> str:
        tensors = [each for each in tree_flatten((self.args, dict(self.kwargs)))[0] if isinstance(each, Tensor)]
        return " and ".join(f"{list(each.shape)} {str(each.dtype).removeprefix('torch.')}" for each in tensors)


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
        each = torch.as_tensor(each) if isinstance(each, np.ndarray) else each
        return each.detach() if isinstance(each, Tensor) else each

    return tree_map(plain, value)


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


def chosen_output(recording: Recording, output: str | int | None, model: nn.Module) -> int:
    """Which of the tensors that a model returns is meant.

    Raises:
        ConfigError: several, and none is named; or a name that is not among them.
    """
    real = [
        (place, name)
        for place, (name, node) in enumerate(zip(recording.outputs, Replay(recording).outputs, strict=False))
        if node.meta["val"].is_floating_point()
    ]
    names = [name for _, name in real]
    kind = type(model).__name__
    if output is not None:
        found = [place for place, name in real if name == str(output)]
        if not found:
            raise ConfigError(
                f"diagnose: unknown `output`={output!r}. Expected one of: {', '.join(map(repr, names))}, which {kind} "
                "returns."
            )
        return found[0]
    if not real:
        raise ConfigError(f"diagnose: {kind} returns no tensor of real numbers. Expected one. Give a model that does.")
    if len(real) > 1:
        raise ConfigError(
            f"diagnose: {kind} returns {len(real)} tensors: {', '.join(map(repr, names))}. Expected one that counts. "
            f"Say which: output={names[0]!r}."
        )
    return real[0][0]


@dataclass(frozen=True)
class Scoring:
    """How outputs are compared with targets.

    Attributes:
        loss: the mean loss of the outputs; None where there is none.
        class_axis: the axis of the outputs that holds the classes.
        num_classes: how many; 0 where outputs are no classes.
    """

    loss: Callable[[Tensor], Tensor] | None
    class_axis: int = -1
    num_classes: int = 0


def scoring_of(recording: Recording, place: int, batch: Batch, loss: Any) -> Scoring:
    """The loss: cross-entropy for whole numbers, the mean squared error for real ones, or the user's own.

    Raises:
        ConfigError: targets whose shape does not fit the outputs, or labels out of range.
    """
    targets = batch.targets
    if targets is None:
        return Scoring(None)
    shape = shape_of(Replay(recording).outputs[place])
    is_label = not targets.is_floating_point()
    axis = _class_axis(shape, tuple(targets.shape)) if is_label else None
    if axis is not None:
        _check_labels(targets, shape[axis])
    if loss is not None:
        return Scoring(lambda outputs: loss(outputs, targets), axis or -1, shape[axis] if axis is not None else 0)
    if axis is not None:
        labels = targets.long()
        return Scoring(
            lambda outputs: functional.cross_entropy(outputs.movedim(axis, -1).flatten(0, -2), labels.flatten()),
            axis,
            shape[axis],
        )
    if not is_label and math.prod(shape) == targets.numel():
        wanted = targets.float()
        return Scoring(lambda outputs: (outputs.flatten() - wanted.flatten()).square().mean())
    expected = "labels [example] for outputs [example, class]" if is_label else f"numbers of shape {shape}"
    raise ConfigError(
        f"diagnose: targets of shape {tuple(targets.shape)} do not fit outputs of shape {shape}. Expected {expected}. "
        "Give another loss: loss=lambda outputs, targets: ..."
    )


def _class_axis(outputs: tuple[int, ...], targets: tuple[int, ...]) -> int | None:
    """Which axis of the outputs the targets lack."""
    if outputs and outputs[:-1] == targets and outputs[-1] > 1:
        return len(outputs) - 1
    if len(outputs) > 2 and (outputs[0], *outputs[2:]) == targets:
        return 1
    return None


def _check_labels(targets: Tensor, classes: int) -> None:
    wrong = targets[((targets < 0) & (targets != IGNORED)) | (targets >= classes)]
    if len(wrong):
        raise ConfigError(
            f"diagnose: labels out of range: `{int(wrong[0])}`, and {len(wrong):,} in all. Expected whole numbers from "
            f"0 to {classes - 1} for {classes} outputs. Check the labels, or the width of the head."
        )


def misfit(model: nn.Module, batch: Batch, error: InitsuiteError) -> ConfigError:
    """The error for a model that cannot be called with a batch."""
    cause = error.__cause__ or error
    first = str(cause).strip().splitlines()
    return ConfigError(
        f"diagnose: {type(model).__name__} does not take the example, {batch.in_words}: {type(cause).__name__}: "
        f"{first[0] if first else ''}. Expected inputs that its forward takes."
    )
