"""Mean and variance of the signal, carried through a traced model in closed form."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from initsuite.init.base.probing import Layer
from initsuite.init.theory.gains import gaussian_quadrature
from initsuite.models.describe.following import activation_called, activation_of
from initsuite.models.describe.layers import NORMS
from initsuite.models.describe.tracing import ADDS, MULTIPLIES, forward_calls
from initsuite.spec import Activation, Role

SUMS: dict[Any, int] = {**dict.fromkeys(ADDS, 1), operator.sub: -1, torch.sub: -1, "sub": -1}
JOINS = (torch.cat, torch.concat, torch.concatenate)
OVERLOOKED = {"log_sigmoid", "tanhshrink", "hardshrink", "softshrink", "multiply"}
IN_PLACE = {"relu_", "add_", "mul_"}
"""Known calls that hand the signal on all the same, and in-place calls that do not: stored results depend on it."""


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

    def maximum(self, count: int) -> Signal:
        """The largest of `count` independent signals, by quadrature of count pdf(z) cdf(z)^(count - 1)."""
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
    found = forward_calls(model, _is_activation)
    if found is None:
        return None
    nodes, modules = found
    owned: dict[str, list[Layer]] = {}
    for layer in layers:
        for owner in layer.modules:
            owned.setdefault(owner, []).append(layer)
    signals: dict[fx.Node, Signal] = {}
    seen: dict[str, list[Signal]] = {}
    for node in nodes:
        known = [signals[before] for before in node.all_input_nodes if before in signals]
        if node.op == "placeholder":
            signals[node] = inputs
        elif node.op == "call_module" and known:
            owner, module = str(node.target), modules[str(node.target)]
            for layer in owned.get(owner, ()):
                is_state = layer.weight.role is Role.RECURRENT and isinstance(module, nn.RNNBase)
                seen.setdefault(layer.weight.name, []).append(UNIT if is_state else known[0])
            signals[node] = UNIT if owner in owned else _behind_module(module, known[0])
        elif known:
            signals[node] = _behind_call(node, signals, known)
    return {name: _mixture(parts) for name, parts in seen.items()}


def _is_activation(module: nn.Module) -> bool:
    return isinstance(getattr(module, "activation", None), Activation)


def _behind_module(module: nn.Module, signal: Signal) -> Signal:
    if isinstance(module, NORMS):
        return UNIT
    if _is_activation(module):
        return signal.through(module.activation.function)  # type: ignore[union-attr]
    if any(True for _ in module.parameters()):
        return UNIT
    applied = activation_of(module)
    if applied is not None and not isinstance(module, nn.RReLU):  # RReLU draws random numbers
        return signal.through(applied.function)
    if isinstance(module, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d):
        return Signal(signal.mean, signal.variance / _window(module))
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
    if name in OVERLOOKED or (name.endswith("_") and name not in IN_PLACE):
        return known[0]
    applied = activation_called(target, node.args[1:], node.kwargs)
    if applied is not None:
        return known[0].through(applied.function)
    operands = [signals.get(arg) if isinstance(arg, fx.Node) else arg for arg in node.args]
    if target in SUMS and len(operands) == 2:
        return _sum(known, operands, SUMS[target])
    if target in MULTIPLIES and len(operands) == 2:
        return _product(known, operands)
    return _mixture(known) if target in JOINS else known[0]


def _sum(known: Sequence[Signal], operands: Sequence[Any], sign: int) -> Signal:
    first, second = (Signal(each, 0.0) if isinstance(each, int | float) else each for each in operands)
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
