"""Recurrent networks: Elman layers, LSTM and GRU, and what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from initsuite.activations import ActivationLayer
from initsuite.errors import bad_value
from initsuite.models.options import check_sizes
from initsuite.spec import Activation


class GatedLinear(nn.Linear):
    """A linear layer that says what its outputs are for, so that `describe` sees fused matrices and recurrent ones.

    inputs: [..., in_features]. Returns [..., out_features].

    Args:
        in_features: from 1.
        out_features: a multiple of the number of parts.
        bias: whether it has one.
        parts: what each of the equal blocks of outputs is for (`ParamSpec.parts`); empty where nothing is fused.
        is_recurrent: the inputs are the hidden state of the time before.

    Raises:
        ConfigError: outputs that cannot be split evenly.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        parts: tuple[str, ...] = (),
        is_recurrent: bool = False,
    ) -> None:
        if parts and out_features % len(parts):
            expected = f"a multiple of {len(parts)}, the number of its parts"
            raise bad_value("GatedLinear", "out_features", out_features, expected)
        super().__init__(in_features, out_features, bias)
        self.parts = parts
        self.is_recurrent = is_recurrent

    def extra_repr(self) -> str:
        return ", ".join([super().extra_repr(), *self.parts, *["recurrent"] * self.is_recurrent])


class Recurrent(nn.Module, ABC):
    """Layers over a sequence, each with one `input` and one `recurrent` matrix; the last state goes to a linear head.

    `inputN.weight` = W, `inputN.bias` = b and `recurrentN.weight` = U of layer N hold those of all gates, one below the
    other in the order of `PARTS`, which is torch's. Each subclass says what a step does with W x[t] + b and U.

    inputs: [example, time, feature], or images [example, channel, height, width], which are read row by row: a
    sequence of `height` steps of channel x width features. Returns [example, output].

    Args:
        input_shape: [time, feature] or [channel, height, width] of one example.
        activation: phi; tanh is the usual one (with relu the state of an `Rnn` may grow without bound).
        depth: recurrent layers, from 1.
        width: units of each hidden state, from 1.

    Raises:
        ConfigError: an option outside its range, or inputs that are no sequence.
    """

    PARTS: tuple[str, ...] = ()
    """What the blocks of each matrix are for; empty where there is one."""

    def __init__(
        self, input_shape: Sequence[int], num_outputs: int, activation: Activation, *, depth: int = 1, width: int = 64
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        if len(input_shape) not in (2, 3):
            expected, fix = "[time, feature] or [channel, height, width]", "Use model=mlp for inputs without order."
            raise bad_value(kind, "input_shape", tuple(input_shape), expected, fix)
        check_sizes(kind, input_shape, num_outputs=num_outputs, depth=depth, width=width)
        channels = input_shape[0] if len(input_shape) == 3 else 1
        before, outputs = channels * input_shape[-1], width * max(1, len(self.PARTS))
        self.layers = nn.ModuleDict()
        phi = ActivationLayer(activation)
        for number in range(1, depth + 1):
            self.layers[f"input{number}"] = GatedLinear(before, outputs, parts=self.PARTS)
            # named after each of the two layers that it follows, where `describe` looks for it
            self.layers[f"input_activation{number}"] = phi
            recurrent = GatedLinear(width, outputs, bias=False, parts=self.PARTS, is_recurrent=True)
            self.layers[f"recurrent{number}"] = recurrent
            self.layers[f"recurrent_activation{number}"] = phi
            before = width
        self.layers["head"] = nn.Linear(before, num_outputs)
        self.depth = depth
        self.label = f"{kind.lower()}-{depth}x{width}"

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.ndim == 4:
            inputs = inputs.transpose(1, 2).flatten(2)  # [example, height, channel x width]
        states = list(inputs.unbind(1))
        for number in range(1, self.depth + 1):
            # one product for all times: what is left of each step is U h
            drives = self.layers[f"input{number}"](torch.cat(states)).chunk(len(states))
            phi, recurrent = self.layers[f"recurrent_activation{number}"], self.layers[f"recurrent{number}"]
            states = self._states(drives, recurrent, phi)
        return self.layers["head"](states[-1])

    @abstractmethod
    def _states(self, drives: Sequence[Tensor], recurrent: nn.Module, phi: nn.Module) -> list[Tensor]:
        """Hidden states [example, width] of one layer at every time; drives: W x + b, [example, outputs], likewise."""


class Rnn(Recurrent):
    """Elman layers over a sequence, with the inputs, outputs and options of `Recurrent`.

    h[t] = phi(W x[t] + b + U h[t-1]) with h[-1] = 0. torch's nn.RNN has a second bias, which adds nothing, and cannot
    be stacked by vmap. W and U are two layers with weights to `describe`, and phi follows both: an initializer scales
    each as if the other were absent, so that a step whose input is not small has twice the mean square pre-activation
    that the gain aims at.

    References:
        Elman 1990, Finding structure in time. Le, Jaitly and Hinton 2015, A simple way to initialize recurrent
        networks of rectified linear units, section 4.2 (images as sequences).
    """

    def _states(self, drives: Sequence[Tensor], recurrent: nn.Module, phi: nn.Module) -> list[Tensor]:
        states = [phi(drives[0])]
        for drive in drives[1:]:
            states.append(phi(drive + recurrent(states[-1])))
        return states


class Lstm(Recurrent):
    """Long short-term memory over a sequence, with the inputs, outputs and options of `Recurrent`.

    (i, f, g, o) = W x[t] + b + U h[t-1] with h[-1] = c[-1] = 0,
    c[t] = sigmoid(f) c[t-1] + sigmoid(i) phi(g), h[t] = sigmoid(o) phi(c[t]). torch's nn.LSTM has a second bias, which
    adds nothing, and cannot be stacked by vmap. phi is noted as what follows the whole matrix; the three gates apply
    the logistic sigmoid.

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


class Gru(Recurrent):
    """Gated recurrent units over a sequence, with the inputs, outputs and options of `Recurrent`.

    r = sigmoid(W_r x[t] + b_r + U_r h[t-1]), z = sigmoid(W_z x[t] + b_z + U_z h[t-1]), h[-1] = 0,
    n = phi(W_n x[t] + b_n + r (U_n h[t-1])), h[t] = (1 - z) n + z h[t-1]. The reset gate acts on U_n h, as in torch's
    nn.GRU, whose second bias is left out (the paper has none; only its part inside r (...) would add anything). phi is
    noted as what follows the whole matrix; the two gates apply the logistic sigmoid.

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
