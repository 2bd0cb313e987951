"""What torch draws when nobody asks for anything: the baseline arm."""

from __future__ import annotations

from dataclasses import dataclass

from initsuite.init.compose import PerTensor
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import TensorInit

INVERSE_FAN_IN = VarianceScaling(gain=3**-0.5, fan="fan_in", distribution="uniform")
"""U(-1/sqrt(fan_in), 1/sqrt(fan_in)): torch writes it as He uniform for a leaky ReLU of slope sqrt(5)."""


@dataclass(frozen=True)
class TorchDefault(PerTensor):
    """The law of torch's own modules, drawn from this suite's named streams.

    Linear and convolution weights, and their biases, are U(-1/sqrt(fan_in), 1/sqrt(fan_in)): Var[w] = 1/(3 fan_in).
    Embeddings are N(0, 1), norm scales 1, norm shifts 0. It preserves no variance: with ReLU the weights alone shrink
    the mean square by 6 a layer. The head is drawn like any other layer. Departure: torch keeps the `padding_idx` row
    of an embedding at 0, which a `ParamSpec` does not know.

    References:
        torch 2.13, `reset_parameters` of nn.Linear, nn.Conv2d, nn.Embedding, nn.BatchNorm2d.
    """

    weight: TensorInit = INVERSE_FAN_IN
    bias: TensorInit = INVERSE_FAN_IN
