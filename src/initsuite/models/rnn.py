"""Plain recurrent networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from initsuite.activations import ActivationLayer
from initsuite.errors import bad_value, check_whole_number
from initsuite.spec import Activation


class Rnn(nn.Module):
    """Elman layers over a sequence; the last hidden state of the last layer goes to a linear head.

    h[t] = phi(W x[t] + b + U h[t-1]) with h[-1] = 0, `inputN.weight` = W, `inputN.bias` = b, `recurrentN.weight` = U.
    torch's nn.RNN has a second bias, which adds nothing, and cannot be stacked by vmap. W and U are two layers with
    weights to `describe`, and phi follows both: an initializer scales each as if the other were absent, so that a
    step whose input is not small has twice the mean square pre-activation that the gain aims at.

    inputs: [example, time, feature], or images [example, channel, height, width], which are read row by row: a
    sequence of `height` steps of channel x width features. Returns [example, output].

    Args:
        input_shape: [time, feature] or [channel, height, width] of one example.
        num_outputs: from 1.
        activation: phi; tanh is the usual one (with relu the state may grow without bound).
        depth: recurrent layers, from 1.
        width: units of each hidden state, from 1.

    Raises:
        ConfigError: an option outside its range, or inputs that are no sequence.

    References:
        Elman 1990, Finding structure in time. Le, Jaitly and Hinton 2015, A simple way to initialize recurrent
        networks of rectified linear units, section 4.2 (images as sequences).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_outputs: int,
        activation: Activation,
        *,
        depth: int = 1,
        width: int = 64,
    ) -> None:
        super().__init__()
        _check_options(input_shape, num_outputs, depth, width)
        channels = input_shape[0] if len(input_shape) == 3 else 1
        before = channels * input_shape[-1]
        self.layers = nn.ModuleDict()
        phi = ActivationLayer(activation)
        for number in range(1, depth + 1):
            self.layers[f"input{number}"] = nn.Linear(before, width)
            # named after each of the two layers that it follows, where `describe` looks for it
            self.layers[f"input_activation{number}"] = phi
            self.layers[f"recurrent{number}"] = nn.Linear(width, width, bias=False)
            self.layers[f"recurrent_activation{number}"] = phi
            before = width
        self.layers["head"] = nn.Linear(before, num_outputs)
        self.depth = depth
        self._label = f"rnn-{depth}x{width}"

    @property
    def label(self) -> str:
        """The model in a word: `rnn-1x64`."""
        return self._label

    def forward(self, inputs: Tensor) -> Tensor:
        states = _time_first(inputs).unbind()
        for number in range(1, self.depth + 1):
            states = self._layer(number, states)
        return self.layers["head"](states[-1])

    def _layer(self, number: int, sequence: Sequence[Tensor]) -> Sequence[Tensor]:
        """Hidden states of one layer at every time; sequence: [example, feature] at every time."""
        phi, recurrent = self.layers[f"recurrent_activation{number}"], self.layers[f"recurrent{number}"]
        # one product for all times: what is left of each step is U h
        projected = self.layers[f"input{number}"](torch.cat(list(sequence))).chunk(len(sequence))
        states = [phi(projected[0])]
        for drive in projected[1:]:
            states.append(phi(drive + recurrent(states[-1])))
        return states


def _time_first(inputs: Tensor) -> Tensor:
    """[time, example, feature]; of an image [example, channel, height, width] the rows are the times."""
    if inputs.ndim == 4:
        return inputs.permute(2, 0, 1, 3).flatten(2)
    return inputs.transpose(0, 1)


def _check_options(input_shape: Sequence[int], num_outputs: int, depth: int, width: int) -> None:
    if len(input_shape) not in (2, 3):
        expected = "[time, feature] or [channel, height, width]"
        raise bad_value("Rnn", "input_shape", tuple(input_shape), expected, "Use model=mlp for inputs without order.")
    for size in input_shape:
        check_whole_number("Rnn", "input_shape", size)
    for name, value in (("num_outputs", num_outputs), ("depth", depth), ("width", width)):
        check_whole_number("Rnn", name, value)
