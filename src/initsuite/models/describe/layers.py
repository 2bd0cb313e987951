"""What each type of layer says about its own parameters: roles, fans, and independent matrices fused into one tensor.

A module holds one layer with weights or several: each direction of each level of an nn.LSTM is one, and so are the
input projections of attention, whose output projection is a module of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from initsuite.activations import activation
from initsuite.spec import Activation, Block, Role

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
NORMS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
WEIGHTS = (Role.WEIGHT, Role.RECURRENT)
NORM_PARAMETERS = (Role.NORM_SCALE, Role.NORM_SHIFT)
NORM_ROLES = {"weight": Role.NORM_SCALE, "bias": Role.NORM_SHIFT}
GATES: dict[tuple[type[nn.Module], ...], tuple[str, ...]] = {
    (nn.LSTM, nn.LSTMCell): ("input_gate", "forget_gate", "cell", "output_gate"),
    (nn.GRU, nn.GRUCell): ("reset_gate", "update_gate", "new"),
}
"""The blocks of a gated layer, in torch's order."""
QUERY_KEY_VALUE = ("query", "key", "value")
FUSED_NAMES = ("qkv", "to_qkv", "c_attn")
"""What torchvision, timm and GPT-2 call a linear layer that makes query, key and value at once."""
PROJECTIONS = {
    "query": "query", "key": "key", "value": "value", "attention_out": "attention_out",
    "q_proj": "query", "k_proj": "key", "v_proj": "value",
}  # fmt: skip
"""Names of linear layers that say what they are for."""
BARE = {
    "class_token": "token", "cls_token": "token", "pos_embedding": "position", "pos_embed": "position",
    "position_embedding": "position", "position_embeddings": "position", "positional_embedding": "position",
}  # fmt: skip
"""Bare parameters [..., feature] of a model that are embeddings: their last name, and what they are for."""
SCALARS = {
    "branch_scale": Role.BRANCH_SCALE,
    "multiplier": Role.MULTIPLIER,
    **dict.fromkeys(("bias1", "bias2", "bias1a", "bias1b", "bias2a", "bias2b"), Role.BIAS),
}
"""Scalar parameters [1] of the suite's own residual networks, by their last name."""


@dataclass(frozen=True)
class Facts:
    """What a layer knows about one of its tensors; the fields are those of `ParamSpec`."""

    role: Role
    fan_in: int
    fan_out: int
    blocks: tuple[int, ...] = ()
    parts: tuple[str, ...] = ()
    is_transposed: bool = False
    layout: tuple[Block, ...] = ()
    factor: float = 1.0
    offset: float = 0.0
    own: float | None = None


@dataclass(frozen=True)
class Layer:
    """One layer with weights.

    Attributes:
        tensors: the facts by the name of the parameter in its module.
        nonlinearity: what the layer itself applies to its outputs; None if it leaves that to another module.
    """

    tensors: Mapping[str, Facts]
    nonlinearity: Activation | None = None


def layers_of(module: nn.Module, name: str, parent: nn.Module | None) -> list[Layer]:
    """The layers with weights that a module itself is, without its children.

    Args:
        module: any module.
        name: its name in `parent`, by which the projections of attention are known.
        parent: the module that holds it; None for the model itself.
    """
    if isinstance(module, nn.Linear):
        return [_linear(module, name, parent)]
    for kinds, read in READERS.items():
        if isinstance(module, kinds):
            return read(module)
    return []


def _pair(fan_in: int, fan_out: int, **facts: Any) -> Layer:
    """A layer with a weight and a bias; `facts` are those of the weight alone."""
    bias = Facts(Role.BIAS, fan_in, fan_out)
    return Layer({"weight": Facts(Role.WEIGHT, fan_in, fan_out, **facts), "bias": bias})


def _linear(module: nn.Linear, name: str, parent: nn.Module | None) -> Layer:
    """A linear layer, or several with the same inputs in one.

    `parts` and `is_recurrent` of the module (see `models.recurrent.GatedLinear`) take precedence over its name.
    """
    parts = getattr(module, "parts", ()) or _named_parts(module, name, parent)
    role = Role.RECURRENT if getattr(module, "is_recurrent", False) else Role.WEIGHT
    rows = module.out_features // max(1, len(parts))
    blocks = (rows,) * len(parts) if len(parts) > 1 else ()
    weight = Facts(role, module.in_features, rows, blocks, parts)
    return Layer({"weight": weight, "bias": replace(weight, role=Role.BIAS, parts=parts if blocks else ())})


