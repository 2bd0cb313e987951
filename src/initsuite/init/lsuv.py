"""Layer-sequential unit variance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from initsuite.errors import check_number, check_whole_number
from initsuite.init.base.compose import PerTensor
from initsuite.init.base.moments import Correction, Moments
from initsuite.init.base.normalizing import Normalization
from initsuite.init.base.probing import Layer, ProbedModel, layers_of, needed
from initsuite.init.orthogonal import Orthogonal
from initsuite.spec import Initialization, Probe, Specs


@dataclass(frozen=True)
class Lsuv:
    """Orthonormal weights, each divided by the std of its layer's output on the probe: LSUV.

    In the order of use, W <- W / std(output) until |Var(output) - 1| <= tol, at most `max_tries` times; the variance is
    that of all outputs of the layer together, over examples, places and units. Var[w] = 1 / (max(rows, columns) v),
    where v is the variance with the orthonormal weights. It preserves the variance 1 of every layer's output on the
    probe, whatever the nonlinearities, norms and connections between; the gradient is left to itself. The law is a
    property of the data: a layer before batch norm is normalised too, although the norm undoes it.

    Biases are 0, norms and embeddings as torch has them; the head is normalised like any other layer. A layer whose
    output has no variance (dead: constant inputs, or behind units that never fire) keeps its orthonormal weights. The
    output of a linear layer or convolution is linear in its weight, so that one division is exact. `max_tries` matters
    only for layers that feed on themselves: those called several times, which are measured over all their calls, and an
    embedding that is the head as well, of which the head's output counts. There a division acts several times over, and
    its power is fitted (`Search`); a model that does not arrive keeps what came nearest, with a warning. Departure: the
    paper measures every mini-batch; here the probe is the one batch.

    Args:
        tol: tolerance of the variance, above 0; the paper's 0.1 binds where a division is not exact.
        max_tries: divisions of one layer, from 1.

    Raises:
        ConfigError: no probe, or a layer whose output cannot be seen (nn.LSTM, a weight that is changed before use).

    References:
        Mishkin & Matas 2015, All you need is a good init, algorithm 1.
    """

    law_version: ClassVar[int] = 2
    tol: float = 0.1
    max_tries: int = 10

    def __post_init__(self) -> None:
        check_number("Lsuv", "tol", self.tol, above=0)
        check_whole_number("Lsuv", "max_tries", self.max_tries)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        probe = needed("Lsuv", probe)
        params = PerTensor(weight=Orthogonal())(model, specs, seed=seed).params
        with torch.no_grad():
            probed = ProbedModel("Lsuv", model)
            Normalization(probed, layers_of(model, specs), probe.inputs, self, self.max_tries)(params)
        return Initialization({spec.name: params[spec.name] for spec in specs})

    def correction(self, layer: Layer, moments: Moments) -> Correction | None:
        variance = moments.pooled_variance
        if variance == 0 or abs(variance - 1) <= self.tol:
            return None
        factor = torch.full_like(moments.mean, variance**-0.5)
        return factor, torch.zeros_like(factor)

    def error(self, layer: Layer, moments: Moments) -> Tensor:
        """log Var(output)."""
        return torch.tensor([math.log(moments.pooled_variance)]) if moments.pooled_variance else torch.zeros(1)
