"""From a module to the facts about each of its parameters: the one place where fans are known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from initsuite.activations import ActivationLayer, activation
from initsuite.errors import InitsuiteError
from initsuite.spec import Activation, ParamSpec, Role

LINEARS = (nn.Linear,)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
EMBEDDINGS = (nn.Embedding,)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)
LAYERS = LINEARS + CONVOLUTIONS + EMBEDDINGS
"""Layers with weights: those that have an index, fans and a nonlinearity that follows."""
TORCH_NAMES = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
}
"""torch's activation modules that are the same function as one of ours."""
NOT_ELEMENTWISE = (nn.GLU, nn.MultiheadAttention, nn.PReLU, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax)
"""Of `torch.nn.modules.activation`, those that are no fixed function of each element."""


@dataclass(frozen=True)
class _Layer:
    """What the parameters of one layer have in common."""

    index: int
    fan_in: int
    fan_out: int
    nonlinearity: Activation | None
    is_head: bool
    groups: int


def describe(model: nn.Module) -> list[ParamSpec]:
    """The facts about every parameter of a model, in the order of `model.named_parameters()`.

    Fans follow from the type of the layer. Linear: (inputs, outputs). Convolution of kernel size k and g groups:
    (k inputs / g, k outputs / g). Embedding: (1, features), since a look-up sums over one row. A norm layer carries
    the facts of the layer with weights before it; with none before it, of the first one after it.

    The nonlinearity of a layer is the first activation module after it and before the next layer with weights, in the
    order in which the modules were registered; norm, pooling, dropout, flatten and nn.Identity are passed over. An
    activation that `forward` calls as a function is not seen. The last layer with weights is the head.

    The groups of a convolution are independent matrices: `blocks` has one entry for each.

    Raises:
        InitsuiteError: a parameter of a layer that is not known here.

    Example:
        >>> describe(nn.Sequential(nn.Linear(3, 8, bias=False), nn.ReLU(), nn.Linear(8, 2)))[0].fan_out
        8
    """
    # a module used twice comes twice, so that a shared ReLU is seen wherever it follows
    modules = dict(model.named_modules(remove_duplicate=False))
    layers = _layers(modules)
    num_layers = 1 + max((layer.index for layer in layers.values()), default=0)
    specs = []
    for name, parameter in model.named_parameters():
        owner, _, local = name.rpartition(".")
        role = _role(modules[owner], local)
        layer = layers.get(owner)
        if role is None or layer is None:
            raise _unplaced(name, tuple(parameter.shape), modules[owner], has_layers=bool(layers))
        shape = tuple(parameter.shape)
        is_grouped = role is Role.WEIGHT and layer.groups > 1
        specs.append(
            ParamSpec(
                name=name,
                shape=shape,
                role=role,
                fan_in=layer.fan_in,
                fan_out=layer.fan_out,
                nonlinearity=layer.nonlinearity,
                layer=layer.index,
                num_layers=num_layers,
                is_head=layer.is_head,
                blocks=(shape[0] // layer.groups,) * layer.groups if is_grouped else (),
            )
        )
    return specs


def _layers(modules: dict[str, nn.Module]) -> dict[str, _Layer]:
    """The layer of every module that is one, or that is a norm and belongs to one, by the name of the module."""
    weighted = _first_names(modules)
    layers: dict[str, _Layer] = {}
    waiting: list[str] = []  # norms before the first layer with weights
    current = None
    names = list(modules)
    for position, (name, module) in enumerate(modules.items()):
        if name in weighted:
            index = weighted.index(name)
            is_head = index == len(weighted) - 1
            after = (modules[later] for later in names[position + 1 :])
            follows = None if is_head else _nonlinearity(after)
            groups = module.groups if isinstance(module, CONVOLUTIONS) else 1
            current = layers[name] = _Layer(index, *_fans(module), follows, is_head, groups)
            layers |= dict.fromkeys(waiting, current)
            waiting = []
        elif isinstance(module, NORMS) and current is not None:
            layers[name] = current
        elif isinstance(module, NORMS):
            waiting.append(name)
    return layers


def _first_names(modules: dict[str, nn.Module]) -> list[str]:
    """Names of the layers with weights; one that is used twice counts where it comes first."""
    seen: set[nn.Module] = set()
    names = []
    for name, module in modules.items():
        if isinstance(module, LAYERS) and module not in seen:
            seen.add(module)
            names.append(name)
    return names


def _fans(layer: nn.Module) -> tuple[int, int]:
    """(fan_in, fan_out) of a layer with weights."""
    if isinstance(layer, CONVOLUTIONS):
        field = math.prod(layer.kernel_size)
        return field * layer.in_channels // layer.groups, field * layer.out_channels // layer.groups
    if isinstance(layer, EMBEDDINGS):
        return 1, layer.embedding_dim
    assert isinstance(layer, LINEARS)
    return layer.in_features, layer.out_features


def _nonlinearity(following: Iterable[nn.Module]) -> Activation | None:
    """The first activation before the next layer with weights; None for identity, and where there is none."""
    for module in following:
        if isinstance(module, LAYERS):
            return None
        found = _activation_of(module)
        if found is not None:
            return None if found.name == "identity" else found
    return None


def _activation_of(module: nn.Module) -> Activation | None:
    """What an activation module applies; None for any other module.

    nn.Identity is none: models use it in the place of a norm or dropout layer that is switched off.
    """
    if isinstance(module, ActivationLayer):
        return module.activation
    if type(module).__module__ != nn.ReLU.__module__ or isinstance(module, NOT_ELEMENTWISE):
        return None
    constants: dict[str, Any] = {name: getattr(module, name) for name in getattr(module, "__constants__", ())}
    options = {name: float(value) for name, value in constants.items() if type(value) in (int, float)}
    if isinstance(module, nn.GELU):
        return activation("gelu") if module.approximate == "none" else Activation("gelu_tanh", module)
    name = TORCH_NAMES.get(type(module))
    if name is not None:
        return activation(name, **options)
    return Activation(type(module).__name__.lower(), module, tuple(sorted(options.items())))


def _role(module: nn.Module, local: str) -> Role | None:
    """What a module uses its own parameter `local` for; None where that is not known."""
    if isinstance(module, EMBEDDINGS):
        return {"weight": Role.EMBEDDING}.get(local)
    if isinstance(module, LAYERS):
        return {"weight": Role.WEIGHT, "bias": Role.BIAS}.get(local)
    if isinstance(module, NORMS):
        return {"weight": Role.NORM_SCALE, "bias": Role.NORM_SHIFT}.get(local)
    return None


def _unplaced(name: str, shape: tuple[int, ...], owner: nn.Module, has_layers: bool) -> InitsuiteError:
    known = ", ".join(kind.__name__ for kind in LAYERS + NORMS)
    reason = "its role and fans are not known" if has_layers else "the model has no layer with weights"
    return InitsuiteError(
        f"describe: cannot place parameter `{name}` {shape} of a {type(owner).__name__}: {reason}. Expected parameters "
        f"of: {known}. Build the model from these layers."
    )
