"""Causal transformers over tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from initsuite.errors import bad_value
from initsuite.models.attention import BlockOptions, PartEmbedding, token_gain, transformer_blocks
from initsuite.models.options import check_sizes, make_label
from initsuite.spec import Activation


class Transformer(nn.Module):
    """A decoder-only transformer: at each time, scores for the next token from the tokens so far.

    Token and position vectors are added, then come transformer blocks with causal attention and a linear head that
    shares no weights with the tokens. There are as many tokens as outputs.

    inputs: [example, time], int64, from 0 to num_outputs - 1; any time up to that of `input_shape`. Returns
    [example, time, output].

    Args:
        input_shape: [time] of one example.
        num_outputs: tokens, from 1.
        activation: within each block's two-layer network; gelu is the usual one.
        depth, width, heads, mlp_ratio, norm, deepnorm, branch_scale: options of the blocks, see `BlockOptions`.
        scale_tokens: token vectors times sqrt(width), before positions are added.

    Raises:
        ConfigError: an option outside its range, options that exclude each other, or inputs that are not a sequence
            of tokens.

    References:
        Radford et al. 2019, Language models are unsupervised multitask learners, section 2.3. Wang et al. 2022
        (deepnorm). Bachlechner et al. 2020, ReZero is all you need (branch_scale).
    """

    added_options: ClassVar = {"scale_tokens": False}

    def __init__(
        self,
        input_shape: Sequence[int],
        num_outputs: int,
        activation: Activation,
        *,
        depth: int = 2,
        width: int = 64,
        heads: int = 4,
        mlp_ratio: int = 4,
        norm: str = "pre",
        deepnorm: bool = False,
        branch_scale: bool = False,
        scale_tokens: bool = False,
    ) -> None:
        super().__init__()
        kind = "Transformer"
        options = BlockOptions(kind, depth, width, heads, mlp_ratio, norm, deepnorm, branch_scale, is_causal=True)
        if len(input_shape) != 1:
            fix = "Use a data set of text; model=vit for images."
            raise bad_value(kind, "input_shape", tuple(input_shape), "[time]", fix)
        check_sizes(kind, input_shape, num_outputs=num_outputs)
        self.token = PartEmbedding(num_outputs, width, "token", token_gain(kind, width, scale_tokens))
        self.position = PartEmbedding(input_shape[0], width, "position")
        self.blocks = transformer_blocks(options, activation)
        self.head = nn.Linear(width, num_outputs)
        self.label = make_label(f"transformer-{depth}x{width}", {**options.unusual, "sqrtd": scale_tokens})

    def forward(self, inputs: Tensor) -> Tensor:
        places = torch.arange(inputs.shape[-1], device=inputs.device)
        return self.head(self.blocks(self.token(inputs) + self.position(places)))
