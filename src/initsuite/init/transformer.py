"""Initializers of transformers: weights that shrink with the depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from initsuite.errors import check_number, unknown_choice
from initsuite.init.base.blocks import branches_so_far, closing, stacks
from initsuite.init.base.compose import ByLaws, Laws, PerTensor, Scaled, weights_by_place
from initsuite.init.base.requirements import (
    need_attention,
    need_branches,
    need_parts,
    refusal,
    refuse_norm,
    refuse_pair,
)
from initsuite.init.distributions import Normal
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.models.describe.layers import NORM_PARAMETERS, WEIGHTS
from initsuite.spec import ParamSpec, Role, Specs

VALUE_PATH = {"value", "attention_out", "mlp"}
"""Parts that the output of a block is linear in; queries and keys only steer the softmax."""
ROUNDING = 1e-6
"""Of a factor that a model holds in float32."""


@dataclass(frozen=True)
class OnValuePath(Scaled):
    """A law, times `factor` for values, attention outputs and the linears of the MLP."""

    def factor_of(self, spec: ParamSpec) -> float:
        return self.factor if VALUE_PATH.intersection(spec.parts) else 1.0


@dataclass(frozen=True)
class Gpt2(ByLaws):
    """N(0, std^2), with the projections that close a residual branch divided by the root of the number of branches.

    Var[w] = std^2 for weights and embeddings, the head included, and std^2 / L for the last layer of each of the L
    branches. A transformer of B blocks has L = 2B, so that this is (std / sqrt(2B))^2. All branches together then add
    as much to the residual stream as one would, whatever the depth. Biases are 0, norms 1 and 0. The std does not
    follow the width: 0.02 is 1/sqrt(fan_in) at fan_in = 2,500.

    Pitfalls: far below that width, without a norm in front of each branch, the signal vanishes. The factor must reach
    the projections that close a branch: a pattern of names that misses them leaves a plain normal law, silently.

    Departure: the paper gives only the factor 1/sqrt(number of residual layers); 0.02 is from the published code,
    where position embeddings have 0.01 and the head is the transposed token embedding.

    Args:
        std: std of weights and embeddings, above 0.

    Elsewhere:
        timm: its vision transformers have std 0.02 in every linear layer, without the factor.
        transformers: GPT-2 has this law, position embeddings with 0.02, too. Most others, Llama and BERT among
            them, have N(0, 0.02^2) without the factor.

    References:
        Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.3.
    """

    std: float = 0.02

    def __post_init__(self) -> None:
        check_number("Gpt2", "std", self.std, above=0)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("Gpt2", specs)
        law, so_far = Normal(0.0, self.std), branches_so_far(specs)
        total = sum(max(so_far[branch] for block in stack for branch in block) for stack in stacks(specs))
        laws = PerTensor(weight=law, embedding=law).laws(model, specs)
        for spec in specs:
            if spec.closes_residual and spec.role in WEIGHTS:
                # attention and an MLP that are added to each other first are one branch that counts as two
                laws[spec.name] = (Normal(0.0, self.std / math.sqrt(max(spec.branches, total))), spec)
        return laws


@dataclass(frozen=True)
class TFixup(ByLaws):
    """Xavier, scaled down on the value path with the number N of blocks, so that no norm layer or warm-up is needed.

    Weights are Xavier uniform: Var[w] = 2/(fan_in + fan_out), each of queries, keys and values by its own fans. W_V,
    W_O and the matrices of the MLP are multiplied by 0.67 N^(-1/4) in an encoder and by (9N)^(-1/4) in a decoder with
    cross-attention; queries and keys are not. Embeddings of tokens with d features are N(0, 1/d) x (9N)^(-1/4), and the
    model multiplies them by sqrt(d) when it looks them up (`scale_tokens` of the suite's transformers), so that their
    mean square is (9N)^(-1/2); in a model that does not, signals start smaller by sqrt(d). Embeddings of positions are
    N(0, 1/d), as in the authors' code, which neither shrinks nor multiplies them. An update then changes the output by
    O(lr) whatever the depth. Biases are 0; the head is plain Xavier.

    N is the number of attention layers, for `part=decoder` half of it (each block has two). A causal decoder without
    cross-attention is an encoder in this sense: its blocks have two branches. The factors of the paper are for a pair
    of N encoder and N decoder blocks; here one of them may be the whole model. In a model of both, each has the factor
    of its kind and number of blocks whatever `part` says, and embeddings that of the larger number. Departures: the
    paper's N(0, d^(-1/2)) is read as the std, as in its code; that code draws queries and keys with gain 1/sqrt(2),
    where the paper says Xavier, and its head is N(0, 1/d) or shares the embedding, where a tensor that is both is drawn
    as a head here.

    Args:
        part: encoder (blocks of self-attention and MLP) or decoder (with cross-attention).

    Raises:
        ConfigError: a norm layer, or a weight in a residual branch of which it is not known what it is for.

    References:
        Huang, Perez, Ba & Volkovs 2020, Improving Transformer Optimization Through Better Initialization, section 4;
        github.com/layer6ai-labs/T-Fixup.
    """

    checks_model: ClassVar[bool] = True
    law_version: ClassVar[int] = 2
    part: str = "encoder"

    def __post_init__(self) -> None:
        if self.part not in ("encoder", "decoder"):
            raise unknown_choice("TFixup", "part", self.part, ("encoder", "decoder"))

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        attentions = need_attention("TFixup", specs)
        refuse_norm("TFixup", model, specs)
        need_branches("TFixup", specs)
        need_parts("TFixup", specs)
        blocks = attentions if self.part == "encoder" else attentions / 2
        factors = _of_pair(specs)
        if factors:
            blocks = max(len(stack) for stack in stacks(specs))
        whole = _t_fixup(blocks, self.part)
        xavier = VarianceScaling(gain=1.0, fan="fan_avg", distribution="uniform")
        laws = weights_by_place(lambda spec: OnValuePath(xavier, factors.get(spec.branch, whole)), specs)
        embedding = _t_fixup(blocks, "decoder")
        for spec in specs:
            if spec.role is Role.EMBEDDING:
                shrunk = 1.0 if "position" in spec.parts else embedding
                laws[spec.name] = (Normal(0.0, shrunk / math.sqrt(spec.shape[-1])), spec)
        return laws


def _t_fixup(blocks: float, part: str) -> float:
    return 0.67 * blocks**-0.25 if part == "encoder" else (9 * blocks) ** -0.25


def _of_pair(specs: Specs) -> dict[int, float]:
    """The factor in each residual branch of an encoder and a decoder; empty where there is one of them alone."""
    found = stacks(specs)
    kinds = ["decoder" if any(len(block) > 2 for block in stack) else "encoder" for stack in found]
    return {
        branch: _t_fixup(len(stack), kind)
        for stack, kind in zip(found, kinds, strict=True)
        for block in stack
        for branch in block
        if len(found) > 1
    }


@dataclass(frozen=True)
class DeepNorm(ByLaws):
    """Xavier, scaled down on the value path with the number N of blocks, for post-norm with a weighted shortcut.

    Weights are Xavier normal: Var[w] = 2/(fan_in + fan_out), each of queries, keys and values by its own fans; W_V, W_O
    and the matrices of the MLP are multiplied by beta = (8N)^(-1/4). The model is LayerNorm(alpha x + branch(x)) with
    alpha = (2N)^(1/4), in an encoder-only or decoder-only network of N blocks (one attention layer each). The expected
    update of the model is then bounded by a constant, whatever N. Biases are 0; embeddings N(0, 1) as torch has them,
    which the paper leaves open; the head is plain Xavier.

    Raises:
        ConfigError: another alpha, a norm layer inside of a branch (pre-norm), an encoder with a decoder, or a weight
            in a branch of which it is not known what it is for.

    References:
        Wang et al. 2022, DeepNet: Scaling Transformers to 1,000 Layers, figure 2 and section 4.
    """

    checks_model: ClassVar[bool] = True

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        blocks = need_attention("DeepNorm", specs)
        alpha, found = (2 * blocks) ** 0.25, sorted({spec.shortcut for spec in closing(specs)})
        expected = f"LayerNorm(alpha x + branch(x)) with alpha = (2N)^(1/4) = {alpha:.4g} everywhere"
        fix = "Use model.norm=post model.deepnorm=true, write your model so, or use init=xavier."
        inside = [spec.name for spec in specs if spec.role in NORM_PARAMETERS and spec.branch_layers]
        if inside:
            raise refusal("DeepNorm", f"a norm layer (`{inside[0]}`) inside a residual branch", expected, fix)
        if not found or not all(math.isclose(value, alpha, rel_tol=ROUNDING) for value in found):
            lacks = f"shortcuts with factors {found}" if found else "no layer that closes a residual branch"
            raise refusal("DeepNorm", lacks, expected, fix)
        refuse_pair("DeepNorm", specs)
        need_parts("DeepNorm", specs)
        xavier = VarianceScaling(gain=1.0, fan="fan_avg", distribution="normal")
        return PerTensor(weight=OnValuePath(xavier, (8 * blocks) ** -0.25)).laws(model, specs)
