"""Variance scaling: one law, of which xavier, he and lecun are settings (see conf/init)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from initsuite.errors import unknown_choice
from initsuite.init.distributions import DISTRIBUTIONS, sample
from initsuite.init.theory.gains import check_gain, resolve_gain
from initsuite.spec import ParamSpec

FANS = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")


@dataclass(frozen=True)
class VarianceScaling:
    """Independent entries of mean 0 whose variance is inversely proportional to a fan of the layer.

    Var[w] = gain^2 / fan. `fan_in` preserves the mean square of the signal on its way forward, `fan_out` that of the
    gradient on its way back, `fan_avg` = (fan_in + fan_out) / 2 is the compromise, and so is `fan_geo_avg` =
    sqrt(fan_in fan_out), with which a layer changes signal and gradient by inverse factors; all at initialization, for
    wide layers with zero biases and a gain that fits the nonlinearity. Biases are 0; the head is like any other layer,
    as in the article; He et al. use 1/fan_in for the last layer, and so does `gain=auto`. Glorot & Bengio draw from the
    uniform law; the article, and the setting `xavier`, from the normal one.

    Pitfall: a gain that is a number does not look at what follows: sqrt(2) before tanh drives a deep network into
    saturation, and 1 before ReLU halves the mean square of the signal in each layer; `gain=auto` looks.

    Args:
        gain: a number above 0, whatever follows; `auto`, the forward gain of the nonlinearity that follows (1 where
            nothing does); `backward`, its backward gain; or `torch`, torch's table.
        fan: fan_in, fan_out, fan_avg or fan_geo_avg.
        distribution: normal, uniform, or truncated_normal (cut at 2 std, rescaled to the variance above).

    Elsewhere:
        torch: `kaiming_normal_`, `xavier_normal_` and their uniform forms; no LeCun law. Fans are read off the
            shape: fan_in of a transposed convolution is its fan_out, packed queries, keys and values are one
            matrix, and fan_out of a grouped convolution is too large by the number of groups.
        Keras: `HeNormal`, `GlorotNormal` and `LecunNormal` are cut at 2 std and rescaled:
            `distribution=truncated_normal` here. `VarianceScaling(distribution="normal")` is cut, too;
            "untruncated_normal" is not.
        Flax: `he_normal`, `glorot_normal` and `lecun_normal` are JAX's, cut at 2 std and rescaled;
            `variance_scaling(..., "normal")` is not cut.
        timm: `variance_scaling_` has JAX's three distributions and torch's fans; `lecun_normal_` is cut and
            rescaled.
        transformers: by default none of them: N(0, 0.02^2) whatever the fans (`initializer_range`).

    References:
        LeCun et al. 1998, Efficient BackProp, section 4.6; for SELU: Klambauer et al. 2017, Self-Normalizing Neural
        Networks, section 3.
        Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward neural networks (16).
        He et al. 2015, Delving Deep into Rectifiers (10), (14), (15).
    """

    gain: float | str = 1.0
    fan: str = "fan_in"
    distribution: str = "normal"

    def __post_init__(self) -> None:
        check_gain("VarianceScaling", self.gain)
        if self.fan not in FANS:
            raise unknown_choice("VarianceScaling", "fan", self.fan, FANS)
        if self.distribution not in DISTRIBUTIONS:
            raise unknown_choice("VarianceScaling", "distribution", self.distribution, DISTRIBUTIONS)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return sample(self.distribution, spec.shape, self.declared_std(spec), generator)

    def declared_std(self, spec: ParamSpec) -> float:
        return resolve_gain(self.gain, spec.nonlinearity) / math.sqrt(fan_of(spec, self.fan))


def fan_of(spec: ParamSpec, fan: str) -> float:
    """The fan of a layer by its name in `FANS`."""
    match fan:
        case "fan_avg":
            return (spec.fan_in + spec.fan_out) / 2
        case "fan_geo_avg":
            return math.sqrt(spec.fan_in * spec.fan_out)
        case _:
            return spec.fan_in if fan == "fan_in" else spec.fan_out
