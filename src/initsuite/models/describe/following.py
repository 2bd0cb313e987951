"""Which nonlinearity a module or a call applies, and which one follows a layer in the order of the modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import FUNCTIONS, OPTIONS, ActivationLayer, activation
from initsuite.models.describe.layers import LAYERS
from initsuite.spec import Activation

NOT_ELEMENTWISE = (nn.GLU, nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax)
"""Of `torch.nn.modules.activation`, those that are no function of each element."""
CALL_NAMES = {"sin": "sine", "log_sigmoid": "logsigmoid"}
"""Our names of functions that torch calls otherwise."""
CALL_OPTIONS: dict[str, dict[str, float]] = {
    "leaky_relu": {"negative_slope": 0.01},
    "elu": {"alpha": 1.0},
    "celu": {"alpha": 1.0},
    "softplus": {"beta": 1.0, "threshold": 20.0},
    "hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "hardshrink": {"lambd": 0.5},
    "softshrink": {"lambd": 0.5},
    "sin": {"omega": 1.0},
}
"""Options of torch's functions after the input, in order, with their defaults (of sin: the factor on its input)."""
CALLS: dict[str, Callable[..., Tensor]] = {
    function.__name__: function
    for function in (
        *(torch.relu, torch.tanh, torch.sigmoid, torch.erf, torch.sin, functional.leaky_relu, functional.elu),
        *(functional.celu, functional.selu, functional.gelu, functional.silu, functional.mish, functional.softplus),
        *(functional.softsign, functional.hardtanh, functional.relu6, functional.hardswish, functional.hardsigmoid),
        *(functional.logsigmoid, functional.tanhshrink, functional.hardshrink, functional.softshrink),
    )
}
"""torch's elementwise nonlinearities by the name of the function, whether called from torch, functional or a tensor."""


def activation_of(module: nn.Module) -> Activation | None:
    """What an activation module applies; None for any other module.

    nn.Identity is none: models use it in the place of a norm or dropout layer that is switched off. nn.PReLU counts as
    the leaky ReLU that it starts as.
    """
    if isinstance(module, ActivationLayer):
        return module.activation
    if isinstance(module, nn.PReLU):
        return activation("prelu", negative_slope=module.init)
    if type(module).__module__ != nn.ReLU.__module__ or isinstance(module, NOT_ELEMENTWISE):
        return None
    if isinstance(module, nn.GELU) and module.approximate != "none":
        return Activation("gelu_tanh", module)
    name = "leaky_relu" if isinstance(module, nn.LeakyReLU) else type(module).__name__.lower()
    return _named(name, _constants(module), module)


def _constants(module: nn.Module) -> dict[str, float]:
    """The numbers that a module of torch was built with."""
    constants: dict[str, Any] = {name: getattr(module, name) for name in getattr(module, "__constants__", ())}
    return {name: float(value) for name, value in constants.items() if type(value) in (int, float)}


def _named(name: str, options: Mapping[str, float], function: Callable[..., Tensor]) -> Activation:
    """Ours of this name where it has these options, else torch's function itself."""
    if name in FUNCTIONS and options.keys() <= OPTIONS.get(name, {}).keys():
        return activation(name, **options)
    return Activation(name, function, tuple(sorted(options.items())))


def activation_called(
    target: object, arguments: tuple[object, ...], keywords: Mapping[str, object]
) -> Activation | None:
    """What the call of a function or of a tensor's method applies; None where it is no elementwise nonlinearity.

    Args:
        target: the function, or the name of the method.
        arguments: its arguments after the tensor.
        keywords: its keyword arguments.

    Example:
        >>> activation_called(torch.nn.functional.elu, (0.5,), {})
        Activation(name='elu', options=(('alpha', 0.5),))
    """
    is_torch = isinstance(target, str) or str(getattr(target, "__module__", "")).split(".")[0] == "torch"
    written = target if isinstance(target, str) else getattr(target, "__name__", "")
    name = written.removesuffix("_")
    if name not in CALLS or not is_torch:
        return None
    if name == "gelu" and keywords.get("approximate", "none") != "none":
        return Activation("gelu_tanh", partial(functional.gelu, approximate="tanh"))
    defaults = CALL_OPTIONS.get(name, {})
    given = {**defaults, **dict(zip(defaults, arguments, strict=False)), **keywords}
    options: dict[str, Any] = {option: given[option] for option in defaults}
    if not all(type(value) in (int, float) for value in options.values()):
        return None  # a slope that is itself computed
    numbers = {option: float(value) for option, value in options.items()}
    return _named(CALL_NAMES.get(name, name), numbers, partial(CALLS[name], **numbers))


def activation_given(function: object) -> Activation | None:
    """What a layer was given as its activation: a module, or a function."""
    if isinstance(function, nn.Module):
        return activation_of(function)
    return activation_called(function, (), {})


def following_in_order(following: Iterable[nn.Module]) -> Activation | None:
    """The first activation before the next layer with weights; None for identity, and where there is none."""
    for module in following:
        if isinstance(module, LAYERS):
            return None
        found = activation_of(module)
        if found is not None:
            return without_identity(found)
    return None


def without_identity(found: Activation | None) -> Activation | None:
    """`found`, but None for the identity: nothing follows."""
    return None if found is None or found.name == "identity" else found
