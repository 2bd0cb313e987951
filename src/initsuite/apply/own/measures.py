"""What a person's trials are scored by: the loss, the metric, what a model that knows nothing gets, and the levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from initsuite.apply.own.network import shapes_of
from initsuite.apply.own.reading import WHERE
from initsuite.apply.own.sources import Identity
from initsuite.config import catalogue
from initsuite.data import losses
from initsuite.data.base import Dataset, Split, Tree
from initsuite.engine.passes import arguments, picked
from initsuite.engine.stack import start_of
from initsuite.engine.workload import Workload
from initsuite.errors import ConfigError, bad_value, check_number, unknown_choice
from initsuite.init import as_initializer
from initsuite.protocol.yardstick import LEVELS, METRICS
from initsuite.spec import Params

Measure = Callable[[Any, Tree], Tensor]
_NAMES = {functional.cross_entropy: "cross_entropy", functional.mse_loss: "mse"}
"""Functions of torch that are losses of the suite."""
OWN, LOSS = "own", "loss"
_OWN_METRICS = {"max": "score", "min": "error"}
DICT_FIX = "Say which part holds the outputs, as output='logits', or give loss= a function of (what it returns, batch)."


@dataclass(frozen=True)
class Measures:
    """Loss and metric by name, and as functions.

    Attributes:
        loss: (outputs, targets) -> [example], or one number for the batch.
        score: likewise.
        loss_name: one of `losses.LOSSES`, or `own`.
        metric: one of `METRICS`.
        identity: of functions of the person's own.
        notes: what to tell the user.
    """

    loss: Measure
    score: Measure
    loss_name: str
    metric: str
    identity: Identity
    notes: tuple[str, ...] = ()

    @property
    def are_ours(self) -> bool:
        """Whether both are the mean over examples of a function of the suite."""
        return self.loss_name != OWN and self.metric in losses.SCORES


def measures_of(loss: Any, metric: Any, direction: str | None, outputs: Any, few: Split) -> Measures:
    """Choose what fits the targets, or take what is given.

    Args:
        loss: a name, a function of (outputs, targets), an nn.Module such as nn.CrossEntropyLoss(), or None.
        metric: a name, such a function, or None.
        direction: max or min, of a metric that is a function.
        outputs: what the model gives for the first examples.
        few: these examples.

    Raises:
        ConfigError: an unknown name, a function that does not take the outputs, or nothing that fits.
    """
    identity, targets, notes = Identity(), few.targets, []
    kind = _kind(targets)
    if loss is None and targets is None and hasattr(outputs, "loss") and isinstance(outputs.loss, Tensor):
        loss, notes = _of_the_model, ["Loss: that which the model returns (outputs.loss)."]
    if loss is None:
        if kind is None:
            expected = "a function of (outputs, targets): no loss of the suite is for these targets"
            raise bad_value(WHERE, "loss", None, expected, f"Targets: {shapes_of(targets) or 'none'}.")
        loss = "cross_entropy" if kind == "classes" else "mse"
    loss = _NAMES.get(loss, loss) if callable(loss) and not isinstance(loss, torch.nn.Module) else loss
    chosen = _named_or_own("loss", loss, losses.LOSSES, identity)
    if metric is None:
        metric = _usual_metric(loss, kind, outputs, targets)
    if callable(metric) and direction not in _OWN_METRICS:
        fix = "Add direction='max' or direction='min'."
        raise bad_value(
            WHERE, "direction", direction, "max (higher is better) or min, beside a metric of your own", fix
        )
    score = chosen if metric == LOSS else _named_or_own("metric", metric, losses.SCORES, identity)
    name = _OWN_METRICS[str(direction)] if callable(metric) else metric
    if isinstance(metric, str) and direction not in (None, METRICS[metric].direction):
        raise bad_value(WHERE, "direction", direction, f"{METRICS[metric].direction}, of metric={metric}")
    found = Measures(chosen, score, loss if isinstance(loss, str) else OWN, name, identity, tuple(notes))
    named = {found.loss_name, found.metric} & {*losses.LOSSES, *losses.SCORES}
    if named and not isinstance(outputs, Tensor):
        raise ConfigError(f"{WHERE}: the model returns {parts_of(outputs)}. Expected a tensor of outputs. {DICT_FIX}")
    if named:
        _check_fit(named, outputs, cast("Tensor", targets))
    return found


def _of_the_model(outputs: Any, batch: Tree) -> Tensor:
    return outputs.loss


def _kind(targets: Tree) -> str | None:
    if not isinstance(targets, Tensor) or targets.is_complex():
        return None
    return "values" if targets.is_floating_point() else "classes"


def _usual_metric(loss: Any, kind: str | None, outputs: Any, targets: Tree) -> str:
    is_logits = isinstance(outputs, Tensor) and isinstance(targets, Tensor) and outputs.shape[:-1] == targets.shape
    if kind == "classes" and is_logits:
        return "accuracy"
    return "mse" if loss == "mse" else LOSS


def _named_or_own(what: str, given: Any, known: Mapping[str, Any], identity: Identity) -> Measure:
    if callable(given):
        identity.add(given, what)
        return cast("Measure", given)
    if given not in known:
        choices = [*known, "loss"] if what == "metric" else list(known)
        raise unknown_choice(WHERE, what, given, choices, "Or give a function of (outputs, targets).")
    return known[given].function


def check_measures(measures: Measures, outputs: Any, few: Split) -> None:
    """Call both on the first examples.

    Raises:
        ConfigError: one of them fails, or does not return what it should.
    """
    for what, function in (("loss", measures.loss), ("metric", measures.score)):
        try:
            value = measured(function, outputs, few.inputs, few.targets)
        except Exception as error:  # a person's code may raise anything
            raise ConfigError(
                f"{WHERE}: the {what} failed on what the model returns ({shapes_of(outputs) or parts_of(outputs)}) and "
                f"the targets ({shapes_of(few.targets) or 'none: it is given the inputs'}). "
                f"{type(error).__name__}: {error}"
            ) from error
        shape = tuple(value.shape) if isinstance(value, Tensor) else None
        if shape not in ((), (len(few),)):
            got = f"{type(value).__name__}{f' of shape {list(shape)}' if shape is not None else ''}"
            raise bad_value(WHERE, what, got, f"one number, or one for each of the {len(few)} examples, as a tensor")


def measured(measure: Measure, outputs: Any, inputs: Tree, targets: Tree) -> Tensor:
    """A loss or score of outputs: [example], or one number for the batch."""
    return measure(outputs, inputs if targets is None else targets)


def parts_of(outputs: Any) -> str:
    """What a model returns, in words."""
    if isinstance(outputs, Mapping):
        return f"a dictionary of {', '.join(map(str, outputs))}"
    named = f" of {len(outputs)}" if isinstance(outputs, tuple | list) else ""
    return f"a {type(outputs).__name__}{named}"


def _check_fit(named: set[str], outputs: Tensor, targets: Tensor) -> None:
    is_of_classes = not targets.is_floating_point()
    if is_of_classes and outputs.shape[:-1] != targets.shape:
        fix = (
            "Put the classes last."
            if outputs.ndim > 2 and outputs.shape[:1] + outputs.shape[2:] == targets.shape
            else ""
        )
        expected = f"{[*targets.shape]} and then the classes, as the targets are {[*targets.shape]}"
        raise bad_value(WHERE, "outputs.shape", list(outputs.shape), expected, fix or "Or give loss= of your own.")
    if not is_of_classes and outputs.shape != targets.shape:
        expected = f"{list(targets.shape)}, the shape of the targets"
        is_of_labels = outputs.shape[:-1] == targets.shape and bool((targets == targets.round()).all())
        fix = "If the targets are classes, give whole numbers: targets.long()." if is_of_labels else ""
        raise bad_value(WHERE, "outputs.shape", list(outputs.shape), expected, fix or "Or give loss= of your own.")


def with_outputs(dataset: Dataset, outputs: Any, measures: Measures) -> Dataset:
    """The data set with the number of outputs, its labels checked against it.

    Raises:
        ConfigError: labels that the outputs have no place for.
    """
    targets = dataset.train.targets
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return dataset
    num_outputs = int(outputs.shape[-1]) if outputs.ndim > 1 else 1
    is_ours = measures.loss_name == "cross_entropy" or measures.metric in ("accuracy", "bits_per_char")
    if is_ours and not targets.is_floating_point():
        for name in ("train", "validation", "test"):
            labels = getattr(dataset, name).targets
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= num_outputs:
                fix = (
                    "Negative labels that mark padding need loss= and metric= of your own."
                    if low < 0
                    else ("Count classes from 0, or give the model more outputs.")
                )
                expected = f"class indices 0 to {num_outputs - 1}, for the {num_outputs} outputs of the model"
                raise bad_value(WHERE, f"labels ({name})", f"{low} to {high}", expected, fix)
    return replace(dataset, num_outputs=num_outputs)


def of_nothing(workload: Workload, measure: Measure) -> float:
    """What a model that knows nothing gets on the validation split: one with weights of 0, which gives a constant.

    Where zeros give no finite number, as in a model that normalises its weights, it is one that has not been trained.
    """
    drawn = start_of(workload, as_initializer(catalogue.build("torch_default", {})), seed=0)[0].params
    own = {name: value.detach() for name, value in workload.model.named_parameters() if name not in drawn}
    value = _mean(workload, measure, own | {name: torch.zeros_like(tensor) for name, tensor in drawn.items()})
    return value if math.isfinite(value) else _mean(workload, measure, own | drawn)


@torch.no_grad()
def _mean(workload: Workload, measure: Measure, params: Params) -> float:
    split, size = workload.dataset.validation, workload.batch_size
    total = 0.0
    model = workload.model.eval()
    for begin in range(0, len(split), size):
        part = split.map(lambda tensor, begin=begin: tensor[begin : begin + size])
        args, kwargs = arguments(part.inputs)
        outputs = picked(functional_call(model, params, args, kwargs), workload.output)
        total += float(measured(measure, outputs, part.inputs, part.targets).double().mean()) * len(part)
    return total / len(split)


def levels_of(targets: Any) -> dict[str, float | None]:
    """The levels of a person's `targets`: a number is the primary one.

    Example:
        >>> levels_of(0.9)
        {'easy': None, 'primary': 0.9, 'hard': None}
    """
    given = targets if isinstance(targets, Mapping) else {"primary": targets}
    for name, level in given.items():
        if name not in LEVELS:
            raise unknown_choice(WHERE, "targets", name, LEVELS)
        if level is not None:
            check_number(WHERE, f"targets[{name}]", level)
    return {name: None if given.get(name) is None else float(given[name]) for name in LEVELS}
