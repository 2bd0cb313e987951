"""Initializers whose weights shrink with the place of their block in the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initsuite.errors import check_number
from initsuite.init.base.blocks import block_numbers, branches_so_far, closing
from initsuite.init.base.compose import ByLaws, Laws, PerTensor, Scaled, weights_by_place
from initsuite.init.base.requirements import need_branches
from initsuite.init.distributions import Normal, TruncatedNormal
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import ParamSpec, Specs, TensorInit

XAVIER_UNIFORM = VarianceScaling(gain=1.0, fan="fan_avg", distribution="uniform")
CUT = 3.0
"""Where `Mitchell` cuts its normal laws, in std."""


@dataclass(frozen=True)
class LmDepth(ByLaws):
    """N(0, std^2), with the layers that close a residual branch smaller the later their block comes.

    Var[w] = std^2 for weights and embeddings, the head included, and std^2 / n for the last layer of a branch, with n
    the number of branches up to the end of its block: 2(l + 1) in block l = 0, 1, ... of a transformer, whose blocks
    have two, in parallel or not; l + 1 where a block is one branch, as in a ResNet. What block l adds to the stream is
    then about 1/(l + 1) of the sum before it, so that early blocks count as much as in a shallow network. `gpt2`
    divides by the total number of branches everywhere. Biases are 0, norms 1 and 0. The std does not follow the width.

    Pitfall: a name pattern that finds no closing layer makes this law a plain normal one, silently; here a model
    without residual branches is refused. Departures: torchtitan, whose `depth_init` this is, also shrinks the up
    projection of a gated MLP (w3), draws look-ups with std 1 and the head with 1/sqrt(width), and its truncation at
    +-2 cuts nothing at this std. An encoder and a decoder (with cross-attention) in one model are counted apart.

    Args:
        std: std of weights and embeddings, above 0.

    References:
        Zhang, Titov & Sennrich 2019, Improving Deep Transformer with Depth-Scaled Initialization (the idea).
        Liang et al. 2024, TorchTitan: One-stop PyTorch native solution for production ready LLM pre-training (code:
        `depth_init`, 0.02 / (2 (layer_id + 1))^0.5).
    """

    std: float = 0.02

    def __post_init__(self) -> None:
        check_number("LmDepth", "std", self.std, above=0)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("LmDepth", specs)
        law, count = Normal(0.0, self.std), branches_so_far(specs)
        laws = PerTensor(weight=law, embedding=law).laws(model, specs)
        last = {spec.name: (Normal(0.0, self.std / math.sqrt(count[spec.branch])), spec) for spec in closing(specs)}
        return laws | last


@dataclass(frozen=True)
class Mitchell(ByLaws):
    """LeCun's variance, cut at 3 std, with the layers that close a residual branch smaller the later they come.

    Var[w] = 1/fan_in for weights, the head included, 1/(n fan_in) for the last layer of a branch, with n the number of
    branches up to the end of its block: 2(l + 1) in block l = 0, 1, ... of a transformer. Embeddings of d features have
    1/d. A linear layer keeps the mean square of its inputs at any width, and the residual stream grows with the log of
    the depth only. Biases are 0, norms 1 and 0.

    Pitfall: it keeps no variance behind a nonlinearity (its MLPs shrink the signal; pre-norm makes up for it).
    Departure: here the std is that after the cut; the published code draws with that std before the cut, 1.3 % less.

    References:
        Groeneveld et al. 2024, OLMo: Accelerating the Science of Language Models (code: `InitFnType.mitchell`, named
        after Mitchell Wortsman).
    """

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("Mitchell", specs)
        count = branches_so_far(specs)
        laws = PerTensor(weight=_Truncated(), embedding=_TruncatedRows()).laws(model, specs)
        return laws | {spec.name: (_Truncated(count[spec.branch] ** -0.5), spec) for spec in closing(specs)}


@dataclass(frozen=True)
class _Truncated:
    """A normal law cut at `CUT` std, of std factor / sqrt(fan_in)."""

    factor: float = 1.0

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return TruncatedNormal(self.declared_std(spec), CUT)(spec, generator)

    def declared_std(self, spec: ParamSpec) -> float:
        return self.factor / math.sqrt(spec.fan_in)


class _TruncatedRows(_Truncated):
    """The same for rows that are looked up, of std 1 / sqrt(features)."""

    def declared_std(self, spec: ParamSpec) -> float:
        return spec.shape[-1] ** -0.5


@dataclass(frozen=True)
class DsInit(ByLaws):
    """Xavier uniform, divided by the root of the number of the block.

    Var[w] = 2 alpha^2 / (l (fan_in + fan_out)) for every weight in the branches of block l = 1, 2, ..., and plain
    Xavier outside of blocks, the head included. Made for post-norm, where each block multiplies the gradient by less
    than 1: smaller branches let more of it pass along the shortcuts of the upper blocks. Biases are 0, norms 1 and 0,
    embeddings N(0, 1) as in torch, which the paper leaves open.

    Where a block is one branch, as in a ResNet, l counts branches. Pitfall: queries and keys shrink too, unlike in
    `t_fixup` and `deepnorm`, so that attention starts flatter in upper blocks. An encoder and a decoder (with
    cross-attention) are counted apart. Departure: each of the packed projections has its own fans. Only the formula of
    the paper was at hand, not its code.

    Args:
        alpha: factor of the std in all blocks, above 0; 1 in the paper.

    References:
        Zhang, Titov & Sennrich 2019, Improving Deep Transformer with Depth-Scaled Initialization and Merged Attention,
        section 4.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_number("DsInit", "alpha", self.alpha, above=0)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("DsInit", specs)
        number = block_numbers(specs)

        def weight(spec: ParamSpec) -> TensorInit:
            is_inside = spec.branch_layers > 0
            return Scaled(XAVIER_UNIFORM, self.alpha / math.sqrt(number[spec.branch])) if is_inside else XAVIER_UNIFORM

        return weights_by_place(weight, specs)
