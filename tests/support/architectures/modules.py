"""Modules as people write them, each for one way of using a weight."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def gelu_new(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class NanoBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.attn["c_attn"](self.ln_1(x)).split(width, dim=2)
        q, k, v = (each.view(batch, length, self.heads, -1).transpose(1, 2) for each in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, length, width)
        x = x + self.attn["c_proj"](y)
        return x + self.mlp["c_proj"](gelu_new(self.mlp["c_fc"](self.ln_2(x))))


class NanoGpt(nn.Module):
    """nanoGPT's layout: packed attention, a tied head, positions by number and an assert on the length."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(96, width), nn.Embedding(32, width)
        self.h = nn.ModuleList(NanoBlock(width, 4) for _ in range(2))
        self.ln_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, 96, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, index: Tensor) -> Tensor:
        assert index.shape[1] <= 32, "too long"
        x = self.wte(index) + self.wpe(torch.arange(index.shape[1], device=index.device))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


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


class Experts(nn.Module):
    """A soft mixture of experts whose weights are two tensors [expert, input, output]."""

    def __init__(self, width: int = 64, hidden: int = 96, experts: int = 4) -> None:
        super().__init__()
        self.embed, self.router = nn.Linear(64, width), nn.Linear(width, experts)
        self.w1 = nn.Parameter(torch.randn(experts, width, hidden) * 0.1)
        self.w2 = nn.Parameter(torch.randn(experts, hidden, width) * 0.1)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        shares = self.router(x).softmax(-1)
        hidden = F.gelu(torch.einsum("nd,edh->enh", x, self.w1))
        y = torch.einsum("enh,ehd->end", hidden, self.w2)
        return self.head(x + torch.einsum("end,ne->nd", y, shares))


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


class Glu(nn.Module):
    """A gated MLP; gate and up projection apart, packed, or F.glu."""

    def __init__(self, kind: str, width: int = 64, hidden: int = 96) -> None:
        super().__init__()
        self.kind, self.down, self.head = kind, nn.Linear(hidden, width, bias=False), nn.Linear(width, 10)
        if kind == "apart":
            self.gate_proj, self.up_proj = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        else:
            self.gate_up = nn.Linear(width, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "apart":
            y = F.silu(self.gate_proj(x)) * self.up_proj(x)
        elif self.kind == "packed":
            gate, up = self.gate_up(x).chunk(2, -1)
            y = F.gelu(gate) * up
        else:
            y = F.glu(self.gate_up(x))
        return self.head(x + self.down(y))


class Attention(nn.Module):
    """Attention with fewer keys than queries, packed or apart."""

    def __init__(self, kind: str, width: int = 64, heads: int = 8, groups: int = 2) -> None:
        super().__init__()
        self.kind, self.heads, self.groups, self.size = kind, heads, groups, width // heads
        narrow = groups * self.size
        if kind == "apart":
            self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(width, narrow), nn.Linear(width, narrow)
        else:
            self.mixed = nn.Linear(width, (3 * width) if kind == "interleaved" else width + 2 * narrow)
        self.out, self.head = nn.Linear(width, width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        if self.kind == "interleaved":
            mixed = self.mixed(x).view(batch, length, self.heads, 3, self.size)
            q, k, v = (each.transpose(1, 2) for each in mixed.unbind(3))
        else:
            narrow = self.groups * self.size
            made = (self.q(x), self.k(x), self.v(x)) if self.kind == "apart" else self.mixed(x).split(
                [width, narrow, narrow], -1
            )  # fmt: skip
            q, k, v = (each.view(batch, length, -1, self.size).transpose(1, 2) for each in made)
            k, v = (each.repeat_interleave(self.heads // self.groups, 1) for each in (k, v))
        weights = (q @ k.transpose(-1, -2) / math.sqrt(self.size)).softmax(-1)
        y = (weights @ v).transpose(1, 2).reshape(batch, length, width)
        return self.head(x + self.out(y))


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


class Mamba(nn.Module):
    """A selective state space block: packed input projection, causal depthwise convolution, gate."""

    def __init__(self, width: int = 32, inner: int = 64, states: int = 8, rank: int = 4) -> None:
        super().__init__()
        self.inner, self.states, self.rank = inner, states, rank
        self.embed, self.in_proj = nn.Linear(64, width), nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, 4, groups=inner, padding=3)
        self.x_proj, self.dt_proj = nn.Linear(inner, rank + 2 * states, bias=False), nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1, states + 1).float().log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj, self.head = nn.Linear(inner, width, bias=False), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        u, gate = self.in_proj(x).chunk(2, -1)
        u = F.silu(self.conv1d(u.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        rate, b, c = self.x_proj(u).split([self.rank, self.states, self.states], -1)
        rate = F.softplus(self.dt_proj(rate))
        state, outputs = torch.zeros(len(x), self.inner, self.states), []
        for step in range(x.shape[1]):
            decay = torch.exp(-rate[:, step, :, None] * self.A_log.exp())
            state = decay * state + (rate[:, step] * u[:, step])[..., None] * b[:, step, None]
            outputs.append((state * c[:, step, None]).sum(-1))
        y = torch.stack(outputs, 1) + u * self.D
        return self.head(x + self.out_proj(y * F.silu(gate)))


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


class Latents(nn.Module):
    """Learned queries that attend to inputs of another width, as in a perceiver."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(6, width))
        self.cross = nn.MultiheadAttention(width, 4, kdim=64, vdim=64, batch_first=True)
        self.inner = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        queries = self.latents.expand(len(x), -1, -1)
        y = queries + self.cross(queries, x, x)[0]
        z = self.norm(y)
        return self.head((y + self.inner(z, z, z)[0]).mean(1))


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
