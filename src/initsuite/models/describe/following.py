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
"""The modules of `torch.nn.modules.activation` that do not act on each element alone."""
CALL_NAMES = {"sin": "sine", "log_sigmoid": "logsigmoid"}
"""Our names for functions that have another name in torch."""
CALL_OPTIONS: dict[str, dict[str, float]] = {
    **OPTIONS,
    "celu": {"alpha": 1.0},
    "hardshrink": {"lambd": 0.5},
    "softshrink": {"lambd": 0.5},
    "sin": {"omega": 1.0},
}
"""Options of torch's functions after the input, in order, with their defaults (of sin: the factor on its input)."""
CALLS: dict[str, Callable[..., Tensor]] = {
    function.__name__: function
    for function in (
        torch.relu, torch.tanh, torch.sigmoid, torch.erf, torch.sin, functional.leaky_relu, functional.elu,
        functional.celu, functional.selu, functional.gelu, functional.silu, functional.mish, functional.softplus,
        functional.softsign, functional.hardtanh, functional.relu6, functional.hardswish, functional.hardsigmoid,
        functional.logsigmoid, functional.tanhshrink, functional.hardshrink, functional.softshrink,
    )
}  # fmt: skip
"""torch's elementwise nonlinearities by the name of the function, whether called from torch, functional or a tensor."""


def activation_of(module: nn.Module) -> Activation | None:
    """What an activation module applies; None for any other module.

    nn.Identity counts as another module: models use it instead of a norm or dropout layer that is switched off.
    nn.PReLU counts as the leaky ReLU that it starts as.
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
    built_with = {option: getattr(module, option) for option in getattr(module, "__constants__", ())}
    return _named(name, _numbers(built_with), module)


def _numbers(options: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in options.items() if type(value) in (int, float)}


def _named(name: str, options: Mapping[str, float], function: Callable[..., Tensor]) -> Activation:
    """The suite's activation of this name if it has these options, else torch's function itself."""
    if name in FUNCTIONS and options.keys() <= OPTIONS.get(name, {}).keys():
        return activation(name, **options)
    return Activation(name, function, tuple(sorted(options.items())))


def activation_called(
    target: object, arguments: tuple[object, ...], keywords: Mapping[str, object]
) -> Activation | None:
    """What a call of a function or of a tensor's method applies; None if that is not an elementwise nonlinearity.

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
    options = _numbers({option: given[option] for option in defaults})
    if options.keys() != defaults.keys():
        return None  # a slope that is itself computed
    return _named(CALL_NAMES.get(name, name), options, partial(CALLS[name], **options))


def following_in_order(following: Iterable[nn.Module]) -> Activation | None:
    """The first activation before the next layer with weights."""
    for module in following:
        found = activation_of(module)
        if found or isinstance(module, LAYERS):
            return found
    return None


def without_identity(found: Activation | None) -> Activation | None:
    """`found`, but None for the identity: nothing follows."""
    return None if found and found.name == "identity" else found
