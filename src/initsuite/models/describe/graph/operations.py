"""Kinds of recorded operations: those that move a signal, scale it, pool it, or are nonlinear in it."""

from __future__ import annotations

import torch
from torch import fx

from initsuite.models.describe.graph.contractions import OPERANDS, operation
from initsuite.models.describe.graph.kinds import is_norm as is_norm_name

VALUE_KEEPING = ("clone", "_to_copy", "contiguous", "detach", "lift_fresh", "lift_fresh_copy", "alias")
COPIES = (
    *VALUE_KEEPING, "_unsafe_view", "reshape", "cat", "stack", "copy", "flip", "roll", "index_select", "index",
    "repeat", "getitem", "constant_pad_nd", "gather", "repeat_interleave",
)  # fmt: skip
"""Operations that copy entries to other places and change none of them; views are known by their schema."""
PASSING = (
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d",
    "replication_pad3d", "pixel_shuffle", "pixel_unshuffle", "native_dropout", "dropout", "im2col", "slice_scatter",
)  # fmt: skip
"""Others that hand a signal on: on numbers of entries they cannot be carried out, or not on all shapes."""
SELECTING = ("select", "slice", "unbind", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes",
             "chunk", "narrow", "index", "index_select", "gather")  # fmt: skip
"""Operations that hand on some of the entries."""
SUMMING = ("mean", "sum", "cumsum", "scatter_add", "index_add", "scatter_reduce", "index_put", "scatter", "col2im",
           "_fft_r2c", "_fft_c2r", "_fft_c2c", "complex", "select_scatter")  # fmt: skip
"""Operations that are linear in a signal and mix its entries."""
SCALES = ("mul", "div")
SHIFTS = ("add", "sub", "rsub", "neg")


def copies(node: fx.Node) -> bool:
    """Whether an operation only moves entries (a view, a copy, a concatenation)."""
    if operation(node) in COPIES:
        return True
    return isinstance(node.target, torch._ops.OpOverload) and node.target.is_view


def moves(node: fx.Node) -> bool:
    """Whether an operation hands a signal on: it only moves entries, pads, or is dropout in evaluation mode."""
    return copies(node) or operation(node) in PASSING


def pools(node: fx.Node) -> bool:
    """Whether an operation pools or resizes an image."""
    name = operation(node)
    return "_pool" in name or name.startswith(("upsample_", "_upsample")) or name == "mean"


def is_norm(node: fx.Node) -> bool:
    return is_norm_name(operation(node))


def is_linear(node: fx.Node, sides: int) -> bool:
    """Whether an operation is linear, up to norm and pooling, in what it gets from a part of the graph.

    Args:
        node: the operation.
        sides: how many of its operands come from that part; a product of two is not linear.
    """
    name = operation(node)
    if name in SHIFTS or name == "addcmul" or moves(node) or pools(node) or is_norm(node) or name in SUMMING:
        return True
    return (name in SCALES or name in OPERANDS) and sides == 1
