"""Residual networks whose branches start at 0, or at almost 0."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from initsuite.errors import unknown_choice
from initsuite.init.base.compose import ZERO, ByLaws, Laws, PerTensor
from initsuite.init.base.requirements import need_branches
from initsuite.init.distributions import Normal
from initsuite.init.torch_default import TorchDefault
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import Role, Specs

INSIDE: dict[str, ByLaws] = {
    "he": PerTensor(weight=VarianceScaling(gain=2**0.5)),
    "lecun": PerTensor(weight=VarianceScaling(gain=1.0)),
    "normal": PerTensor(weight=Normal(0.0, 0.02), embedding=Normal(0.0, 0.02)),
    "torch_default": TorchDefault(),
}
"""Laws for all other tensors, by name; `normal` is that of GPT-2 and of vision transformers."""


@dataclass(frozen=True)
class ZeroClosing(ByLaws):
    """A usual law, with the layer that closes each residual branch at 0.

    Var[w] = 0 for the last layer of each branch, its bias included, and that of the law inside for all others, the
    head included. Every branch is 0 at the start, and the network the identity on its stream: signal and gradient pass
    along the shortcuts whatever the depth, and no norm layer or multiplier is needed. At the first step only the
    closing layers get a gradient in their branches; the others follow from the second step on.

    Pitfall: a norm layer after that layer, inside the branch, turns 0 into its shift, and blows the gradient up by
    1/sqrt(eps). `zero_gamma` is made for such branches; they are not refused here. `fixup` adds what a network without
    norm layers needs.

    Args:
        inside: the law of everything else: he, lecun, normal (std 0.02), torch_default.

    References:
        Zhang, Dauphin & Ma 2019, Fixup Initialization, section 3 (the last layer of each branch).
        Jordan et al. 2024, modded-nanogpt (code: `c_proj.weight.zero_()`, after the muP paper's zero-initialised
        outputs).
    """

    inside: str = "lecun"

    def __post_init__(self) -> None:
        if self.inside not in INSIDE:
            raise unknown_choice("ZeroClosing", "inside", self.inside, INSIDE)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("ZeroClosing", specs)
        zeroed = {Role.WEIGHT, Role.RECURRENT, Role.BIAS}
        last = {spec.name: (ZERO, spec) for spec in specs if spec.closes_residual and spec.role in zeroed}
        return INSIDE[self.inside].laws(model, specs) | last
