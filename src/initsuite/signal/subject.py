"""What is measured on: a batch, the recorded pass of a model over it, the loss of its outputs."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_flatten

from initsuite.errors import ConfigError, InitsuiteError
from initsuite.models.describe.describe import Description, examine
from initsuite.models.describe.graph.contractions import shape_of
from initsuite.models.describe.graph.recording import Recording, record
from initsuite.signal.replay import Replay

IGNORED = -100
"""The label that torch's cross-entropy leaves out."""


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


def described(network: nn.Module, batch: Batch) -> tuple[Description, Recording]:
    """The facts about the parameters, and the pass that is measured, with the batch norms in training mode."""
    try:
        description = examine(network, example=(batch.args, dict(batch.kwargs)), frozen="draw")
    except ConfigError:
        raise
    except InitsuiteError as error:
        if "cannot record" in str(error):
            raise misfit(network, batch, error) from error
        raise
    recording = description.recording
    assert recording is not None
    if any(isinstance(module, _BatchNorm) for module in network.modules()):
        trained = record(network, recording.example, is_training=lambda module: isinstance(module, _BatchNorm))
        if trained is None:
            warnings.warn("batch norm cannot use the statistics of this batch; it uses its running ones", stacklevel=2)
        recording = trained or recording
    if lacking := Replay(recording).without_values:
        raise InitsuiteError(f"diagnose: {len(lacking)} constants of the forward pass have no value. Expected buffers "
                             "with values, not on the meta device.")  # fmt: skip
    return description, recording


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
        pair: (outputs, targets) -> the mean loss, of a part of the batch as well.
    """

    loss: Callable[[Tensor], Tensor] | None
    class_axis: int = -1
    num_classes: int = 0
    pair: Callable[[Tensor, Tensor], Tensor] | None = None

    @classmethod
    def of(cls, pair: Callable[[Tensor, Tensor], Tensor], targets: Tensor, axis: int | None, classes: int) -> Scoring:
        """With the targets of the batch."""
        return cls(lambda outputs: pair(outputs, targets), -1 if axis is None else axis, classes, pair)


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
    classes = shape[axis] if axis is not None else 0
    if loss is not None:
        return Scoring.of(loss, targets, axis, classes)
    if axis is not None:
        return Scoring.of(functools.partial(_cross_entropy, axis), targets, axis, classes)
    if not is_label and math.prod(shape) == targets.numel():
        return Scoring.of(_mean_squared_error, targets, None, 0)
    expected = "labels [example] for outputs [example, class]" if is_label else f"numbers of shape {shape}"
    raise ConfigError(
        f"diagnose: targets of shape {tuple(targets.shape)} do not fit outputs of shape {shape}. Expected {expected}. "
        "Give another loss: loss=lambda outputs, targets: ..."
    )


def _cross_entropy(axis: int, outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.movedim(axis, -1).flatten(0, -2), targets.long().flatten())


def _mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.flatten() - targets.float().flatten()).square().mean()


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
