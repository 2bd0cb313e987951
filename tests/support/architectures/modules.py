"""Modules as people write them, each for one way of using a weight."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Kan(nn.Module):
    """A Kolmogorov-Arnold layer: a spline on each edge, as sums over basis functions, beside a base layer."""

    def __init__(self, inputs: int, outputs: int, knots: int = 5) -> None:
        super().__init__()
        self.base_weight = nn.Parameter(torch.randn(outputs, inputs) * 0.1)
        self.spline_weight = nn.Parameter(torch.randn(outputs, inputs, knots) * 0.1)
        self.register_buffer("knots", torch.linspace(-2, 2, knots))

    def forward(self, x: Tensor) -> Tensor:
        basis = torch.exp(-((x[..., None] - self.knots) ** 2))
        return F.linear(F.silu(x), self.base_weight) + F.linear(basis.flatten(1), self.spline_weight.flatten(1))


class Equalised(nn.Module):
    """A linear layer with equalised learning rate: the stored weight is unit normal, the factor is applied in use."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(outputs, inputs)), nn.Parameter(torch.zeros(outputs))
        self.factor = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.factor, self.bias)


class Standardised(nn.Conv2d):
    """Weight standardisation."""

    def forward(self, x: Tensor) -> Tensor:
        mean, std = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, (self.weight - mean) / (std + 1e-5), self.bias, self.stride, self.padding)


class Transposed(nn.Module):
    """A weight stored [input, output], as GPT-2's Conv1D."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs) * 0.02), nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Residual(nn.Module):
    """A basic block, with a projection as its shortcut where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.blocks(F.relu(self.bn1(self.conv1(x)))).mean((2, 3)))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.up = nn.ConvTranspose2d(32, 16, 2, 2)
        self.merge, self.out = nn.Conv2d(32, 16, 3, padding=1), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = F.leaky_relu(self.down1(x), 0.2)
        second = F.leaky_relu(self.down2(F.max_pool2d(first, 2)), 0.2)
        return self.out(F.elu(self.merge(torch.cat([first, F.leaky_relu(self.up(second), 0.2)], 1))))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], **options: object) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(96, 32), kind(32, 40, batch_first=True, **options)
        self.head = nn.Linear(80 if options.get("bidirectional") else 40, 96)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(tokens))[0])


class ActorCritic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 96), nn.Tanh(), nn.Linear(96, 48), nn.Tanh())
        self.actor, self.critic = nn.Linear(48, 6), nn.Linear(48, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x)
        return self.actor(x), self.critic(x)


class Lora(nn.Module):
    """A layer with a low-rank addition whose second factor starts at 0; beside the layer, or added to its weight."""

    def __init__(self, inputs: int, outputs: int, *, is_merged: bool, rank: int = 4) -> None:
        super().__init__()
        self.is_merged, self.base = is_merged, nn.Linear(inputs, outputs)
        self.lora_A = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
        self.lora_B = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: Tensor) -> Tensor:
        if self.is_merged:
            return F.linear(x, self.base.weight + self.lora_B @ self.lora_A, self.base.bias)
        return self.base(x) + F.linear(F.linear(x, self.lora_A), self.lora_B)


class Siren(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 48), nn.Linear(48, 48), nn.Linear(48, 3)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.sin(30 * layer(x))
        return self.layers[-1](x)


class Reused(nn.Module):
    """One layer that is called several times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(64, 48), nn.Linear(48, 48), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for _ in range(3):
            x = F.relu(self.middle(x))
        return self.last(x)


class Unfolded(nn.Module):
    """A convolution as a matrix product over patches, and a linear layer by einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.mix = nn.Parameter(torch.randn(24, 27) * 0.1), nn.Parameter(torch.randn(24, 40) * 0.1)
        self.head = nn.Parameter(torch.randn(40, 10) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.patch @ F.unfold(x, 3, padding=1))
        return torch.tanh(torch.einsum("bcl,cd->bld", x, self.mix)).mean(1) @ self.head


class TiedAutoencoder(nn.Module):
    """A decoder that multiplies by the transpose of the encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.code = nn.Linear(64, 40), nn.Linear(40, 40)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.elu(self.code(F.elu(self.encoder(x)))), self.encoder.weight.T)


class Mixed(nn.Module):
    """Modules that are seldom met: a bag of embeddings, a bilinear form, one convolution over time, a GRU cell."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.table = nn.EmbeddingBag(96, 24), nn.Embedding(96, 24)
        self.time, self.cell = nn.Conv1d(24, 32, 5, padding=2), nn.GRUCell(24, 32)
        self.form, self.head = nn.Bilinear(32, 32, 20), nn.Linear(20, 7)

    def forward(self, tokens: Tensor) -> Tensor:
        moved = F.mish(self.time(self.table(tokens).transpose(1, 2))).mean(-1)
        return self.head(F.relu(self.form(moved, self.cell(self.bag(tokens)))))
