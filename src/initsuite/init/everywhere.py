"""The article's two baselines, which treat weights, biases and embeddings alike."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from initsuite.errors import check_number
from initsuite.init.base.compose import ZERO, ByLaws, Laws, PerTensor
from initsuite.init.distributions import Normal
from initsuite.spec import Specs


@dataclass(frozen=True)
class Zero(ByLaws):
    """Every weight, bias and embedding 0: the negative control.

    Var[w] = 0. All units of a layer compute the same and get the same gradient; behind a nonlinearity that is 0 at 0
    (ReLU, tanh) no weight gets any, and only the bias of the head learns. The head is 0 like any other layer. Norm
    scales stay 1 and norm shifts 0: the article's networks, where every parameter is 0, have none.

    References:
        The article: Understanding Model Initialization: Key to Success in Deep Learning, 2025.
    """

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        return PerTensor(weight=ZERO, bias=ZERO, embedding=ZERO).laws(model, specs)


@dataclass(frozen=True)
class NormalEverywhere(ByLaws):
    """Every weight, bias and embedding from N(mean, std^2), whatever the layer: the article's baseline.

    Var[w] = std^2. It breaks the symmetry and preserves nothing: with ReLU the mean square of the signal changes by
    std^2 fan_in / 2 per layer, so that it vanishes with depth below std = sqrt(2 / fan_in) and explodes above. Biases
    and the head are drawn like any weight. Norm scales stay 1 and norm shifts 0: the article's networks have none.

    Pitfall: a std of 0.01 fits ReLU at fan_in = 20,000; at usual widths a deep network without norms does not start to
    train.

    Args:
        mean: any finite number.
        std: from 0.

    Elsewhere:
        torch: `normal_` has std 1 by default.
        Keras: `RandomNormal` has 0.05; layers have biases 0.
        Flax: `normal` of JAX has 0.01; layers have biases 0.
        transformers: N(0, 0.02^2) for linear layers, convolutions and embeddings of most models, biases 0.

    References:
        The article: Understanding Model Initialization: Key to Success in Deep Learning, 2025.
    """

    mean: float = 0.0
    std: float = 0.01

    def __post_init__(self) -> None:
        check_number("NormalEverywhere", "mean", self.mean)
        check_number("NormalEverywhere", "std", self.std, minimum=0)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        law = Normal(self.mean, self.std)
        return PerTensor(weight=law, bias=law, embedding=law).laws(model, specs)
