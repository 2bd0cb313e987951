"""Recurrent networks with a memory cell."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from initsuite.models.recurrent import Recurrent


class Lstm(Recurrent):
    """Long short-term memory over a sequence; the last hidden state of the last layer goes to a linear head.

    (i, f, g, o) = W x[t] + b + U h[t-1] with h[-1] = c[-1] = 0,
    c[t] = sigmoid(f) c[t-1] + sigmoid(i) phi(g), h[t] = sigmoid(o) phi(c[t]).
    `inputN.weight` = W, `inputN.bias` = b, `recurrentN.weight` = U, each with the blocks input_gate, forget_gate, cell
    and output_gate, in torch's order. torch's nn.LSTM has a second bias, which adds nothing, and cannot be stacked by
    vmap. phi is noted as what follows the whole matrix; on the three gates it is the logistic sigmoid.

    inputs: [example, time, feature], or images [example, channel, height, width], which are read row by row: a
    sequence of `height` steps of channel x width features. Returns [example, output].

    Args:
        input_shape: [time, feature] or [channel, height, width] of one example.
        num_outputs: from 1.
        activation: phi; tanh is the usual one.
        depth: recurrent layers, from 1.
        width: units of each hidden state, from 1.

    Raises:
        ConfigError: an option outside its range, or inputs that are no sequence.

    References:
        Hochreiter and Schmidhuber 1997, Long short-term memory. Gers, Schmidhuber and Cummins 2000, Learning to forget
        (the forget gate).
    """

    PARTS = ("input_gate", "forget_gate", "cell", "output_gate")

    def _states(self, drives: Sequence[Tensor], recurrent: nn.Module, phi: nn.Module) -> list[Tensor]:
        states: list[Tensor] = []
        cell = None
        for drive in drives:
            gates = drive + recurrent(states[-1]) if states else drive
            entrance, forget, candidate, output = gates.chunk(4, dim=-1)
            written = entrance.sigmoid() * phi(candidate)
            cell = written if cell is None else forget.sigmoid() * cell + written
            states.append(output.sigmoid() * phi(cell))
        return states
