"""Recurrent networks with gated units."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from initsuite.models.recurrent import Recurrent


class Gru(Recurrent):
    """Gated recurrent units over a sequence; the last hidden state of the last layer goes to a linear head.

    r = sigmoid(W_r x[t] + b_r + U_r h[t-1]), z = sigmoid(W_z x[t] + b_z + U_z h[t-1]), h[-1] = 0,
    n = phi(W_n x[t] + b_n + r (U_n h[t-1])), h[t] = (1 - z) n + z h[t-1].
    `inputN.weight` = W, `inputN.bias` = b, `recurrentN.weight` = U, each with the blocks reset_gate, update_gate and
    new, in torch's order. The reset gate acts on U_n h, as in torch's nn.GRU, whose second bias is left out (the paper
    has none; only its part inside r (...) would add anything). phi is noted as what follows the whole matrix; on the
    two gates it is the logistic sigmoid.

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
        Cho et al. 2014, Learning phrase representations using RNN encoder-decoder for statistical machine translation,
        section 2.3; version 1 of the paper has the reset gate where it is here.
    """

    PARTS = ("reset_gate", "update_gate", "new")

    def _states(self, drives: Sequence[Tensor], recurrent: nn.Module, phi: nn.Module) -> list[Tensor]:
        states: list[Tensor] = []
        for drive in drives:
            reset, update, new = drive.chunk(3, dim=-1)
            if not states:  # nothing to remember yet
                states.append((1 - update.sigmoid()) * phi(new))
                continue
            reset_state, update_state, new_state = recurrent(states[-1]).chunk(3, dim=-1)
            candidate = phi(new + (reset + reset_state).sigmoid() * new_state)
            kept = (update + update_state).sigmoid()
            states.append(candidate + kept * (states[-1] - candidate))
        return states
