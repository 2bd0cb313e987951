"""Initializers of residual networks: each makes its branches small at the start, in its own way."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from initsuite.errors import callers_level, check_number, unknown_choice
from initsuite.init.base.compose import ZERO, ByLaws, Laws, PerTensor, Scaled, weights_by_place
from initsuite.init.base.requirements import need_branches, need_role, refuse_closing_norm, refuse_norm
from initsuite.init.constant import Constant
from initsuite.init.inside import INSIDE
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import Initialization, ParamSpec, Probe, Role, Specs, TensorInit

HE = VarianceScaling(gain=math.sqrt(2), fan="fan_in")
SCALARS = (Role.MULTIPLIER, Role.BRANCH_SCALE)
OPERANDS = {"query", "key", "value"}
"""Parts of attention that lie side by side."""
CHOICES = {name: INSIDE[name] for name in ("he", "torch_default")}
"""Laws for everything except the branch scales, by name."""


@dataclass(frozen=True)
class Fixup(ByLaws):
    """He, scaled down in the branches with their number L, so that an update changes the network's output by O(lr).

    In a branch of m layers with weights: N(0, 2/fan_in) x L^(-1/(2m-2)) for the first m - 1, so
    Var[w] = 2 L^(-1/(m-1)) / fan_in, and 0 for the last. Elsewhere Var[w] = 2/fan_in; the head is 0. Every branch is 0
    at the start, so that signal and gradient pass only along the shortcuts, whatever the depth. Biases, also the
    scalar ones before each layer, are 0; the scalar multipliers are 1. Query, key and value count as one of the m,
    packed or not.

    The learning rate of all biases and multipliers is divided by 10, as in the paper (`bias_lr_factor`). Departure: the
    authors' code draws with fan_out and leaves the first convolution as torch draws it; the paper says He, which is
    fan_in here. In a model without scalar multipliers a warning says that rule 3 of the paper, which is about them, is
    missing: the weights have the law of rules 1 and 2, which make the update O(lr). A head that is tied to an embedding
    is drawn as the embedding.

    Args:
        bias_lr_factor: lr factor of biases and multipliers, above 0.

    References:
        Zhang, Dauphin & Ma 2019, Fixup Initialization: Residual Learning Without Normalization, sections 3 and 4.
    """

    checks_model: ClassVar[bool] = True
    bias_lr_factor: float = 0.1

    def __post_init__(self) -> None:
        check_number("Fixup", "bias_lr_factor", self.bias_lr_factor, above=0)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        start = super().__call__(model, specs, seed=seed, probe=probe)
        slow = [spec.name for spec in specs if spec.role in (Role.BIAS, *SCALARS)]
        return Initialization(start.params, dict.fromkeys(slow, self.bias_lr_factor))

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("Fixup", specs)
        refuse_norm("Fixup", model, specs)
        if not any(spec.role in SCALARS for spec in specs):
            warnings.warn(
                f"Fixup: no scalar multiplier in the {type(model).__name__}: the paper's rule 3, one in each residual "
                "branch and a scalar bias before each layer, is missing. Use model.fixup=true, or add them.",
                stacklevel=callers_level(),
            )
        beside = Counter(
            spec.branch for spec in specs if spec.role is Role.WEIGHT and OPERANDS.intersection(spec.parts)
        )

        def weight(spec: ParamSpec) -> TensorInit:
            layers = spec.branch_layers - max(0, beside[spec.branch] - 1)
            if spec.is_head or spec.closes_residual:
                return ZERO
            return Scaled(HE, spec.branches ** (-1 / (2 * layers - 2))) if layers > 1 else HE

        return weights_by_place(weight, specs)


@dataclass(frozen=True)
class BranchScale(ByLaws):
    """A usual initializer, with the learned scale of every residual branch at `value`: SkipInit and ReZero.

    y = x + alpha branch(x) with alpha = `value`. At 0 every block is the identity on its shortcut: signal and gradient
    neither grow nor shrink with depth, for any law inside, and at the first step only alpha gets a gradient in the
    branch. Var[w], biases and the head are those of the law inside.

    De & Smith (SkipInit) have no norm layers, He inside, and find alpha = 0 and 1/sqrt(blocks) equally good.
    Bachlechner et al. (ReZero) leave the network, its norm layers included, and its usual initializer as they are.

    Args:
        inside: the law of everything else: he (biases 0) or torch_default.
        value: value of each branch scale, from 0.

    Elsewhere:
        timm: `skipinit` of its NFNets, off by default: there the gain of the last convolution of each branch
            starts at 0.

    References:
        De & Smith 2020, Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep Networks,
        section 4.
        Bachlechner et al. 2021, ReZero is All You Need: Fast Convergence at Large Depth, section 3.
    """

    checks_model: ClassVar[bool] = True
    inside: str = "he"
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.inside not in CHOICES:
            raise unknown_choice("BranchScale", "inside", self.inside, CHOICES)
        check_number("BranchScale", "value", self.value, minimum=0)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_role("BranchScale", specs, Role.BRANCH_SCALE, "model.branch_scale=true")
        scales = {spec.name: (Constant(self.value), spec) for spec in specs if spec.role is Role.BRANCH_SCALE}
        return CHOICES[self.inside].laws(model, specs) | scales


@dataclass(frozen=True)
class ZeroGamma(ByLaws):
    """He, with the scale of the norm layer that ends each residual branch at 0.

    Var[w] = 2/fan_in everywhere, the head included; biases and norm shifts are 0, all other norm scales 1. Every block
    is the identity on its shortcut at the start, which eases the first steps of large batches; the zeroed scales get a
    gradient at once, the rest of their branch from the second step on.

    Elsewhere:
        torch: torchvision's ResNets have it as `zero_init_residual`, off by default.
        timm: `zero_init_last`, on by default.

    References:
        Goyal et al. 2017, Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, section 5.1.
    """

    checks_model: ClassVar[bool] = True

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("ZeroGamma", specs, Role.NORM_SCALE)
        closing = {spec.name: (ZERO, spec) for spec in specs if spec.closes_residual and spec.role is Role.NORM_SCALE}
        return PerTensor(weight=HE).laws(model, specs) | closing


@dataclass(frozen=True)
class StableResnet(ByLaws):
    """He, with what each of the L residual branches adds divided by sqrt(L).

    Var[w] = 2/fan_in, but 2/(L fan_in) for the last layer of each branch; biases are 0. The mean square of the signal
    grows over all L blocks by (1 + c/L)^L < e^c instead of (1 + c)^L, and so does that of the gradient: c = 2 for
    branches linear-ReLU-linear and nothing after the addition. The head is like any other layer.

    Departure: in the paper the factor 1/sqrt(L) is part of the architecture, y = x + branch(x) / sqrt(L), and acts on
    the gradients of the branch too. As an initializer it sits in the last weight, which is the same function at the
    start. A norm layer after that weight would undo it, and is refused.

    References:
        Hayou et al. 2021, Stable ResNet, section 3 (uniform scaling).
    """

    checks_model: ClassVar[bool] = True

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("StableResnet", specs)
        refuse_closing_norm("StableResnet", specs)
        return weights_by_place(lambda spec: Scaled(HE, spec.branches**-0.5) if spec.closes_residual else HE, specs)
