"""Entries of tensors as functions of standard normal variables, and elementwise operations on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from initsuite.init.theory.gains import gaussian_quadrature
from initsuite.init.theory.signal import Signal, mixture, product

NEGLIGIBLE = 1e-3
"""A function may be infinite with this probability, as the root of a mean square in the tail of the Gaussian."""


@dataclass(frozen=True)
class Wave:
    """The entries of a tensor as functions of standard normal variables.

    Attributes:
        values: [node of the quadrature], or a single number.
        origin: which variable; None for a number. Waves of different origins are independent.
        signal: their mean and variance.
        is_share: whether they weight a mean, as a softmax does.
    """

    values: Tensor
    origin: object
    signal: Signal
    is_share: bool = False

    @staticmethod
    def gaussian(signal: Signal, origin: object) -> Wave:
        if signal.variance == 0:
            return Wave(torch.tensor(signal.mean, dtype=torch.float64), None, signal)
        return Wave(signal.values(), origin, signal)


def chosen(name: str, arguments: Sequence[Any], node: fx.Node) -> Wave | None:
    """One of two tensors, by a condition on neither of them; None for other conditions and infinite entries."""
    condition, kept, other = arguments if name == "where" else (arguments[1], arguments[2], arguments[0])
    parts = [each if isinstance(each, Wave) else number(each) for each in (kept, other)]
    if any(each.origin is not None and each.origin == condition.origin for each in parts):
        return None
    chance = min(max(condition.signal.mean, 0.0), 1.0)
    if chance in (0.0, 1.0):
        return parts[0 if chance else 1]
    signal = mixture([each.signal for each in parts], [chance, 1 - chance])
    return Wave.gaussian(signal, node) if math.isfinite(signal.mean_square) else None


def number(value: float) -> Wave:
    return Wave.gaussian(Signal(float(value), 0.0), None)


def joint(function: Callable[..., Tensor], name: str, arguments: Sequence[Any], node: fx.Node) -> Wave | None:
    """A function of waves of at most two origins; None where it has no finite moments, or needs more."""
    waves = [each for each in arguments if isinstance(each, Wave)]
    origins = list(dict.fromkeys(each.origin for each in waves if each.origin is not None))
    if len(origins) > 2:
        return None
    is_of_two = len(origins) == 2
    if is_of_two and name == "mul" and len(waves) == 2:
        return Wave.gaussian(product(waves[0].signal, waves[1].signal), node)
    given = [_on_axis(each, origins) if isinstance(each, Wave) else each for each in arguments]
    _, weights = gaussian_quadrature()
    if is_of_two:
        weights = weights[:, None] * weights
    try:
        with torch.no_grad():
            values = function(*given)
        values = values.expand_as(weights) if origins else values
        lost = ~values.isfinite()
    except Exception:  # what an operation refuses is its own affair
        return None
    if not origins:
        return None if lost.any() or values.numel() != 1 else number(float(values))
    if float(weights[lost].sum()) > NEGLIGIBLE:
        return None
    weights, values = weights.masked_fill(lost, 0), values.masked_fill(lost, 0)
    signal = Signal.of(values, weights.ravel())
    return Wave.gaussian(signal, node) if is_of_two else Wave(values, origins[0], signal)


def _on_axis(wave: Wave, origins: Sequence[object]) -> Tensor:
    """[node], or a column of them for the first of two origins."""
    return wave.values[:, None] if len(origins) == 2 and wave.origin == origins[0] else wave.values
