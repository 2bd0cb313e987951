"""An initializer, a model and a data set of your own."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from initsuite.activations import ActivationLayer
from initsuite.data.base import Dataset, Split
from initsuite.spec import Activation, ParamSpec


@dataclass(frozen=True)
class Triangular:
    """The sum of two uniform draws: Var[w] = gain^2 / fan_in, biases 0."""

    gain: float = 1.0

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        std = self.gain / spec.fan_in**0.5
        uniform = torch.rand(2, *spec.shape, generator=generator) - 0.5
        return uniform.sum(0) * std * 6**0.5


class Funnel(nn.Module):
    """Two hidden layers, the second half as wide as the first."""

    def __init__(
        self, input_shape: tuple[int, ...], num_outputs: int, activation: Activation, *, width: int = 64
    ) -> None:
        super().__init__()
        sizes = [torch.Size(input_shape).numel(), width, width // 2]
        hidden = [(nn.Linear(fan_in, fan_out), ActivationLayer(activation)) for fan_in, fan_out in pairwise(sizes)]
        layers = [layer for pair in hidden for layer in pair]
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(width // 2, num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


def spirals(*, num_arms: int = 3) -> Dataset:
    """Points in the plane [example, 2] on the arms of a spiral."""

    def split(seed: int, size: int) -> Split:
        generator = torch.Generator().manual_seed(seed)
        arm = torch.randint(num_arms, (size,), generator=generator)
        radius = torch.rand(size, generator=generator)
        angle = 5 * radius + 2 * torch.pi * arm / num_arms + 0.2 * torch.randn(size, generator=generator)
        return Split(torch.stack([radius * angle.cos(), radius * angle.sin()], 1), arm)

    return Dataset(split(0, 2000), split(1, 500), split(2, 500), num_outputs=num_arms)
