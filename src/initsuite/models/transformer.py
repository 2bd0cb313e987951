"""Causal transformers over tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from initsuite.errors import bad_value
from initsuite.models.attention import BlockOptions, PartEmbedding, transformer_blocks
from initsuite.models.options import check_input_shape, check_sizes
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
        depth: blocks, from 1.
        width: of a token, a multiple of `heads`.
        heads: of attention, from 1.
        mlp_ratio: hidden units of a block's two-layer network for each unit of width, from 1.
        norm: LayerNorm: pre (first in each branch, and after the last block), post (after each addition), none.
        deepnorm: shortcuts x (2 depth)^(1/4), with norm=post alone.
        branch_scale: a scalar factor of each branch.

    Raises:
        ConfigError: an option outside its range, options that exclude each other, or inputs that are no sequence of
            tokens.

    References:
        Radford et al. 2019, Language models are unsupervised multitask learners, section 2.3. Wang et al. 2022
        (deepnorm). Bachlechner et al. 2020, ReZero is all you need (branch_scale).
    """

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
    ) -> None:
        super().__init__()
        options = BlockOptions(
            "Transformer", depth, width, heads, mlp_ratio, norm, deepnorm, branch_scale, is_causal=True
        )
        if len(input_shape) != 1:
            fix = "Use a data set of text; model=vit for images."
            raise bad_value("Transformer", "input_shape", tuple(input_shape), "[time]", fix)
        check_input_shape("Transformer", input_shape)
        check_sizes("Transformer", num_outputs=num_outputs)
        self.token = PartEmbedding(num_outputs, width, "token")
        self.position = PartEmbedding(input_shape[0], width, "position")
        self.blocks = transformer_blocks(options, activation)
        self.head = nn.Linear(width, num_outputs)
        self._label = "-".join(["transformer", f"{depth}x{width}", *options.unusual])

    @property
    def label(self) -> str:
        """The model in a word: `transformer-2x64`, `transformer-6x64-post`."""
        return self._label

    def forward(self, inputs: Tensor) -> Tensor:
        places = torch.arange(inputs.shape[-1], device=inputs.device)
        return self.head(self.blocks(self.token(inputs) + self.position(places)))
