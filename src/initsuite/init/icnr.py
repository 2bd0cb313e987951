"""Sub-pixel convolutions that start as a resize."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from initsuite.errors import ConfigError, check_whole_number
from initsuite.init.base.compose import ByLaws, Laws, PerTensor
from initsuite.init.base.requirements import ELSEWHERE, refusal
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.models.describe.layers import CONVOLUTIONS
from initsuite.spec import ParamSpec, Specs, TensorInit

HE = VarianceScaling(gain=math.sqrt(2))


@dataclass(frozen=True)
class IcnrKernel:
    """A law for one kernel, with each drawn filter repeated for the `repeats` channels that make one pixel.

    The marginal Var[w] is that of the law; the filters of a group are equal, so that pixel shuffling makes constant
    tiles of r x r pixels (`repeats` = r^2) of what the drawn filters return: the convolution, resized to r times the
    size by the nearest neighbour.

    Args:
        law: the law of the distinct filters.
        repeats: from 1; divides the output channels.

    Raises:
        ConfigError: output channels that `repeats` does not divide.

    References:
        Aitken et al. 2017, Checkerboard artifact free sub-pixel convolution.
    """

    law: TensorInit = HE
    repeats: int = 4

    def __post_init__(self) -> None:
        check_whole_number("IcnrKernel", "repeats", self.repeats)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        channels = spec.shape[0]
        if channels % self.repeats:
            raise ConfigError(
                f"IcnrKernel: bad value `repeats`={self.repeats} for the {channels} output channels of `{spec.name}`. "
                "Expected a divisor of them. Give the square of the upscale factor."
            )
        distinct = replace(spec, shape=(channels // self.repeats, *spec.shape[1:]))
        return self.law(distinct, generator).repeat_interleave(self.repeats, dim=0)

    def declared_std(self, spec: ParamSpec) -> float:
        declare = getattr(self.law, "declared_std", None)
        return declare(spec) if declare else math.nan


@dataclass(frozen=True)
class Icnr(ByLaws):
    """He, with the convolution before each nn.PixelShuffle made of filters that are repeated r^2 times.

    Var[w] = 2/fan_in everywhere, the head included; biases are 0. A network for super-resolution starts as a
    convolution with a nearest-neighbour resize, without the checkerboard that r^2 independent filters print on every
    output at the start.

    The convolution is the last one registered before the nn.PixelShuffle. Pitfalls: torch.nn.functional.pixel_shuffle
    is no module and is not seen; give that kernel the law `IcnrKernel`. Equal filters stay apart from the first step
    on only because their gradients differ, as those of neighbouring pixels do.

    Raises:
        ConfigError: no nn.PixelShuffle, or none that follows a convolution of a fitting width.

    References:
        Aitken et al. 2017, Checkerboard artifact free sub-pixel convolution.
    """

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        laws = PerTensor(weight=HE).laws(model, specs)
        known = {spec.name: spec for spec in specs}
        found = {name: repeats for name, repeats in shuffled(model).items() if name in known}
        if not found:
            expected = "a convolution and an nn.PixelShuffle after it"
            raise refusal("Icnr", "no sub-pixel convolution", expected, ELSEWHERE)
        return laws | {name: (IcnrKernel(HE, repeats), known[name]) for name, repeats in found.items()}


def shuffled(model: nn.Module) -> dict[str, int]:
    """The weights of convolutions before an nn.PixelShuffle, and the number of channels that make a pixel."""
    found, last = {}, ""
    for name, module in model.named_modules():
        if isinstance(module, CONVOLUTIONS):
            last = f"{name}.weight".lstrip(".")
        elif isinstance(module, nn.PixelShuffle) and last:
            found[last] = module.upscale_factor**2
            last = ""
    return found
