"""Networks of sines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from initsuite.errors import bad_value, check_number
from initsuite.init.base.compose import ByLaws, Laws, weights_by_place
from initsuite.init.base.requirements import refusal
from initsuite.init.distributions import Uniform
from initsuite.spec import ParamSpec, Role, Specs


@dataclass(frozen=True)
class Siren(ByLaws):
    """Uniform weights that keep the distribution of activations the same through any number of sine layers.

    For layers sin(omega (W x + b)): the first U(-1/n, 1/n), all others U(-sqrt(6/n)/omega, sqrt(6/n)/omega) with
    n = fan_in; Var[w] = 1/(3 n^2), and 2/(n omega^2). For inputs that fill [-1, 1] a first layer with omega >> 1
    spreads the sine over many periods: its outputs follow the arcsine law, of mean square 1/2. Then omega W x is
    N(0, 1) in the next layer; the paper takes the sine of that for arcsine again, exactly its mean square is
    (1 - e^-2)/2 = 0.43, and the variance of omega W x settles at v = 1 - e^(-2v), v = 0.797. omega speeds up training
    without moving that.

    The head, which no sine follows, is drawn like a hidden layer, as in the authors' code. Biases are 0, where that
    code keeps torch's U(-1/sqrt(n), 1/sqrt(n)); the paper does not say. Models whose hidden layers are not followed by
    sines are refused.

    Args:
        omega: the sines' omega: `auto`, that of the sine after the last hidden layer; or a number above 0.

    References:
        Sitzmann et al. 2020, Implicit Neural Representations with Periodic Activation Functions, section 3.2 and
        supplement 1.
    """

    reads_nonlinearity: ClassVar[bool] = True

    omega: float | str = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.omega, str):
            check_number("Siren", "omega", self.omega, above=0, fix="Or use auto.")
        elif self.omega != "auto":
            raise bad_value("Siren", "omega", self.omega, "a number above 0, or auto")

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        omegas = [_omega(spec) for spec in specs if spec.role is Role.WEIGHT and not spec.is_head] or [1.0]
        omega = omegas[-1] if isinstance(self.omega, str) else float(self.omega)

        def weight(spec: ParamSpec) -> Uniform:
            return Uniform(1 / spec.fan_in if spec.layer == 0 else math.sqrt(6 / spec.fan_in) / omega)

        return weights_by_place(weight, specs)


def _omega(spec: ParamSpec) -> float:
    """omega of the sine after a hidden layer: 1 for sin(x) without this option; nested factors multiply."""
    follows = spec.nonlinearity
    if follows is None or follows.name != "sine":
        lacks = f"{follows.name if follows else 'no nonlinearity'} after `{spec.name}`"
        raise refusal("Siren", lacks, "a sine after every hidden layer", "Use activation=sine, or init=he.")
    return math.prod(value for name, value in follows.options if name == "omega")
