"""Variance by the linear part of the nonlinearity at 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from initsuite.errors import ConfigError
from initsuite.init.distributions import sample
from initsuite.init.theory.edge_of_chaos import slope_at_zero, value_at_zero
from initsuite.init.theory.gains import forward_gain
from initsuite.spec import Activation, ParamSpec

RELU_FAMILY = ("leaky_relu", "prelu", "relu")


def kumar_gain(nonlinearity: Activation | None) -> float:
    """1 / (|phi'(0)| sqrt(1 + phi(0)^2)); He's gain for the ReLU family; 1 where nothing follows.

    Raises:
        ConfigError: phi has no slope at 0, or the slope 0.
    """
    if nonlinearity is None:
        return 1.0
    if nonlinearity.name in RELU_FAMILY:
        return forward_gain(nonlinearity)
    steepness = slope_at_zero(nonlinearity)
    if not steepness or not math.isfinite(steepness):
        got = "no derivative at 0" if steepness is None else f"phi'(0)={steepness}"
        raise ConfigError(
            f"Kumar: no variance for `activation`={nonlinearity.name!r}: {got}. Expected a finite slope other than 0 "
            "at 0. Use init=he with init.gain=auto."
        )
    return 1 / (abs(steepness) * math.sqrt(1 + value_at_zero(nonlinearity) ** 2))


@dataclass(frozen=True)
class Kumar:
    """N(0, 1 / (fan_in phi'(0)^2 (1 + phi(0)^2))) for a nonlinearity that is differentiable at 0.

    That is std = 3.6 / sqrt(fan_in) for the logistic sigmoid, 1 / sqrt(fan_in) for tanh, and for ReLU, which the paper
    treats separately, He's sqrt(2 / fan_in). It preserves the variance of activations to first order in the signal:
    phi(u) is replaced by phi(0) + phi'(0) u, whose variance is set to 1. Larger signals see phi bend, so that
    saturating functions shrink them. Biases are 0; the head, which nothing follows, gets 1 / fan_in.

    Departure: the leaky ReLU and PReLU, which the paper leaves out, get He's slope-aware variance. Other functions with
    a kink at 0 (SELU) are refused.

    Raises:
        ConfigError: a nonlinearity with a kink or the slope 0 at 0.

    References:
        Kumar 2017, On weight initialization in deep neural networks (arXiv 1704.08863), sections 3 and 4.
    """

    reads_nonlinearity: ClassVar[bool] = True

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return sample("normal", spec.shape, self.declared_std(spec), generator)

    def declared_std(self, spec: ParamSpec) -> float:
        return kumar_gain(spec.nonlinearity) / math.sqrt(spec.fan_in)
