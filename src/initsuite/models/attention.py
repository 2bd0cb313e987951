"""Transformer blocks: attention and two-layer networks as residual branches, for images and for text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initsuite.activations import ActivationLayer
from initsuite.errors import bad_value
from initsuite.models.branch import Branch, Residual
from initsuite.models.options import check_choice, check_sizes, check_switch, in_order
from initsuite.models.recurrent import GatedLinear
from initsuite.spec import Activation


class PartEmbedding(nn.Embedding):
    """A table of vectors that says what they are for, as `GatedLinear` does.

    Args:
        rows: number of vectors, from 1.
        width: features of each vector, from 1.
        part: `position` or `token` (`ParamSpec.parts`).
        gain: what the vectors are multiplied by when they are looked up.
    """

    def __init__(self, rows: int, width: int, part: str, gain: float = 1.0) -> None:
        super().__init__(rows, width)
        self.parts = (part,)
        self.gain = gain

    def forward(self, input: Tensor) -> Tensor:  # the name that torch gives it
        found = super().forward(input)
        return found if self.gain == 1 else self.gain * found

    def whole(self, like: Tensor) -> Tensor:
        """All vectors in their order, [row, width], by a look-up on the device of `like`."""
        return self(torch.arange(self.num_embeddings, device=like.device))


class Attention(nn.Module):
    """Multi-head attention of a sequence to itself: softmax(Q K^T / sqrt(width / heads)) V, heads side by side.

    Q, K and V come from one packed matrix `qkv`, heads in the order of torch's nn.MultiheadAttention, whose fused
    kernels have no batching rule.

    inputs: [example, token, width]. Returns the same shape.

    Args:
        width: features of a token, a multiple of `heads`.
        heads: from 1.
        is_causal: whether a token sees only itself and those before it.
        norm: whether a LayerNorm stands before the last layer.
    """

    def __init__(self, width: int, heads: int, *, is_causal: bool = False, norm: bool = False) -> None:
        super().__init__()
        self.qkv = GatedLinear(width, 3 * width, parts=("query", "key", "value"))
        self.norm = nn.LayerNorm(width) if norm else None
        self.out = GatedLinear(width, width, parts=("attention_out",))
        self.heads, self.is_causal = heads, is_causal

    def forward(self, inputs: Tensor) -> Tensor:
        packed = self.qkv(inputs).unflatten(-1, (3, self.heads, -1))  # [example, token, 3, head, feature]
        query, key, value = packed.transpose(-4, -2).unbind(-3)  # [example, head, token, feature]
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        if self.is_causal:
            place = torch.arange(scores.shape[-1], device=scores.device)
            scores = scores.masked_fill(place > place[:, None], -math.inf)
        mixed = (scores.softmax(-1) @ value).transpose(-3, -2).flatten(-2)
        return self.out(mixed if self.norm is None else self.norm(mixed))

    def extra_repr(self) -> str:
        return f"heads={self.heads}, is_causal={self.is_causal}"


@dataclass(frozen=True)
class BlockOptions:
    """What the blocks of a transformer are like; checked when built.

    Attributes:
        where: the model, for messages.
        depth: blocks, from 1.
        width: features of a token, a multiple of `heads`.
        heads: attention heads, from 1.
        mlp_ratio: hidden units of a block's two-layer network for each unit of width, from 1.
        norm: LayerNorm of each branch: pre (first in the branch, and once more after the last block), sub (as pre, and
            before the last layer of each branch), post (after the addition), none.
        deepnorm: shortcuts x (2 depth)^(1/4), only with norm=post.
        branch_scale: a scalar factor of each branch (`Residual`).
        is_causal: see `Attention`.

    Raises:
        ConfigError: an option outside its range, options that exclude each other.
    """

    where: str
    depth: int
    width: int
    heads: int
    mlp_ratio: int
    norm: str
    deepnorm: bool
    branch_scale: bool
    is_causal: bool

    def __post_init__(self) -> None:
        check_sizes(self.where, depth=self.depth, width=self.width, heads=self.heads, mlp_ratio=self.mlp_ratio)
        check_choice(self.where, "norm", self.norm, ("pre", "sub", "post", "none"))
        check_switch(self.where, deepnorm=self.deepnorm, branch_scale=self.branch_scale)
        if self.width % self.heads:
            expected = f"a multiple of the {self.heads} heads"
            raise bad_value(self.where, "width", self.width, expected, "Set model.heads to a divisor of it.")
        if self.deepnorm and self.norm != "post":
            raise bad_value(self.where, "norm", self.norm, "post, where deepnorm is", "Set model.norm=post.")

    @property
    def alpha(self) -> float:
        """The factor of the shortcuts; DeepNorm's is that of a network which is only an encoder or only a decoder."""
        return (2 * self.depth) ** 0.25 if self.deepnorm else 1.0

    @property
    def unusual(self) -> dict[str, bool]:
        """The words of `make_label`."""
        return {
            f"h{self.heads}": self.heads != 4,
            f"m{self.mlp_ratio}": self.mlp_ratio != 4,
            "sub": self.norm == "sub",
            "post": self.norm == "post" and not self.deepnorm,
            "nonorm": self.norm == "none",
            "deepnorm": self.deepnorm,
            "scaled": self.branch_scale,
        }


def token_gain(where: str, width: int, scale_tokens: bool) -> float:
    """sqrt(width) where token vectors are scaled, as in Vaswani et al. 2017, section 3.4; else 1."""
    check_switch(where, scale_tokens=scale_tokens)
    return math.sqrt(width) if scale_tokens else 1.0


def transformer_blocks(options: BlockOptions, activation: Activation) -> nn.Sequential:
    """Blocks of two residual branches, attention and a two-layer network, in the order of use.

    inputs: [example, token, width]. Returns the same shape.

    References:
        Vaswani et al. 2017, Attention is all you need, section 3. Xiong et al. 2020, On layer normalization in the
        transformer architecture (pre, post). Wang et al. 2022, DeepNet: scaling transformers to 1,000 layers, table 1
        (deepnorm). Wang et al. 2022, Foundation transformers, section 2.2 (sub).
    """
    blocks, is_sub = nn.Sequential(), options.norm == "sub"
    for number in range(1, options.depth + 1):
        attention = Attention(options.width, options.heads, is_causal=options.is_causal, norm=is_sub)
        _add(blocks, f"attention{number}", options, attention=attention)
        hidden = options.mlp_ratio * options.width
        phi = ActivationLayer(activation)
        linear1 = GatedLinear(options.width, hidden, parts=("mlp",))
        linear2 = GatedLinear(hidden, options.width, parts=("mlp",))
        norm2 = nn.LayerNorm(hidden) if is_sub else None
        _add(blocks, f"mlp{number}", options, linear1=linear1, activation1=phi, norm2=norm2, linear2=linear2)
    if options.norm in ("pre", "sub"):
        blocks.add_module("norm", nn.LayerNorm(options.width))
    return blocks


def _add(blocks: nn.Sequential, name: str, options: BlockOptions, **layers: nn.Module | None) -> None:
    """Add a residual branch, with its norm where it belongs."""
    first = nn.LayerNorm(options.width) if options.norm in ("pre", "sub") else None
    branch = Branch(in_order(norm=first, **layers))
    blocks.add_module(name, Residual(branch, alpha=options.alpha, branch_scale=options.branch_scale))
    if options.norm == "post":
        blocks.add_module(f"{name}_norm", nn.LayerNorm(options.width))
