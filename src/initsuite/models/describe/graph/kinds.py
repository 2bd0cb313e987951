"""What kinds of operations there are, for reading what follows a layer."""

from __future__ import annotations

from functools import cache

import torch
from torch import fx

SUMS = ("add", "sub", "rsub", "addcmul", "addcdiv", "lerp")
PRODUCTS = ("mul", "div", "true_divide")
CHOICES = ("where", "masked_fill")
PARTS = ("slice", "select", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk",
         "unsafe_chunk", "unbind", "narrow", "index", "index_select", "gather", "roll", "flip", "diagonal",
         "as_strided", "unfold", "take_along_dim", "masked_select")  # fmt: skip
"""Operations that take some entries, or the same ones in another order."""
MOVES = ("clone", "_to_copy", "to", "contiguous", "lift_fresh", "lift_fresh_copy", "cat", "concat", "stack", "hstack",
         "vstack", "repeat", "repeat_interleave", "tile", "_unsafe_view", "_reshape_copy", "reshape", "pad",
         "constant_pad_nd", "triu", "tril", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "im2col", "col2im",
         "copy", "_reshape_alias", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "index_put",
         "_index_put_impl", "_unsafe_index", "_unsafe_index_put", "_unsafe_masked_index", "index_copy",
         "native_dropout", "_nested_tensor_from_mask", "cumsum", "broadcast_tensors")  # fmt: skip
"""Operations that move or add up entries, and are no views."""
MOVING_WORDS = ("upsample", "_pad", "scatter", "_fft_", "fake_quantize", "max_unpool", "roi_align", "_copy")
POOLING = ("mean", "sum", "nansum", "var", "std", "var_mean", "std_mean", "amax", "amin", "max", "min", "norm",
           "linalg_vector_norm", "median", "nanmedian", "logsumexp", "aminmax", "prod", "segment_reduce",
           "_sparse_mm", "spmm")  # fmt: skip
SCATTERING = ("scatter_add", "scatter_reduce", "index_add", "index_reduce")
"""Operations that pool some entries into another tensor."""
POOLING_WORD = "_pool"
NORM_WORDS = ("layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm")
ENDS = ("topk", "sort", "argsort", "argmax",
        "argmin", "kthvalue", "mode", "multinomial", "nonzero", "any", "all", "histc", "bincount", "one_hot", "unique",
        "_unique2", "searchsorted", "bucketize", "zero", "fill", "_local_scalar_dense", "item", "is_nonzero",
        "_assert_async", "_assert_tensor_metadata", "equal", "allclose", "set", "resize")  # fmt: skip
"""Operations behind which no function of each entry goes on."""
ATTENTION_WORDS = ("scaled_dot_product", "flash_attention", "efficient_attention", "flex_attention", "cdist", "cross")
"""Products of two signals that are one operation."""
UNTAGGED = ("rsub", "hardswish")
"""Pointwise operations that torch does not mark as such."""
OPTIONS_ON_TENSORS = ("dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking", "out")
"""Keywords that say what kind of tensor an operation makes, not what is in it."""


def is_move(node: fx.Node, name: str) -> bool:
    """Whether an operation leaves entries as they are, or adds some up."""
    if getattr(node.target, "is_view", False) or name in PARTS or name in MOVES:
        return True
    return any(word in name for word in MOVING_WORDS) and not is_pooling(name)


def is_norm(name: str) -> bool:
    return any(word in name for word in NORM_WORDS)


def is_pooling(name: str) -> bool:
    return name in POOLING or name in SCATTERING or POOLING_WORD in name


def is_attention(name: str) -> bool:
    return any(word in name for word in ATTENTION_WORDS)


@cache
def is_pointwise(name: str) -> bool:
    """Whether torch says that each entry of the result depends on one entry of each operand."""
    packet = getattr(torch.ops.aten, name, None)
    if packet is None or name in UNTAGGED:
        return name in UNTAGGED
    return any(torch.Tag.pointwise in getattr(packet, each).tags for each in packet.overloads())
