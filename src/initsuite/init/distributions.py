"""Laws of independent entries with a given std, whatever the layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import scipy
import torch
from torch import Tensor, nn

from initsuite.errors import check_number, unknown_choice
from initsuite.spec import ParamSpec

DISTRIBUTIONS = ("normal", "uniform", "truncated_normal")
TRUNCATION = 2.0
"""Where a truncated normal is cut, in std of the normal it is cut from."""
TRUNCATED_STD = 0.8796256610342398
"""Std of N(0, 1) cut at +-2: sqrt(1 - 2 * 2 pdf(2) / (cdf(2) - cdf(-2)))."""


def sample(distribution: str, shape: tuple[int, ...], std: float, generator: torch.Generator) -> Tensor:
    """Independent entries of mean 0 and this std, float32 [*shape].

    Args:
        distribution: `normal`; `uniform` on +-sqrt(3) std; `truncated_normal`, whose std *after* the cut is `std`.
        std: from 0.

    Raises:
        ConfigError: an unknown distribution.
    """
    if distribution == "normal":
        return torch.empty(shape).normal_(0.0, std, generator=generator)
    if distribution == "uniform":
        bound = 3**0.5 * std
        return torch.empty(shape).uniform_(-bound, bound, generator=generator)
    if distribution == "truncated_normal":
        # in units of std: torch's bounds are absolute
        cut = nn.init.trunc_normal_(torch.empty(shape), 0.0, 1.0, -TRUNCATION, TRUNCATION, generator=generator)
        return cut.mul_(std / TRUNCATED_STD)
    raise unknown_choice("sample", "distribution", distribution, DISTRIBUTIONS)


@dataclass(frozen=True)
class Normal:
    """Independent entries from N(mean, std^2), whatever the fans of the layer.

    Var[w] = std^2. It preserves nothing but the broken symmetry: the signal grows or shrinks by about std sqrt(fan_in)
    per layer. Biases are 0; the head is like any other layer.

    Args:
        mean: any finite number.
        std: from 0.
    """

    mean: float = 0.0
    std: float = 0.01

    def __post_init__(self) -> None:
        check_number("Normal", "mean", self.mean)
        check_number("Normal", "std", self.std, minimum=0)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return sample("normal", spec.shape, self.std, generator).add_(self.mean)

    def declared_std(self, spec: ParamSpec) -> float:
        return self.std


@dataclass(frozen=True)
class Uniform:
    """Independent entries from U(-bound, bound), whatever the fans of the layer.

    Var[w] = bound^2 / 3. It preserves nothing but the broken symmetry. Biases are 0; the head is like any other layer.

    Pitfall: it does not follow the width; one bound for all layers is too large for some and too small for others.

    Args:
        bound: from 0; Keras' RandomUniform has 0.05.

    Elsewhere:
        torch: `uniform_` is U(0, 1) by default, around 0.5 and not around 0.
        Keras: `RandomUniform` is U(-0.05, 0.05).
        Flax: `uniform` of JAX is U(0, 0.01): not around 0 either.
    """

    bound: float = 0.05

    def __post_init__(self) -> None:
        check_number("Uniform", "bound", self.bound, minimum=0)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return sample("uniform", spec.shape, self.declared_std(spec), generator)

    def declared_std(self, spec: ParamSpec) -> float:
        return self.bound / 3**0.5


@cache
def _truncated_std(cut: float) -> float:
    """Std of N(0, 1) cut at +-cut."""
    return float(scipy.stats.truncnorm.std(-cut, cut))


CONVENTIONS = ("final", "keras", "torch")


@dataclass(frozen=True)
class TruncatedNormal:
    """Independent entries from a normal law cut at +-`cut`, in one of the three ways that libraries mean it.

    With N(0, s^2) the law that is cut at c of its std, and f(c) the std of N(0, 1) cut at +-c, 0.87962566 at c = 2, the
    std of the entries is s f(c):

        | convention | s            | c         | as in                                                           |
        | final      | std / f(cut) | cut       | JAX's and Keras' variance scaling: `std` is that of the entries |
        | keras      | std          | cut       | Keras' TruncatedNormal, jax.random, timm's trunc_normal_tf_     |
        | torch      | std          | cut / std | torch's and timm's trunc_normal_: absolute bounds               |

    Var[w] = s^2 f(c)^2. With the absolute bounds +-2 of torch nothing is cut of a law of std 0.02, and f = 1. It
    preserves nothing but the broken symmetry. Biases are 0; the head is like any other layer.

    Args:
        std: from 0.
        cut: above 0; in std of the law that is cut, with `torch` in units of the weights.
        convention: final, keras or torch.

    Elsewhere:
        torch: `trunc_normal_`: absolute bounds, std before the cut (`convention=torch`).
        Keras: `TruncatedNormal`: std before the cut at 2 of it (`convention=keras`).
        Flax: `truncated_normal` of JAX: as Keras; in `variance_scaling` the std is that after the cut
            (`final`).
        timm: `trunc_normal_` as torch, `trunc_normal_tf_` as Keras. Its vision transformers, std 0.02 within
            +-2, are cut nowhere.

    References:
        timm 1.0, layers/weight_init.py; jax.nn.initializers.variance_scaling; keras.initializers.TruncatedNormal.
    """

    added_options: ClassVar = {"convention": "final"}
    std: float = 0.02
    cut: float = 2.0
    convention: str = "final"

    def __post_init__(self) -> None:
        check_number("TruncatedNormal", "std", self.std, minimum=0)
        check_number("TruncatedNormal", "cut", self.cut, above=0)
        if self.convention not in CONVENTIONS:
            raise unknown_choice("TruncatedNormal", "convention", self.convention, CONVENTIONS)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        std, cut = self._uncut()
        entries = torch.empty(spec.shape)
        return nn.init.trunc_normal_(entries, 0.0, 1.0, -cut, cut, generator=generator).mul_(std)

    def declared_std(self, spec: ParamSpec) -> float:
        std, cut = self._uncut()
        return std * _truncated_std(cut)

    def _uncut(self) -> tuple[float, float]:
        """(std of the normal law that is cut, where it is cut in units of that)."""
        if self.convention == "torch":
            return self.std, self.cut / self.std if self.std else 1.0
        return (self.std / _truncated_std(self.cut) if self.convention == "final" else self.std), self.cut
