"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from initsuite.activations import ActivationLayer
from initsuite.errors import bad_value, check_whole_number
from initsuite.models.norm import check_norm
from initsuite.spec import Activation


class Mlp(nn.Module):
    """Hidden layers of Linear, BatchNorm on request, and activation; then a linear head.

    inputs: [example, *input_shape], flattened. Returns [example, output].

    Args:
        input_shape: of one example, without the batch axis.
        num_outputs: from 1.
        activation: after every hidden layer.
        depth: hidden layers, from 1.
        width: units of each hidden layer, from 1.
        widths: units of the hidden layers one by one, in the place of depth and width.
        norm: none, or batch: BatchNorm between each hidden layer and its activation.

    Raises:
        ConfigError: an option outside its range.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_outputs: int,
        activation: Activation,
        *,
        depth: int = 2,
        width: int = 64,
        widths: Sequence[int] | None = None,
        norm: str = "none",
    ) -> None:
        super().__init__()
        sizes = _hidden_sizes(depth, width, widths)
        for size in input_shape:
            check_whole_number("Mlp", "input_shape", size)
        check_whole_number("Mlp", "num_outputs", num_outputs)
        check_norm("Mlp", norm)
        self.layers = nn.Sequential()
        before = math.prod(input_shape)
        for number, size in enumerate(sizes, start=1):
            self.layers.add_module(f"linear{number}", nn.Linear(before, size))
            if norm == "batch":
                self.layers.add_module(f"norm{number}", nn.BatchNorm1d(size))
            self.layers.add_module(f"activation{number}", ActivationLayer(activation))
            before = size
        self.layers.add_module("head", nn.Linear(before, num_outputs))
        shape = "-".join(map(str, sizes)) if widths is not None else f"{depth}x{width}"
        self._label = f"mlp-{shape}{'-bn' if norm == 'batch' else ''}"

    @property
    def label(self) -> str:
        """The model in a word: `mlp-2x64`, `mlp-128-64`, `mlp-2x64-bn`."""
        return self._label

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs.flatten(1))


def _hidden_sizes(depth: int, width: int, widths: Sequence[int] | None) -> list[int]:
    """Units of each hidden layer."""
    if widths is None:
        fix = "A network without a hidden layer has nothing to compare; use depth=1 or more."
        check_whole_number("Mlp", "depth", depth, fix=fix)
        check_whole_number("Mlp", "width", width)
        return [width] * depth
    if isinstance(widths, str) or not isinstance(widths, Sequence) or not widths:
        raise bad_value(
            "Mlp", "widths", widths, "a list with the units of each hidden layer", "Example: model.widths=[128,64]"
        )
    for size in widths:
        check_whole_number("Mlp", "widths", size)
    return list(widths)
