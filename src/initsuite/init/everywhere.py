"""The article's two baselines, which treat weights, biases and embeddings alike."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from initsuite.errors import check_number
from initsuite.init.base.compose import PerTensor
from initsuite.init.constant import Constant
from initsuite.init.distributions import Normal
from initsuite.spec import Initialization, ParamSpec, Probe, Role, Specs, TensorInit


def _everywhere(law: TensorInit) -> PerTensor:
    return PerTensor(weight=law, bias=law, embedding=law)


DRAWN = (Role.WEIGHT, Role.RECURRENT, Role.BIAS, Role.EMBEDDING)
"""What the laws here treat; scales, shifts and multipliers stay 1, 0 and 1."""


@dataclass(frozen=True)
class Zero:
    """Every weight, bias and embedding 0: the negative control.

    Var[w] = 0. All units of a layer compute the same and get the same gradient; behind a nonlinearity that is 0 at 0
    (ReLU, tanh) no weight gets any, and only the bias of the head learns. The head is 0 like any other layer. Norm
    scales stay 1 and norm shifts 0: the article's networks, where every parameter is 0, have none.

    References:
        The article: Understanding Model Initialization: Key to Success in Deep Learning, 2025.
    """

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        return _everywhere(Constant(0.0))(model, specs, seed=seed, probe=probe)

    def declared_std(self, spec: ParamSpec) -> float:
        """sqrt(Var[w])."""
        return 0.0


@dataclass(frozen=True)
class NormalEverywhere:
    """Every weight, bias and embedding from N(mean, std^2), whatever the layer: the article's baseline.

    Var[w] = std^2. It breaks the symmetry and preserves nothing: with ReLU the mean square of the signal changes by
    std^2 fan_in / 2 a layer, so that it vanishes with depth below std = sqrt(2 / fan_in) and explodes above. Biases and
    the head are drawn like any weight. Norm scales stay 1 and norm shifts 0: the article's networks have none.

    Args:
        mean: any finite number.
        std: from 0.

    References:
        The article: Understanding Model Initialization: Key to Success in Deep Learning, 2025.
    """

    mean: float = 0.0
    std: float = 0.01

    def __post_init__(self) -> None:
        check_number("NormalEverywhere", "mean", self.mean)
        check_number("NormalEverywhere", "std", self.std, minimum=0)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        return _everywhere(Normal(self.mean, self.std))(model, specs, seed=seed, probe=probe)

    def declared_std(self, spec: ParamSpec) -> float:
        """sqrt(Var[w])."""
        return self.std if spec.role in DRAWN else 0.0
