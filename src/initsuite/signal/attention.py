"""How attention spreads: measured on the weights of its softmax, fused or written out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from initsuite.models.describe.graph.attention import attentions_of
from initsuite.models.describe.graph.contractions import operation
from initsuite.models.describe.graph.flow import ATTENTION
from initsuite.models.describe.graph.recording import Recording
from initsuite.signal.replay import attention_options

QUERIES = 2**16
"""Entries of attention weights that are computed at a time, and looked at in all for one fused attention."""


@dataclass(frozen=True)
class Spread:
    """Of the attention weights p of a query over the n keys it may see, the mean over queries, heads and examples.

    Attributes:
        entropy: -sum p log p / log n: 1 = uniform, 0 = one key.
        collision: sum p^2: 1 / n = uniform, 1 = one key.
        deviation: the standard deviation of log p over the keys: 0 = uniform. That of the logits.
    """

    entropy: float
    collision: float
    deviation: float


def softmax_nodes(recording: Recording) -> dict[fx.Node, fx.Node]:
    """The operations that hold attention weights, or are fused attention, each with what holds its queries."""
    return {each.softmax: each.operands[0] for each in attentions_of(recording)}


def spread(weights: Tensor) -> Spread:
    """Of attention weights [..., query, key]; keys of weight 0 count as not seen, queries with one key are left out."""
    rows = weights.detach().flatten(0, -2).double()
    seen = rows > 0
    count = seen.sum(-1)
    rows, seen, count = rows[count > 1], seen[count > 1], count[count > 1].double()
    if not len(rows):
        return Spread(math.nan, math.nan, math.nan)
    logs = rows.log().masked_fill(~seen, 0.0)
    entropy = -(rows * logs).sum(-1) / count.log()
    middle = logs.sum(-1) / count
    variance = logs.square().sum(-1) / count - middle.square()
    collision = rows.square().sum(-1)
    return Spread(float(entropy.mean()), float(collision.mean()), math.sqrt(max(float(variance.mean()), 0.0)))


@torch.no_grad()
def fused_spread(node: fx.Node, operands: Sequence[Any], keywords: Mapping[str, Any]) -> Spread:
    """Of a fused attention, on so many heads of the first examples as fit.

    Args:
        node: the operation.
        operands, keywords: the values of its arguments: queries and keys [example, head, place, feature], a mask ...
    """
    query, key = operands[0].detach(), operands[1].detach()
    queries, keys = query.shape[-2], key.shape[-2]
    heads = max(1, QUERIES // (queries * keys))
    mask, is_causal = attention_options(operation(node), operands, keywords)
    query, key = query.flatten(0, -3), key.flatten(0, -3)
    key = key.repeat_interleave(len(query) // len(key), 0)
    scale = keywords.get("scale") or query.shape[-1] ** -0.5
    chosen = torch.linspace(0, len(query) - 1, min(heads, len(query))).long()
    logits = query[chosen] @ key[chosen].mT * scale
    if is_causal:
        logits = logits.masked_fill(torch.ones(queries, keys, dtype=torch.bool).triu(1), -math.inf)
    if isinstance(mask, Tensor):
        full = mask.expand(*operands[0].shape[:-2], queries, keys).flatten(0, -3)[chosen]
        logits = logits.masked_fill(~full, -math.inf) if full.dtype == torch.bool else logits + full
    return spread(logits.softmax(-1).nan_to_num(0.0))


def is_fused(node: fx.Node) -> bool:
    return operation(node).startswith(ATTENTION)
