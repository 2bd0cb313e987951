"""Small weights for transformers: of a fixed law of the width, or of any power of the fan."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initsuite.errors import check_number, unknown_choice
from initsuite.init.base.blocks import blocks_beside, closing
from initsuite.init.base.compose import ByLaws, Laws, PerTensor
from initsuite.init.base.requirements import need_branches
from initsuite.init.distributions import sample
from initsuite.spec import ParamSpec, Role, Specs

CLOSING = ("wang", "small")


@dataclass(frozen=True)
class SmallInit(ByLaws):
    """N(0, 2/(5d)) by the width d of the residual stream, with smaller layers at the end of each branch.

    Var[w] = 2/(5 d) for weights and embeddings, the head included: what Xavier gives the matrices of an MLP d -> 4d
    -> d, for all of them. d is the number of features that the layer takes from the stream, its fan_in, and for the
    layer that closes a branch the number that it adds, its fan_out; that of an embedding is its features. With
    closing=wang the layers that close a branch have std 2/(L sqrt(d)), Var[w] = 4/(L^2 d), in a network of L blocks
    (of a ResNet, L branches): a block adds about 1/L of the stream, so that all together add as much as it holds.
    Biases are 0, norms 1 and 0.

    Pitfalls: wang's law is *larger* than the other for L < 3.2 (at L = 2, 1/sqrt(d)); and its L counts blocks, not
    the branches that `gpt2` counts. Departure: inside a branch of three layers and more the paper has no such layer;
    here d is the fan_in.

    Args:
        closing: law of the layers that close a branch: wang, or small for 2/(5d) there too.

    References:
        Nguyen & Salazar 2019, Transformers without Tears: Improving the Normalization of Self-Attention, section 2.2.
        Black et al. 2022, GPT-NeoX-20B: An Open-Source Autoregressive Language Model, section 2.3.1 (code:
        `small_init_init_method`, and `wang_init_method`, after Wang & Komatsuzaki 2021, Mesh Transformer JAX).
    """

    closing: str = "wang"

    def __post_init__(self) -> None:
        if self.closing not in CLOSING:
            raise unknown_choice("SmallInit", "closing", self.closing, CLOSING)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("SmallInit", specs)
        laws = PerTensor(weight=_Small(), embedding=_Small()).laws(model, specs)
        blocks, is_wang = blocks_beside(specs), self.closing == "wang"
        last = {spec.name: _Wang(blocks[spec.branch]) if is_wang else _SmallByOutputs() for spec in closing(specs)}
        return laws | {spec.name: (last[spec.name], spec) for spec in closing(specs)}


@dataclass(frozen=True)
class SmallGamma(ByLaws):
    """N(0, d_in^(-2 gamma)): weights that shrink faster with the width than what keeps the signal.

    Var[w] = d_in^(-2 gamma), d_in the fan_in of a weight, the head included, and the number of rows of an embedding.
    gamma = 0.5 keeps the mean square of a linear signal; above it the signal vanishes with the width, and with residual
    branches and norm layers the network starts near a linear one with few effective units. The paper finds that
    transformers then fit compositions by rules, and below it by memory. Biases are 0, norms 1 and 0.

    Pitfall: without norm layers nothing trains at a large gamma and depth (`normal` shows the same). Departure: the
    paper defines d_in as the input dimension of each matrix; how its code treats embeddings and biases could not be
    checked.

    Args:
        gamma: above 0; 0.5 is LeCun's law, 0.8 the paper's small one.

    References:
        Zhang et al. 2024, Initialization is Critical to Whether Transformers Fit Composite Functions by Reasoning or
        Memorizing.
    """

    gamma: float = 0.8

    def __post_init__(self) -> None:
        check_number("SmallGamma", "gamma", self.gamma, above=0)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        law = _Power(self.gamma)
        return PerTensor(weight=law, embedding=law).laws(model, specs)


class _Gaussian(ABC):
    """Independent entries of mean 0, whose std follows from the facts."""

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return sample("normal", spec.shape, self.declared_std(spec), generator)

    @abstractmethod
    def declared_std(self, spec: ParamSpec) -> float: ...


@dataclass(frozen=True)
class _Small(_Gaussian):
    """N(0, 2/(5d)), d the fan_in of a weight and the features of an embedding."""

    def declared_std(self, spec: ParamSpec) -> float:
        return math.sqrt(2 / (5 * (spec.shape[-1] if spec.role is Role.EMBEDDING else spec.fan_in)))


@dataclass(frozen=True)
class _SmallByOutputs(_Gaussian):
    """N(0, 2/(5d)), d the outputs of the layer."""

    def declared_std(self, spec: ParamSpec) -> float:
        return math.sqrt(2 / (5 * _outputs(spec)))


@dataclass(frozen=True)
class _Wang(_Gaussian):
    """N(0, 4/(L^2 d)), d the outputs of the layer."""

    blocks: int

    def declared_std(self, spec: ParamSpec) -> float:
        return 2 / (self.blocks * math.sqrt(_outputs(spec)))


@dataclass(frozen=True)
class _Power(_Gaussian):
    """N(0, d^(-2 gamma)), d the fan_in of a weight and the rows of an embedding."""

    gamma: float

    def declared_std(self, spec: ParamSpec) -> float:
        return (spec.shape[0] if spec.role is Role.EMBEDDING else spec.fan_in) ** -self.gamma


def _outputs(spec: ParamSpec) -> float:
    """Outputs of the layer of a weight, the receptive field left out."""
    return spec.fan_out / math.prod(spec.shape[2:])
