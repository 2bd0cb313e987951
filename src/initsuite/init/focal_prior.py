"""A head that starts by predicting that nearly all examples are negative."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from initsuite.errors import bad_value, check_number
from initsuite.init.base.compose import ByLaws, Laws, PerTensor
from initsuite.init.base.requirements import ELSEWHERE, refusal
from initsuite.init.constant import Constant
from initsuite.init.distributions import Normal
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import Role, Specs


@dataclass(frozen=True)
class FocalPrior(ByLaws):
    """He, with a head whose bias makes a sigmoid start at the probability `prior`.

    The bias of the head is -log((1 - prior) / prior), and its weights are N(0, head_std^2), so that it starts there for
    every input: the many negatives of an unbalanced problem then do not drown the first steps. Elsewhere Var[w] =
    2/fan_in and biases are 0.

    Pitfalls: for one sigmoid per class. A softmax does not see a bias that all classes share. Every output of the
    model counts as a head: the boxes of a detector, too, would start at that value. Departure: the paper draws all new
    layers, not only the head, with std 0.01, behind a pretrained network; from the start that would let the signal
    vanish.

    Args:
        prior: probability of the positive class at the start, between 0 and 1.
        head_std: std of the weights of the head, from 0.

    Raises:
        ConfigError: the model has no head with a bias.

    Elsewhere:
        transformers: the heads of RT-DETR, with the prior 1/(classes + 1) by default.

    References:
        Lin et al. 2017, Focal Loss for Dense Object Detection, sections 3.3 and 4.1.
    """

    prior: float = 0.01
    head_std: float = 0.01

    def __post_init__(self) -> None:
        check_number("FocalPrior", "prior", self.prior, above=0)
        if self.prior >= 1:
            raise bad_value("FocalPrior", "prior", self.prior, "a probability between 0 and 1")
        check_number("FocalPrior", "head_std", self.head_std, minimum=0)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        head = [spec for spec in specs if spec.is_head]
        if not any(spec.role is Role.BIAS for spec in head):
            raise refusal("FocalPrior", "no head with a bias", "a classifier that ends in a layer with one", ELSEWHERE)
        bias, weight = Constant(-math.log((1 - self.prior) / self.prior)), Normal(0.0, self.head_std)
        laws = PerTensor(weight=VarianceScaling(gain=math.sqrt(2))).laws(model, specs)
        laws |= {spec.name: (weight, spec) for spec in head if spec.role in WEIGHTS}
        return laws | {spec.name: (bias, spec) for spec in head if spec.role is Role.BIAS}
