"""Which nonlinearity a module applies, and which one follows a layer in the order of the modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from initsuite.activations import FUNCTIONS, OPTIONS, ActivationLayer, activation
from initsuite.models.describe.graph.naming import agree
from initsuite.models.describe.layers import LAYERS
from initsuite.spec import Activation

NOT_ELEMENTWISE = (nn.GLU, nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax)
"""The modules of `torch.nn.modules.activation` that do not act on each element alone."""


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


def activation_by_values(function: Callable[[Tensor], Tensor]) -> Activation:
    """The activation that a function is: one with a name that has the same values, else the function itself.

    Example:
        >>> activation_by_values(nn.functional.silu)
        Activation(name='silu', options=())
    """
    names = (name for name in FUNCTIONS if name != "identity")
    found = (each for name in names if agree(function, (each := activation(name)).function))
    return next(found, None) or Activation(getattr(function, "__name__", "function"), function)


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
