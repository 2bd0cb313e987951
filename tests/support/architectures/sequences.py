"""Modules as people write them for sequences: attention, gated and mixed MLPs, state spaces."""

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
