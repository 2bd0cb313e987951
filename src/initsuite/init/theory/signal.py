"""Mean and variance of a signal, and what operations make of them, in closed form or by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.init.theory.gains import gaussian_quadrature


@dataclass(frozen=True)
class Signal:
    """Mean and variance of an activation anywhere in the network, taken to be Gaussian."""

    mean: float
    variance: float

    @property
    def mean_square(self) -> float:
        return self.mean * self.mean + self.variance  # ** would raise an error on overflow

    @staticmethod
    def of(values: Tensor, weights: Tensor | None = None) -> Signal:
        """Of these values, each as likely as its weight says."""
        values = values.detach().double().ravel()
        weights = torch.full_like(values, 1 / len(values)) if weights is None else weights
        mean = float((values * weights).sum())
        return Signal(mean, float(((values - mean).square() * weights).sum()))

    def values(self) -> Tensor:
        """On the nodes of the quadrature."""
        return self.mean + math.sqrt(self.variance) * gaussian_quadrature()[0]

    def through(self, function: Callable[[Tensor], Tensor]) -> Signal:
        """Behind an elementwise function: E[phi(z)] and Var[phi(z)], z ~ N(mean, variance), by quadrature."""
        with torch.no_grad():
            return Signal.of(function(self.values()), gaussian_quadrature()[1])

    def average(self, count: float) -> Signal:
        """The mean of `count` independent signals."""
        return Signal(self.mean, self.variance / count)

    def total(self, count: float) -> Signal:
        """The sum of `count` independent signals."""
        return Signal(self.mean * count, self.variance * count)

    def maximum(self, count: float) -> Signal:
        """The largest of `count` independent signals, by quadrature of count pdf(z) cdf(z)^(count - 1)."""
        nodes, weights = gaussian_quadrature()
        largest = Signal.of(nodes, weights * count * torch.special.ndtr(nodes) ** (count - 1))
        return Signal(self.mean + math.sqrt(self.variance) * largest.mean, self.variance * largest.variance)

    def minimum(self, count: float) -> Signal:
        """The smallest of `count` independent signals."""
        largest = Signal(-self.mean, self.variance).maximum(count)
        return Signal(-largest.mean, largest.variance)

    def share(self, count: float) -> Signal:
        """A softmax over `count` independent signals: log-normal over `count` times its mean, but never above 1."""
        spread = min(math.expm1(min(self.variance, 50.0)), count - 1)
        return Signal(1 / count, spread / count**2)


UNIT = Signal(0.0, 1.0)


def product(first: Signal, second: Signal) -> Signal:
    """Of two independent signals."""
    mean = first.mean * second.mean
    return Signal(mean, max(first.mean_square * second.mean_square - mean * mean, 0.0))


def mixture(parts: Sequence[Signal], sizes: Sequence[float] | None = None) -> Signal:
    """One of the signals at random, each as likely as its size says."""
    sizes = [1.0] * len(parts) if sizes is None else sizes
    total = sum(sizes)
    mean = sum(size * part.mean for size, part in zip(sizes, parts, strict=True)) / total
    square = sum(size * part.mean_square for size, part in zip(sizes, parts, strict=True)) / total
    return Signal(mean, max(square - mean * mean, 0.0))
