"""He's weights with biases that are drawn, to test the advice that biases start at 0."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from initsuite.errors import check_number
from initsuite.init.base.compose import ByLaws, Laws, PerTensor
from initsuite.init.distributions import Normal
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import Specs


@dataclass(frozen=True)
class RandomBiases(ByLaws):
    """Weights by variance scaling, biases from N(0, bias_std^2).

    Var[w] = gain^2 / fan as in `VarianceScaling`; Var[b] = bias_std^2, whatever the layer, the head included. A bias
    adds bias_std^2 to the mean square of each pre-activation, the same for every input, so that two inputs become more
    alike with depth: the role of sigma_b^2 in mean-field theory. The biases are the only difference from `he`, so that
    the two together test the article's advice "biases zero".

    Args:
        gain, fan, distribution: those of the weights, see `VarianceScaling`.
        bias_std: from 0.

    Elsewhere:
        torch: biases of linear layers and convolutions are U(-1/sqrt(fan_in), 1/sqrt(fan_in)) by default.
        Keras: 0 by default.
        Flax: 0 by default.

    References:
        The article: Understanding Model Initialization: Key to Success in Deep Learning, 2025 (biases zero).
        Schoenholz et al. 2016, Deep Information Propagation (what sigma_b^2 does to the correlation of inputs).
    """

    gain: float | str = 2**0.5
    fan: str = "fan_in"
    distribution: str = "normal"
    bias_std: float = 0.1

    def __post_init__(self) -> None:
        check_number("RandomBiases", "bias_std", self.bias_std, minimum=0)
        self._weights()

    def _weights(self) -> VarianceScaling:
        return VarianceScaling(gain=self.gain, fan=self.fan, distribution=self.distribution)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        return PerTensor(weight=self._weights(), bias=Normal(0.0, self.bias_std)).laws(model, specs)
