"""The article's rule as one arm of the comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from initsuite.errors import check_whole_number
from initsuite.init.base.compose import ByLaws, Laws, PerTensor, weights_by_place
from initsuite.init.base.layout import last_hidden_nonlinearity
from initsuite.init.orthogonal import Orthogonal
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.protocol.guideline import DEEP_FROM, choice_before, guideline_choice, network_of
from initsuite.spec import Activation, Specs

XAVIER = VarianceScaling(gain=1.0, fan="fan_avg")
HE = VarianceScaling(gain=math.sqrt(2), fan="fan_in")
HE_SLOPE_AWARE = VarianceScaling(gain="auto", fan="fan_in")
ORTHOGONAL = Orthogonal(gain=1.0)
ORTHOGONAL_GAIN_AWARE = Orthogonal(gain="auto")


@dataclass(frozen=True)
class Guideline(ByLaws):
    """Orthogonal for recurrent and very deep networks, Xavier for tanh and sigmoid, He for everything else.

    A model with a recurrent weight: Haar orthogonal, gain 1, for all of its weights, each gate a matrix of its own.
    From `deep_from` hidden layers on: Haar orthogonal x the gain of the nonlinearity that follows, 1 for the head.
    Below: Var[w] = 2 / (fan_in + fan_out) before tanh and sigmoid, and 2 / fan_in before anything else, which becomes
    2 / ((1 + a^2) fan_in) before a leaky ReLU of slope a. There the head follows the rule of the nonlinearity before
    it, so that on a tanh or a ReLU network this is exactly `xavier` or `he`. Each law preserves what it does by itself.
    Biases are 0. Departure: the article says "very deep" without a number; 30 is this suite's reading of it.

    Args:
        deep_from: hidden layers (layers with weights but the head), from 1.

    References:
        The article: Understanding Model Initialization: Key to Success in Deep Learning, 2025.
    """

    reads_nonlinearity: ClassVar[bool] = True

    deep_from: int = DEEP_FROM

    def __post_init__(self) -> None:
        check_whole_number("Guideline", "deep_from", self.deep_from)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        network = network_of(specs)
        if guideline_choice(network, None, self.deep_from) == "orthogonal":
            law = ORTHOGONAL if network.is_recurrent else ORTHOGONAL_GAIN_AWARE
            return PerTensor(weight=law).laws(model, specs)
        before_head = last_hidden_nonlinearity(specs)
        seen = [replace(spec, nonlinearity=before_head) if spec.is_head else spec for spec in specs]
        return weights_by_place(lambda spec: _law(spec.nonlinearity), seen)


def _law(nonlinearity: Activation | None) -> VarianceScaling:
    name = nonlinearity.name if nonlinearity else None
    if choice_before(name) == "xavier":
        return XAVIER
    return HE_SLOPE_AWARE if name == "leaky_relu" else HE
