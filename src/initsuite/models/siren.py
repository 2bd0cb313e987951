"""Networks of sines, for functions of coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from initsuite import activations
from initsuite.activations import ActivationLayer
from initsuite.errors import bad_value, check_number
from initsuite.models.options import check_sizes, make_label
from initsuite.spec import Activation


class Siren(nn.Module):
    """Hidden layers sin(omega (W x + b)), then a linear head; the first layer has an omega of its own.

    The first omega spreads the frequencies of the signal that can be fitted, the others keep the gradients of the
    hidden layers in step with their small weights.

    inputs: [example, *input_shape], flattened; coordinates, from -1 to 1 in the paper. Returns [example, output].

    Args:
        activation: the sine; its `omega` is that of all hidden layers but the first.
        depth: hidden layers, from 1.
        width: units of each hidden layer, from 1.
        omega_first: omega of the first layer, above 0.

    Raises:
        ConfigError: an option outside its range, or another activation than the sine.

    References:
        Sitzmann et al. 2020, Implicit neural representations with periodic activation functions, section 3.2 and
        supplement 1.5.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_outputs: int,
        activation: Activation,
        *,
        depth: int = 3,
        width: int = 64,
        omega_first: float = 30.0,
    ) -> None:
        super().__init__()
        if activation.name != "sine":
            fix = "Add activation=sine, or use model=mlp."
            raise bad_value("Siren", "activation", activation.name, "sine, which the model is made of", fix)
        check_sizes("Siren", input_shape, num_outputs=num_outputs, depth=depth, width=width)
        check_number("Siren", "omega_first", omega_first, above=0)
        self.layers = nn.Sequential()
        before = math.prod(input_shape)
        for number in range(1, depth + 1):
            phi = activations.activation("sine", omega=omega_first) if number == 1 else activation
            self.layers.add_module(f"linear{number}", nn.Linear(before, width))
            self.layers.add_module(f"activation{number}", ActivationLayer(phi))
            before = width
        self.layers.add_module("head", nn.Linear(before, num_outputs))
        self.label = make_label(f"siren-{depth}x{width}", {f"f{omega_first:g}": omega_first != 30})

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs.flatten(1))
