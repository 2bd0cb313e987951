"""Gaussian weights whose gain makes the log of the gradient's norm an unbiased random walk over the layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from initsuite.errors import bad_value
from initsuite.init.distributions import sample
from initsuite.spec import Activation, ParamSpec


def random_walk_gain(width: int, nonlinearity: Activation | None) -> float:
    """g(N): exp(1 / (2N)) for a linear layer, sqrt(2) exp(1.2 / (max(N, 6) - 2.4)) for a ReLU one.

    Raises:
        ConfigError: any other nonlinearity.
    """
    name = nonlinearity.name if nonlinearity else "identity"
    if name == "identity":
        return math.exp(1 / (2 * width))
    if name == "relu":
        return math.sqrt(2) * math.exp(1.2 / (max(width, 6) - 2.4))
    expected = "one that the paper has a formula for: identity, relu"
    fix = "Use activation=relu, or init=critical for this activation."
    raise bad_value("RandomWalk", "activation", name, expected, fix)


@dataclass(frozen=True)
class RandomWalk:
    """N(0, g^2 / fan_in), with the gain g that depends on the width: random walk initialization.

    Var[w] = g^2 / fan_in, g = exp(1 / (2 fan_in)) where no nonlinearity follows and sqrt(2) exp(1.2 / (max(fan_in, 6)
    - 2.4)) before a ReLU. He initialization keeps the mean of the squared norm of a gradient; the mean of its *log*,
    what a single deep network sees, then shrinks by about 1 / (2 fan_in) per linear layer and 2.4 times as much per
    ReLU layer. Here the log keeps its mean, for wide as for narrow layers. The first formula is the series of the exact
    value, the second the paper's fit to simulations. Other nonlinearities have no formula and are refused.

    Biases are 0. The head, which nothing follows, is drawn as a linear layer; the paper fixes its scale by hand.
    Departure: the paper's N is the width of all layers; here it is the fan_in of each.

    References:
        Sussillo & Abbott 2014, Random Walk Initialization for Training Very Deep Feedforward Networks, section 3.
    """

    reads_nonlinearity: ClassVar[bool] = True

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return sample("normal", spec.shape, self.declared_std(spec), generator)

    def declared_std(self, spec: ParamSpec) -> float:
        return random_walk_gain(spec.fan_in, spec.nonlinearity) / math.sqrt(spec.fan_in)
