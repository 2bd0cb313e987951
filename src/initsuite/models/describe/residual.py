"""Which layers are part of a residual branch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from initsuite.models.branch import Branch, Residual
from initsuite.models.describe.layers import NORMS

BLOCKS: dict[str, tuple[tuple[str, ...], ...]] = {
    # torch.nn.modules.transformer
    "TransformerEncoderLayer": (("self_attn",), ("linear1", "linear2")),
    "TransformerDecoderLayer": (("self_attn",), ("multihead_attn",), ("linear1", "linear2")),
    # torchvision.models.resnet, and timm's
    "BasicBlock": (("conv1", "bn1", "conv2", "bn2"),),
    "Bottleneck": (("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"),),
    # torchvision.models.vision_transformer and swin_transformer
    "EncoderBlock": (("self_attention",), ("mlp",)),
    "SwinTransformerBlock": (("attn.qkv", "attn.proj"), ("mlp",)),
}
"""The modules in each residual branch of known blocks, by the name of the class or of one that it derives from."""
MLPS = (("linear1", "linear2"), ("mlp",))
"""Those of these branches whose linear layers are the `mlp` of a transformer block."""


@dataclass(frozen=True)
class Member:
    """A module's place in a residual branch.

    Attributes:
        branch: number of the branch in the model.
        is_mlp: the branch is that of a transformer block's linear layers.
        shortcut: the constant that the shortcut beside it is multiplied by.
    """

    branch: int
    is_mlp: bool = False
    shortcut: float = 1.0


def members(modules: Mapping[str, nn.Module], weighted: Sequence[str]) -> dict[str, Member]:
    """The layers with weights and the norms that are part of a residual branch, by the names of their modules.

    A module counts in the first branch that has it: `Branch` modules come first, then known blocks. A branch without a
    layer of its own does not count.

    Args:
        modules: the modules of the model by name.
        weighted: names of those that are layers with weights.
    """
    known = [name for name, module in modules.items() if name in weighted or isinstance(module, NORMS)]
    # the innermost first, so that a branch inside a branch keeps its layers
    marked = reversed([name for name, module in modules.items() if isinstance(module, Branch)])
    ours = ((_inside(known, name), False, _shortcut(modules, name)) for name in marked)
    others = _of_blocks(modules, known)
    found: dict[str, Member] = {}
    count = 0
    for names, is_mlp, shortcut in [*ours, *((*each, 1.0) for each in others)]:
        own = [name for name in names if name in known and name not in found]
        if any(name in weighted for name in own):
            found |= dict.fromkeys(own, Member(count, is_mlp, shortcut))
            count += 1
    return found


def _of_blocks(modules: Mapping[str, nn.Module], known: Sequence[str]) -> Iterable[tuple[list[str], bool]]:
    for name, module in modules.items():
        kinds = [kind.__name__ for kind in type(module).__mro__]
        for paths in next((BLOCKS[kind] for kind in kinds if kind in BLOCKS), ()):
            places = [f"{name}.{path}" if name else path for path in paths]
            if all(place in modules for place in places):
                yield [inner for place in places for inner in _inside(known, place)], paths in MLPS


def _inside(known: Sequence[str], place: str) -> list[str]:
    return [name for name in known if name == place or name.startswith(f"{place}.") or not place]


def _shortcut(modules: Mapping[str, nn.Module], branch: str) -> float:
    """The factor on the shortcut beside a branch; 1 if no `Residual` holds it."""
    owner = modules[branch.rpartition(".")[0]]
    return owner.alpha if isinstance(owner, Residual) else 1.0
