"""Vision transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from initsuite.errors import bad_value, check_whole_number
from initsuite.models.attention import BlockOptions, PartEmbedding, token_gain, transformer_blocks
from initsuite.models.options import check_choice, check_images, make_label
from initsuite.spec import Activation


class Vit(nn.Module):
    """An image cut into patches, each a token; a learned vector for each place; transformer blocks; a linear head.

    The head reads the mean of all tokens, or a class token, a learned vector that stands before the patches. Position
    and class token are nn.Embeddings that are read whole, with the initial values that embeddings have.

    inputs: [example, channel, height, width]. Returns [example, output].

    Args:
        activation: within each block's two-layer network; gelu is the usual one.
        depth, width, heads, mlp_ratio, norm, deepnorm, branch_scale: options of the blocks, see `BlockOptions`.
        patch_size: pixels on a side, a divisor of height and width.
        pool: what the head reads: mean (of the tokens), or class (a class token).
        scale_tokens: the class token, the only vector that is looked up like a token of text, times sqrt(width).

    Raises:
        ConfigError: an option outside its range, options that exclude each other, or inputs that are not images or
            cannot be cut into patches.

    References:
        Dosovitskiy et al. 2020, An image is worth 16x16 words, section 3.1. Beyer, Zhai and Kolesnikov 2022, Better
        plain ViT baselines for ImageNet-1k (mean of the tokens). Wang et al. 2022 (deepnorm). Bachlechner et al. 2020,
        ReZero is all you need (branch_scale).
    """

    added_options: ClassVar = {"scale_tokens": False}

    def __init__(
        self,
        input_shape: Sequence[int],
        num_outputs: int,
        activation: Activation,
        *,
        depth: int = 4,
        width: int = 64,
        heads: int = 4,
        patch_size: int = 4,
        mlp_ratio: int = 4,
        norm: str = "pre",
        deepnorm: bool = False,
        branch_scale: bool = False,
        pool: str = "mean",
        scale_tokens: bool = False,
    ) -> None:
        super().__init__()
        options = BlockOptions("Vit", depth, width, heads, mlp_ratio, norm, deepnorm, branch_scale, is_causal=False)
        check_images("Vit", input_shape, num_outputs=num_outputs)
        check_choice("Vit", "pool", pool, ("mean", "class"))
        channels, *image = input_shape
        tokens = _num_patches(image, patch_size) + (pool == "class")
        self.patch = nn.Conv2d(channels, width, patch_size, stride=patch_size)
        gain = token_gain("Vit", width, scale_tokens)
        self.class_token = PartEmbedding(1, width, "token", gain) if pool == "class" else None
        self.position = PartEmbedding(tokens, width, "position")
        self.blocks = transformer_blocks(options, activation)
        self.head = nn.Linear(width, num_outputs)
        unusual = {
            f"p{patch_size}": patch_size != 4,
            **options.unusual,
            "class": pool == "class",
            "sqrtd": scale_tokens,
        }
        self.label = make_label(f"vit-{depth}x{width}", unusual)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.patch(inputs).flatten(-2).transpose(-2, -1)
        if self.class_token is not None:
            first = self.class_token.whole(tokens).expand(tokens.shape[0], 1, -1)
            tokens = torch.cat([first, tokens], dim=-2)
        tokens = self.blocks(tokens + self.position.whole(tokens))
        return self.head(tokens.mean(-2) if self.class_token is None else tokens[..., 0, :])


def _num_patches(image: Sequence[int], patch_size: int) -> int:
    check_whole_number("Vit", "patch_size", patch_size)
    if any(side % patch_size for side in image):
        expected = f"a divisor of the {image[0]}x{image[1]} pixels of an image"
        raise bad_value("Vit", "patch_size", patch_size, expected, "Example: model.patch_size=4")
    return (image[0] // patch_size) * (image[1] // patch_size)
