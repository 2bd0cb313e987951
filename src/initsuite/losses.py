"""The losses a data set can name: functions of one batch that return a value per example, safe under `vmap`."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from initsuite.errors import bad_value, unknown_choice

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs [example, output], targets [example]) -> [example]"""


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(outputs)[target], in nats.

    Args:
        outputs: [example, output], logits.
        targets: [example], int64 class indices.

    Returns:
        [example], from 0.
    """
    return functional.cross_entropy(outputs, targets, reduction="none")


FUNCTIONS: dict[str, Loss] = {"cross_entropy": cross_entropy}


def loss_function(name: str) -> Loss:
    """The loss of this name.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in FUNCTIONS:
        raise unknown_choice("loss_function", "name", name, FUNCTIONS)
    return FUNCTIONS[name]


def chance_loss(name: str, num_outputs: int) -> float:
    """The loss of a model that knows nothing, which a diverged trial counts as.

    For cross_entropy: log(num_outputs), of the uniform guess, in nats.

    Args:
        name: of the loss.
        num_outputs: classes, from 1.

    Raises:
        ConfigError: an unknown name, no outputs.

    Example:
        >>> round(chance_loss("cross_entropy", 10), 4)
        2.3026
    """
    loss_function(name)
    if num_outputs < 1:
        raise bad_value("chance_loss", "num_outputs", num_outputs, "a number of classes from 1")
    return math.log(num_outputs)
