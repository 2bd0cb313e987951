"""Residual networks of fully connected layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from initsuite.activations import ActivationLayer
from initsuite.errors import check_whole_number
from initsuite.models.branch import Branch, Residual
from initsuite.models.mlp import NORMS
from initsuite.models.options import check_choice, check_sizes, check_switch, in_order, make_label
from initsuite.spec import Activation


class ResidualMlp(nn.Module):
    """A linear stem, blocks x + linear2(phi(linear1(x))), and a linear head on phi of the stream.

    A norm, if there is one, is the first layer of each branch. Without it, with He's law and ReLU, each block doubles
    the mean square of the stream: what Fixup, SkipInit, ReZero and a branch factor of L^-1/2 are about, in its simplest
    form.

    inputs: [example, *input_shape], flattened. Returns [example, output].

    Args:
        activation: within branches, and before the head.
        depth: blocks, from 1.
        width: units of the stream and of each hidden layer, from 1.
        norm: first in each branch: none, batch (BatchNorm) or layer (LayerNorm).
        branch_scale: a scalar factor of each branch (`Residual`).

    Raises:
        ConfigError: an option outside its range.

    References:
        Hanin and Rolnick 2018, How to start training, section 2.3. Hayou et al. 2021, Stable ResNet, section 2.
        Bachlechner et al. 2021, ReZero is all you need, section 4 (branch_scale).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_outputs: int,
        activation: Activation,
        *,
        depth: int = 8,
        width: int = 64,
        norm: str = "none",
        branch_scale: bool = False,
    ) -> None:
        super().__init__()
        check_whole_number("ResidualMlp", "depth", depth)
        check_sizes("ResidualMlp", input_shape, num_outputs=num_outputs, width=width)
        check_choice("ResidualMlp", "norm", norm, NORMS)
        check_switch("ResidualMlp", branch_scale=branch_scale)
        make_norm = NORMS[norm]
        self.stem = nn.Linear(math.prod(input_shape), width)
        self.blocks = nn.Sequential()
        for number in range(1, depth + 1):
            layers = in_order(
                norm=make_norm(width) if make_norm else None,
                linear1=nn.Linear(width, width),
                activation1=ActivationLayer(activation),
                linear2=nn.Linear(width, width),
            )
            self.blocks.add_module(f"residual{number}", Residual(Branch(layers), branch_scale=branch_scale))
        self.activation = ActivationLayer(activation)
        self.head = nn.Linear(width, num_outputs)
        unusual = {"bn": norm == "batch", "ln": norm == "layer", "scaled": branch_scale}
        self.label = make_label(f"residual-mlp-{depth}x{width}", unusual)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.activation(self.blocks(self.stem(inputs.flatten(1)))))
