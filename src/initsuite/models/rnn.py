"""Plain recurrent networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from initsuite.models.recurrent import Recurrent


class Rnn(Recurrent):
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

    def _states(self, drives: Sequence[Tensor], recurrent: nn.Module, phi: nn.Module) -> list[Tensor]:
        states = [phi(drives[0])]
        for drive in drives[1:]:
            states.append(phi(drive + recurrent(states[-1])))
        return states
