"""One input of a model: its kinds, and those that a name and the configuration of the model tell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

PICTURES = (32, 28, 64, 224, 96, 48, 84, 299, 128, 16, 512)
"""Heights and widths to try where the model does not say: the sizes of the usual data sets."""
LENGTHS = (8, 64, 4)
"""Numbers of tokens, or of vectors in a sequence."""
NODES = 8
"""Of a graph: a ring."""


@dataclass(frozen=True)
class Input:
    """One tensor: real numbers from N(0, 1), or whole numbers below `below` if that is above 0."""

    shape: tuple[int, ...]
    words: str
    below: int = 0

    def tensor(self) -> Tensor:
        if self.below:  # each row is one ahead of the row above, so that the two rows of a graph join neighbours
            counted = torch.arange(math.prod(self.shape), device="cpu").reshape(self.shape)
            return (
                counted + torch.arange(self.shape[0], device="cpu").view(-1, *[1] * (counted.ndim - 1))
            ) % self.below
        generator = torch.Generator("cpu").manual_seed(0)
        return torch.randn(self.shape, generator=generator, dtype=torch.float32, device="cpu")


def tokens(length: int, vocabulary: int) -> Input:
    return Input((2, length), f"2 sequences of {length} tokens", vocabulary)


def vectors(features: int, length: int = 0) -> Input:
    if not length:
        return Input((2, features), f"2 vectors of {features} features")
    return Input((2, length, features), f"2 sequences of {length} vectors of {features} features")


def picture(channels: int, *sides: int) -> Input:
    return Input((2, channels, *sides), f"2 pictures of {channels} x {' x '.join(map(str, sides))}")


def spectrogram(rows: int, columns: int) -> Input:
    return Input((2, rows, columns), f"2 spectrograms of {rows} x {columns}")


def setting(model: nn.Module, *names: str) -> Any:
    """What the configuration of a model, one inside of it, or the model itself says under the first of these names."""
    config = getattr(model, "config", None)
    inside = [value for name, value in getattr(config, "__dict__", {}).items() if name.endswith("_config")]
    for name, settings in itertools.product(names, (config, *inside, model)):
        found = settings.get(name) if isinstance(settings, Mapping) else getattr(settings, name, None)
        if found is not None:
            return found
    return None


def number(model: nn.Module, *names: str) -> int | None:
    """The same, if it is a number above 0, or several."""
    found = setting(model, *names)
    found = max(found) if isinstance(found, (tuple, list)) and found else found
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def named(model: nn.Module, name: str, length: int) -> Input | None:
    """An input of a name that says what it is, if the sizes that it needs are known."""
    if name in ("input_ids", "decoder_input_ids"):
        tables = (each.num_embeddings for each in model.modules() if isinstance(each, nn.Embedding))
        vocabulary = number(model, "vocab_size") or next(tables, None)
        return tokens(length, vocabulary) if vocabulary else None
    if name in ("pixel_values", "sample"):
        side = number(model, "image_size", "sample_size") or PICTURES[0]
        return picture(number(model, "num_channels", "in_channels") or 3, side, side)
    if name == "input_features":
        bins, size = number(model, "num_mel_bins"), number(model, "input_feat_per_channel")
        frames = 2 * (number(model, "max_source_positions") or PICTURES[0])
        return spectrogram(frames, size) if size else spectrogram(bins, frames) if bins else None
    if name == "input_values":
        bins, frames = number(model, "num_mel_bins"), number(model, "max_length")
        return spectrogram(frames, bins) if bins and frames else SOUNDS[length != LENGTHS[0]]
    if name == "past_values":
        size = number(model, "num_input_channels", "input_size")
        return vectors(size, number(model, "context_length") or length) if size else None
    if name == "encoder_hidden_states":
        width = number(model, "cross_attention_dim")
        return vectors(width, length) if width else None
    return BY_NAME.get(name)


SOUNDS = Input((2, 16000), "2 sounds of 16000 samples"), Input((2, 1, 16000), "2 sounds of 1 x 16000 samples")
STEPS = Input((2,), "2 whole numbers", 2)
NEIGHBOURS = {
    "edge_index": Input((2, 2 * NODES), f"a ring of {NODES} nodes", NODES),
    **dict.fromkeys(("adj", "adjacency"), Input((NODES, NODES), f"a matrix of {NODES} x {NODES} nodes")),
}
BY_NAME = {
    **NEIGHBOURS,
    **dict.fromkeys(("edge_weight", "edge_weights"), Input((2 * NODES,), "a weight for each edge")),
    **dict.fromkeys(("edge_type", "edge_types"), Input((2 * NODES,), "a type for each edge", 2)),
    **dict.fromkeys(("batch", "batch_index"), Input((NODES,), "nodes of one graph", 1)),
    "pos": Input((NODES, 3), f"{NODES} points in space"),
    **dict.fromkeys(("t", "timestep", "timesteps", "time", "steps", "class_labels", "labels", "y"), STEPS),
}
"""Inputs that need no sizes, by the names of torch_geometric, of diffusion models and of conditional ones."""
