"""The losses and scores a data set can name: functions of a batch that return a value per example, safe under `vmap`.

With each comes what a model that knows nothing gets, which is what a diverged trial counts as: the loss of the uniform
guess, the score of the best constant one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from initsuite.data.base import Dataset
from initsuite.errors import bad_value, unknown_choice

Measure = Callable[[Tensor, Tensor], Tensor]
"""(outputs [example, ...], targets [example, ...]) -> [example]"""


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(outputs)[target], in nats; for a sequence, the mean over its characters.

    Args:
        outputs: [example, output] or [example, time, output], logits.
        targets: [example] or [example, time], int64 class indices.

    Returns:
        [example], from 0.
    """
    loss = functional.cross_entropy(outputs.flatten(0, -2), targets.flatten(), reduction="none")
    return _mean_of_each(loss.view(targets.shape))


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """(output - target)^2, the mean over the outputs of an example; [example, output] -> [example], from 0."""
    return _mean_of_each((outputs - targets).square())


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Whether the largest output is the target's: 1 or 0, or the share of an example's characters; arguments as for
    `cross_entropy`."""
    return _mean_of_each((outputs.argmax(-1) == targets).to(outputs.dtype))


def bits_per_char(outputs: Tensor, targets: Tensor) -> Tensor:
    """`cross_entropy` in bits: what a code made from the outputs needs for a character of an example."""
    return cross_entropy(outputs, targets) / math.log(2)


def _mean_of_each(values: Tensor) -> Tensor:
    """[example, ...] -> [example]."""
    return values if values.ndim == 1 else values.flatten(1).mean(1)


def _uniform_nats(dataset: Dataset) -> float:
    """The cross-entropy of the uniform guess."""
    return math.log(dataset.num_outputs)


def _shares(dataset: Dataset) -> Tensor:
    """The share of each class in the training targets, [output], float64."""
    counts = dataset.train.targets.flatten().bincount(minlength=dataset.num_outputs).double()
    return counts / counts.sum()


def _guess_accuracy(dataset: Dataset) -> float:
    """The accuracy of always giving the most frequent target."""
    return float(_shares(dataset).max())


def _guess_bits(dataset: Dataset) -> float:
    """The bits of always giving the frequencies of the targets: their entropy."""
    return float(torch.special.entr(_shares(dataset)).sum()) / math.log(2)


def _guess_mse(dataset: Dataset) -> float:
    """The mean squared error of the best constant: the variance of the training targets."""
    return float(dataset.train.targets.double().var(0, correction=0).mean())


@dataclass(frozen=True)
class _Kind:
    """A measure, the type of the targets it takes, and its value for a model that knows nothing."""

    function: Measure
    targets: torch.dtype
    chance: Callable[[Dataset], float]


LOSSES = {
    "cross_entropy": _Kind(cross_entropy, torch.int64, _uniform_nats),
    "mse": _Kind(mean_squared_error, torch.float32, _guess_mse),
}
SCORES = {
    "accuracy": _Kind(accuracy, torch.int64, _guess_accuracy),
    "mse": _Kind(mean_squared_error, torch.float32, _guess_mse),
    "bits_per_char": _Kind(bits_per_char, torch.int64, _guess_bits),
}


def loss_of(name: str, dataset: Dataset) -> tuple[Measure, float]:
    """The loss of this name, and that of a model that knows nothing: the uniform guess, or the best constant.

    Raises:
        ConfigError: an unknown name, or one for targets of another type.
    """
    return _find("loss", LOSSES, name, dataset)


def score_of(name: str, dataset: Dataset) -> tuple[Measure, float]:
    """The metric of this name, and the score of the best constant guess; raises as `loss_of`."""
    return _find("metric", SCORES, name, dataset)


def _find(what: str, kinds: dict[str, _Kind], name: str, dataset: Dataset) -> tuple[Measure, float]:
    if name not in kinds:
        raise unknown_choice("dataset", what, name, kinds)
    kind, found = kinds[name], dataset.train.targets.dtype
    if found != kind.targets:
        fitting = [other for other, candidate in kinds.items() if candidate.targets == found]
        raise bad_value("dataset", what, name, f"one for targets of type {found}: {', '.join(fitting)}")
    return kind.function, kind.chance(dataset)
