"""The blocks of a residual network, made of one branch or several, and the layers that close a branch."""

from __future__ import annotations

from collections.abc import Mapping

from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import ParamSpec, Specs

ATTENTION = {"query", "key", "value", "attention_out"}
"""Parts of an attention layer."""


def closing(specs: Specs) -> list[ParamSpec]:
    """The weights that close a residual branch."""
    return [spec for spec in specs if spec.closes_residual and spec.role in WEIGHTS]


def residual_blocks(specs: Specs) -> list[list[int]]:
    """The numbers of the residual branches of each block, in the order of the layers.

    The block of a transformer is a branch of attention, or two of them (self-attention, then cross-attention), and the
    branch after it. Every other branch is a block of its own: a block of a ResNet, one of a network of attention alone.
    """
    first: dict[int, int] = {}
    for spec in specs:
        if spec.branch_layers and spec.role in WEIGHTS:
            first[spec.branch] = min(spec.layer, first.get(spec.branch, spec.layer))
    attending = _attending(specs)
    blocks: list[list[int]] = []
    waiting: list[int] = []
    for branch in sorted(first, key=first.__getitem__):
        waiting.append(branch)
        if branch not in attending:
            blocks.append(waiting)
            waiting = []
    return blocks + [[branch] for branch in waiting]


def stacks(specs: Specs) -> list[list[list[int]]]:
    """The blocks of each residual stream: those of a decoder, with two branches of attention each, are one of its own.

    Every other model is one stream.
    """
    attending, found = _attending(specs), dict[bool, list[list[int]]]()
    for block in residual_blocks(specs):
        found.setdefault(len(attending.intersection(block)) > 1, []).append(block)
    return list(found.values())


def block_numbers(specs: Specs) -> Mapping[int, int]:
    """The number of the block of each branch in its stream, from 1."""
    return {
        branch: number for stack in stacks(specs) for number, block in enumerate(stack, 1) for branch in block
    }  # fmt: skip


def blocks_beside(specs: Specs) -> Mapping[int, int]:
    """For each branch the number of blocks of its stream."""
    return {branch: len(stack) for stack in stacks(specs) for block in stack for branch in block}


def branches_so_far(specs: Specs) -> Mapping[int, int]:
    """For each branch the number of branches of its stream up to the end of its block.

    2(l + 1) in block l of a transformer. Attention and an MLP whose outputs are added to each other first, as in GPT-J,
    are one branch that counts as two.
    """
    kinds: dict[int, set[bool]] = {}
    for spec in closing(specs):
        kinds.setdefault(spec.branch, set()).add(not ATTENTION.isdisjoint(spec.parts))
    found: dict[int, int] = {}
    for stack in stacks(specs):
        count = 0
        for block in stack:
            count += sum(len(kinds.get(branch, {False})) for branch in block)
            found |= dict.fromkeys(block, count)
    return found


def _attending(specs: Specs) -> set[int]:
    """The branches with attention."""
    return {spec.branch for spec in specs if spec.branch_layers and not ATTENTION.isdisjoint(spec.parts)}