def _named_parts(module: nn.Linear, name: str, parent: nn.Module | None) -> tuple[str, ...]:
    if isinstance(parent, nn.MultiheadAttention):
        return ("attention_out",)
    if name in FUSED_NAMES and module.out_features == 3 * module.in_features:
        return QUERY_KEY_VALUE
    is_fused = any(hasattr(parent, fused) for fused in FUSED_NAMES)
    if is_fused and name in ("proj", "c_proj", "merge", "to_out"):
        return ("attention_out",)
    return (PROJECTIONS[name],) if name in PROJECTIONS else ()


def _convolution(module: Any) -> list[Layer]:
    field = math.prod(module.kernel_size)
    is_transposed = isinstance(module, TRANSPOSED)
    rows = (module.in_channels if is_transposed else module.out_channels) // module.groups
    blocks = (rows,) * module.groups if module.groups > 1 else ()
    fans = field * module.in_channels // module.groups, field * module.out_channels // module.groups
    return [_pair(*fans, blocks=blocks, is_transposed=is_transposed)]


def _embedding(module: Any) -> list[Layer]:
    """A look-up sums over one row; see `models.attention.PartEmbedding` for `parts`."""
    return [Layer({"weight": Facts(Role.EMBEDDING, 1, module.embedding_dim, parts=getattr(module, "parts", ()))})]


def _bilinear(module: Any) -> list[Layer]:
    """As seen from the first input with the second held at 1, which is how torch.nn.init counts."""
    return [_pair(module.in1_features * module.in2_features, module.out_features * module.in2_features)]


def _attention(module: Any) -> list[Layer]:
    """Query, key and value; packed into one tensor where they have the same inputs."""
    width = module.embed_dim
    packed = Facts(Role.WEIGHT, width, width, (width,) * 3, QUERY_KEY_VALUE)
    tensors = {"in_proj_weight": packed, "in_proj_bias": replace(packed, role=Role.BIAS)}
    for part, inputs in zip(QUERY_KEY_VALUE, (width, module.kdim, module.vdim), strict=True):
        tensors[f"{part[0]}_proj_weight"] = Facts(Role.WEIGHT, inputs, width, parts=(part,))
        tensors[f"bias_{part[0]}"] = Facts(Role.BIAS, inputs, width, parts=(part,))
    return [Layer(tensors)]


def _recurrent(module: Any) -> list[Layer]:
    """A layer for each direction of each level; the inputs of a higher level are the outputs of the one below."""
    size = module.proj_size or module.hidden_size
    directions = ("", "_reverse") if module.bidirectional else ("",)
    return [
        _gated(module, size * len(directions) if level else module.input_size, size, f"_l{level}{direction}")
        for level in range(module.num_layers)
        for direction in directions
    ]


def _cell(module: Any) -> list[Layer]:
    return [_gated(module, module.input_size, module.hidden_size, "")]


def _gated(module: Any, inputs: int, size: int, suffix: str) -> Layer:
    """Weights from the inputs and from the hidden state [size], with a block for each gate."""
    hidden = module.hidden_size
    parts = next((parts for kinds, parts in GATES.items() if isinstance(module, kinds)), ())
    blocks = (hidden,) * len(parts)
    tensors = {f"weight_hr{suffix}": Facts(Role.WEIGHT, hidden, size)}  # the projection of an LSTM
    for source, fan_in, role in (("ih", inputs, Role.WEIGHT), ("hh", size, Role.RECURRENT)):
        tensors[f"weight_{source}{suffix}"] = Facts(role, fan_in, hidden, blocks, parts)
        tensors[f"bias_{source}{suffix}"] = Facts(Role.BIAS, fan_in, hidden, blocks, parts)
    return Layer(tensors, activation(getattr(module, "nonlinearity", "tanh")))


READERS: dict[tuple[type[nn.Module], ...], Callable[[Any], list[Layer]]] = {
    CONVOLUTIONS + TRANSPOSED: _convolution,
    EMBEDDINGS: _embedding,
    (nn.Bilinear,): _bilinear,
    (nn.MultiheadAttention,): _attention,
    (nn.RNNBase,): _recurrent,
    (nn.RNNCellBase,): _cell,
}
LAYERS = (nn.Linear, *(kind for kinds in READERS for kind in kinds))
"""Modules that are layers with weights: those that have an index, fans and a nonlinearity that follows."""
