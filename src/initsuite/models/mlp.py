"""Fully connected networks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from initsuite.activations import ActivationLayer
from initsuite.errors import check_whole_number
from initsuite.models.options import check_choice, check_list, check_sizes, make_label
from initsuite.spec import Activation

NORMS: dict[str, Callable[[int], nn.Module] | None] = {"none": None, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class Mlp(nn.Module):
    """Hidden layers of Linear, a norm on request, and activation; then a linear head.

    With activation=identity and norm=none it is the deep linear network of theory.

    inputs: [example, *input_shape], flattened. Returns [example, output].

    Args:
        activation: after every hidden layer.
        depth: hidden layers, from 1.
        width: units of each hidden layer, from 1.
        widths: units of each hidden layer in turn, instead of depth and width.
        norm: between each hidden layer and its activation: none, batch (BatchNorm) or layer (LayerNorm).

    Raises:
        ConfigError: an option outside its range.

    References:
        Saxe, McClelland and Ganguli 2013, Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks (activation=identity). Ba, Kiros and Hinton 2016, Layer normalization, section 3.
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
        if widths is None:
            fix = "A network without a hidden layer has nothing to compare; use depth=1 or more."
            check_whole_number("Mlp", "depth", depth, fix=fix)
            check_whole_number("Mlp", "width", width)
        else:
            expected = "a list with the units of each hidden layer"
            check_list("Mlp", "widths", widths, expected, "model.widths=[128,64]")
        check_sizes("Mlp", input_shape, num_outputs=num_outputs)
        check_choice("Mlp", "norm", norm, NORMS)
        make_norm = NORMS[norm]
        self.layers = nn.Sequential()
        before = math.prod(input_shape)
        for number, size in enumerate(widths or itertools.repeat(width, depth), start=1):
            self.layers.add_module(f"linear{number}", nn.Linear(before, size))
            if make_norm is not None:
                self.layers.add_module(f"norm{number}", make_norm(size))
            self.layers.add_module(f"activation{number}", ActivationLayer(activation))
            before = size
        self.layers.add_module("head", nn.Linear(before, num_outputs))
        shape = f"{depth}x{width}" if widths is None else "-".join(map(str, widths))
        self.label = make_label(f"mlp-{shape}", {"bn": norm == "batch", "ln": norm == "layer"})

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs.flatten(1))
