"""Mean and variance of the signal, carried through a traced model in closed form."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase

from initsuite.init.base.probing import Layer
from initsuite.init.theory.gains import gaussian_quadrature
from initsuite.spec import Activation, Role

ELEMENTWISE = {
    *("celu", "elu", "erf", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "mish"),
    *("relu", "relu6", "relu_", "selu", "sigmoid", "silu", "sin", "softplus", "softsign", "tanh"),
}
"""Functions and methods of torch that are known to work on each element by itself."""
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
NOT_ELEMENTWISE = (nn.GLU, nn.MultiheadAttention, nn.RReLU, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax)
"""Of `torch.nn.modules.activation`: RReLU draws random numbers."""
SUMS = {
    operator.add: 1,
    operator.iadd: 1,
    torch.add: 1,
    "add": 1,
    "add_": 1,
    operator.sub: -1,
    torch.sub: -1,
    "sub": -1,
}
PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
JOINS = (torch.cat, torch.concat, torch.concatenate)


@dataclass(frozen=True)
class Signal:
    """Mean and variance of an activation anywhere in the network, taken to be Gaussian."""

    mean: float
    variance: float

    @property
    def mean_square(self) -> float:
        return self.mean**2 + self.variance

    def through(self, function: Callable[[Tensor], Tensor]) -> Signal:
        """Behind an elementwise function: E[phi(z)] and Var[phi(z)], z ~ N(mean, variance), by quadrature."""
        nodes, weights = gaussian_quadrature()
        with torch.no_grad():
            values = function(self.mean + math.sqrt(self.variance) * nodes).double()
        mean = float((values * weights).sum())
        return Signal(mean, float(((values - mean).square() * weights).sum()))

    def averaged(self, count: int) -> Signal:
        """The mean of `count` independent ones."""
        return Signal(self.mean, self.variance / count)

    def maximum(self, count: int) -> Signal:
        """The largest of `count` independent ones, by quadrature of count pdf(z) cdf(z)^(count - 1)."""
        nodes, weights = gaussian_quadrature()
        density = weights * count * torch.special.ndtr(nodes) ** (count - 1)
        mean = float((nodes * density).sum())
        variance = float(((nodes - mean).square() * density).sum())
        return Signal(self.mean + math.sqrt(self.variance) * mean, self.variance * variance)


UNIT = Signal(0.0, 1.0)


def seen_by_layers(model: nn.Module, layers: Sequence[Layer], inputs: Signal) -> dict[str, Signal] | None:
    """The signal that each layer receives, by the name of its weight; None where the model cannot be traced.

    A layer or norm puts out mean 0 and variance 1; so does an embedding and any module with parameters of its own
    whose inside is not known. Elementwise functions and fixed pooling windows follow `Signal`; a sum adds means and
    variances, a product of two signals multiplies them, both as if independent; a concatenation is a mixture in equal
    parts. Everything else (reshaping, adaptive pooling, attention, operands that are no signal) hands the signal on.
    """
    try:
        graph = _Tracer().trace(model)
    except Exception:  # tracing runs the user's forward on stand-ins, which may raise anything
        return None
    modules = dict(model.named_modules(remove_duplicate=False))
    owned: dict[nn.Module, list[Layer]] = {}
    for layer in layers:
        for module in layer.modules:
            owned.setdefault(module, []).append(layer)
    signals: dict[fx.Node, Signal] = {}
    seen: dict[str, list[Signal]] = {}
    for node in graph.nodes:
        known = [signals[before] for before in node.all_input_nodes if before in signals]
        if node.op == "placeholder":
            signals[node] = inputs
        elif node.op == "call_module" and known:
            module = modules[str(node.target)]
            for layer in owned.get(module, ()):
                is_state = layer.weight.role is Role.RECURRENT and isinstance(module, nn.RNNBase)
                seen.setdefault(layer.weight.name, []).append(UNIT if is_state else known[0])
            signals[node] = UNIT if module in owned else _behind_module(module, known[0])
        elif known:
            signals[node] = _behind_call(node, signals, known)
    return {name: _mixture(parts) for name, parts in seen.items()}


class _Tracer(fx.Tracer):
    """Keeps our activation layers whole, as torch's own modules are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(getattr(m, "activation", None), Activation) or super().is_leaf_module(
            m, module_qualified_name
        )


def _behind_module(module: nn.Module, signal: Signal) -> Signal:
    if isinstance(module, NORMS):
        return UNIT
    activation = getattr(module, "activation", None)
    if isinstance(activation, Activation):
        return signal.through(activation.function)
    if any(True for _ in module.parameters()):
        return UNIT
    if type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, NOT_ELEMENTWISE):
        return signal.through(module)
    if isinstance(module, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d):
        return signal.averaged(_window(module))
    if isinstance(module, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d):
        return signal.maximum(_window(module))
    return signal


def _window(pool: Any) -> int:
    """Entries that a pooling module reduces to one."""
    size = pool.kernel_size
    return math.prod(size) if isinstance(size, tuple) else int(size) ** int(type(pool).__name__[-2])


def _behind_call(node: fx.Node, signals: Mapping[fx.Node, Signal], known: Sequence[Signal]) -> Signal:
    """Behind a function or method that `forward` calls."""
    target: Any = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    if name in ELEMENTWISE:
        return known[0].through(lambda values: _call(node, values))
    operands = [signals.get(arg) if isinstance(arg, fx.Node) else arg for arg in node.args]
    if target in SUMS and len(operands) == 2:
        return _sum(known, operands, SUMS[target])
    if target in PRODUCTS and len(operands) == 2:
        return _product(known, operands)
    return _mixture(known) if target in JOINS else known[0]


def _call(node: fx.Node, values: Tensor) -> Tensor:
    options = {key: value for key, value in node.kwargs.items() if key not in ("inplace", "input")}
    function: Any = getattr(torch.Tensor, node.target) if isinstance(node.target, str) else node.target
    return function(values, *node.args[1:], **options)


def _sum(known: Sequence[Signal], operands: Sequence[Any], sign: int) -> Signal:
    numbers = [operand for operand in operands if isinstance(operand, int | float)]
    if numbers:
        mean = (
            known[0].mean + sign * numbers[0] if isinstance(operands[0], Signal) else numbers[0] + sign * known[0].mean
        )
        return Signal(mean, known[0].variance)
    first, second = operands
    if isinstance(first, Signal) and isinstance(second, Signal):
        return Signal(first.mean + sign * second.mean, first.variance + second.variance)
    return known[0]


def _product(known: Sequence[Signal], operands: Sequence[Any]) -> Signal:
    numbers = [operand for operand in operands if isinstance(operand, int | float)]
    if numbers:
        return Signal(known[0].mean * numbers[0], known[0].variance * numbers[0] ** 2)
    first, second = operands
    if isinstance(first, Signal) and isinstance(second, Signal):
        mean = first.mean * second.mean
        return Signal(mean, first.mean_square * second.mean_square - mean**2)
    return known[0]


def _mixture(parts: Sequence[Signal]) -> Signal:
    """One of the signals at random."""
    mean = sum(part.mean for part in parts) / len(parts)
    return Signal(mean, sum(part.mean_square for part in parts) / len(parts) - mean**2)
