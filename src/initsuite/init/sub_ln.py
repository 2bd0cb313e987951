"""The initializer of transformers with a norm layer before the last layer of each branch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from initsuite.init.base.blocks import closing
from initsuite.init.base.compose import ByLaws, Laws, PerTensor
from initsuite.init.base.requirements import need_attention, need_parts, refusal, refuse_pair
from initsuite.init.transformer import OnValuePath
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import ParamSpec, Role, Specs

XAVIER = VarianceScaling(gain=1.0, fan="fan_avg", distribution="normal")


@dataclass(frozen=True)
class SubLn(ByLaws):
    """Xavier, scaled *up* on the value path with the log of the number N of blocks, for sub-LayerNorm.

    Weights are Xavier normal: Var[w] = 2/(fan_in + fan_out), each of queries, keys and values by its own fans; W_V, W_O
    and the matrices of the MLP are multiplied by gamma = sqrt(log(2N)), in an encoder-only or decoder-only network of N
    blocks (one attention layer each). The model has LayerNorm first in each branch and again before its last layer, so
    that scaling up the weights before that norm leaves the signal and makes their updates count for less: the expected
    update of the model stays bounded for any N. Biases are 0; embeddings N(0, 1) as torch has them, which the paper
    leaves open; the head is plain Xavier.

    Pitfall: `deepnorm` divides where this multiplies; each is for its own place of the norm. A model is refused unless
    a norm layer with scales stands before the last layer of every branch; one without scales cannot be seen. At N = 1
    gamma is 0.83. Departure: the authors' code starts queries, keys and values at Xavier / sqrt(2); the paper does not.

    References:
        Wang et al. 2022, Foundation Transformers (Magneto), section 2 (code: torchscale, `subln`).
    """

    checks_model: ClassVar[bool] = True

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        blocks = need_attention("SubLn", specs)
        without = [spec.name for spec in closing(specs) if not _has_norm_before(spec, specs)]
        if without or not closing(specs):
            lacks = f"no norm layer before `{without[0]}`" if without else "no layer that closes a residual branch"
            expected = "a transformer with a norm layer before the last layer of each branch"
            raise refusal("SubLn", lacks, expected, "Use model.norm=sub, or init=deepnorm for post-norm.")
        refuse_pair("SubLn", specs)
        need_parts("SubLn", specs)
        return PerTensor(weight=OnValuePath(XAVIER, math.sqrt(math.log(2 * blocks)))).laws(model, specs)


def _has_norm_before(last: ParamSpec, specs: Specs) -> bool:
    """Whether a norm over the inputs of this layer follows another layer of the same branch."""
    others = {
        spec.layer for spec in specs if spec.branch == last.branch and spec.branch_layers and spec.role in WEIGHTS
    } - {last.layer}
    return any(
        spec.role is Role.NORM_SCALE and spec.layer in others and spec.shape[-1] == last.fan_in for spec in specs
    )
