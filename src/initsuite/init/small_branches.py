"""Residual networks whose branches start at 0, or at almost 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from initsuite.errors import bad_value, check_number
from initsuite.init.base.blocks import residual_blocks
from initsuite.init.base.compose import ZERO, ByLaws, Laws
from initsuite.init.base.requirements import need_branches, need_role
from initsuite.init.constant import Constant
from initsuite.init.inside import INSIDE, check_inside
from initsuite.spec import Role, Specs


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
        inside: the law of everything else: he, lecun, normal (std 0.02), keras_default, torch_default.

    References:
        Zhang, Dauphin & Ma 2019, Fixup Initialization, section 3 (the last layer of each branch).
        Jordan et al. 2024, modded-nanogpt (code: `c_proj.weight.zero_()`, after the muP paper's zero-initialised
        outputs).
    """

    inside: str = "lecun"

    def __post_init__(self) -> None:
        check_inside("ZeroClosing", self.inside)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("ZeroClosing", specs)
        zeroed = {Role.WEIGHT, Role.RECURRENT, Role.BIAS}
        last = {spec.name: (ZERO, spec) for spec in specs if spec.closes_residual and spec.role in zeroed}
        return INSIDE[self.inside].laws(model, specs) | last


@dataclass(frozen=True)
class LayerScale(ByLaws):
    """A usual law, with the learned scales of what each residual branch adds at a small value.

    y = x + lambda * branch(x), with a scale lambda for each channel, or one for all. Var[w], biases and the head are
    those of the law inside. Every block starts near the identity, whatever the depth, but unlike at 0 (`rezero`) all
    layers of the branch get a gradient at once. value=auto is that of the paper by the number of blocks: 0.1 up to 18,
    1e-5 up to 24, 1e-6 in deeper networks; where a block is one branch, as in a ConvNeXt, branches are counted.

    Pitfall: a block whose scale is 1e-6 learns late at a small lr. Departure: the paper draws the rest from a normal
    law of std 0.02 that is cut at +-2, far outside.

    Args:
        value: of every branch scale: a number from 0, or auto.
        inside: the law of everything else: he, lecun, normal (std 0.02), keras_default, torch_default.

    Elsewhere:
        timm: 1e-5 at any depth unless a model says otherwise (`init_values`); ConvNeXt has 1e-6.
        transformers: 0.1 in BEiT, 1e-6 in ConvNeXt, 1 in DINOv2.

    References:
        Touvron et al. 2021, Going deeper with Image Transformers, section 2 (LayerScale).
    """

    checks_model: ClassVar[bool] = True

    value: float | str = "auto"
    inside: str = "normal"

    def __post_init__(self) -> None:
        check_inside("LayerScale", self.inside)
        if isinstance(self.value, str):
            if self.value != "auto":
                raise bad_value("LayerScale", "value", self.value, "a number from 0, or auto")
        else:
            check_number("LayerScale", "value", self.value, minimum=0, fix="Or use auto.")

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_role("LayerScale", specs, Role.BRANCH_SCALE, "model.branch_scale=true")
        law = Constant(self._value(len(residual_blocks(specs))))
        scales = {spec.name: (law, spec) for spec in specs if spec.role is Role.BRANCH_SCALE}
        return INSIDE[self.inside].laws(model, specs) | scales

    def _value(self, blocks: int) -> float:
        if not isinstance(self.value, str):
            return self.value
        return 0.1 if blocks <= 18 else 1e-5 if blocks <= 24 else 1e-6
