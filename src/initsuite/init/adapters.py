"""Low-rank adapters: y = W x + s B A x, with A [rank, inputs] and B [outputs, rank] beside a base W."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from initsuite.errors import check_number
from initsuite.init.base.compose import ZERO, ByLaws, Laws
from initsuite.init.base.layout import output_axis
from initsuite.init.base.requirements import ELSEWHERE, refusal
from initsuite.init.inside import INSIDE, check_inside
from initsuite.init.torch_default import INVERSE_FAN_IN
from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import Initialization, Params, ParamSpec, Probe, Specs

FIRST, SECOND = "lora_a", "lora_b"
"""The parts of the factor that takes the inputs, and of the one that makes the outputs."""


@dataclass(frozen=True)
class Lora(ByLaws):
    """Adapters that start at 0: A as torch draws a linear layer, B = 0.

    A is U(-1/sqrt(fan_in), 1/sqrt(fan_in)), Var[w] = 1/(3 fan_in), which torch writes as Kaiming uniform with slope
    sqrt(5); B is 0. The product, and with it the adapter, is 0 at the start, and the model what its base is. At the
    first step only B gets a gradient. With the roles of A and B exchanged the function is the same, but not the
    learning: the paper has A random. Everything else, the head included, is drawn by the law inside.

    Pitfalls: with both at 0 nothing ever learns. The base is drawn too, unless it is frozen (`requires_grad=False`) and
    kept: freeze what was pretrained. Departures: the paper has A Gaussian; the authors' code and peft draw it as above.
    Adapters of embeddings, where both swap A = 0 with a Gaussian B, are not known as adapters.

    Args:
        inside: the law of everything else: he, lecun, normal (std 0.02), keras_default, torch_default.

    Raises:
        ConfigError: the model has no adapters.

    Elsewhere:
        Keras: `enable_lora` draws A from He's uniform law, of six times this variance, and B = 0.

    References:
        Hu et al. 2022, LoRA: Low-Rank Adaptation of Large Language Models, section 4.1 (code: loralib, peft).
    """

    inside: str = "torch_default"

    def __post_init__(self) -> None:
        check_inside("Lora", self.inside)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        pairs = adapters("Lora", specs)
        laws = INSIDE[self.inside].laws(model, specs)
        laws |= {pair.first.name: (INVERSE_FAN_IN, pair.first) for pair in pairs}
        return laws | {pair.second.name: (ZERO, pair.second) for pair in pairs}


@dataclass(frozen=True)
class Pissa:
    """Adapters that start as the principal part of their base, which keeps the rest.

    Everything is drawn by the law inside, the head included; then each base W = U S V^T (SVD) of an adapter of rank r
    and factor s becomes W - s B A, with A = sqrt(S_r / s) V_r^T and B = U_r sqrt(S_r / s) of the r largest singular
    values. The model computes what it would without adapters, and training moves the directions in which the base is
    largest. No variance of A and B is declared: their singular values are the roots of those of W.

    Pitfall: made for a pretrained base, whose singular values fall off; those of a random one hardly do, so that r of
    them say little. A base that is frozen and kept cannot give up its principal part, and is refused: take
    `principal_factors` of its values, and write all three. `scaling` is s in the model (peft: alpha / r); another
    value than the model's changes what it computes.

    Args:
        inside: the law of everything that is factored: he, lecun, normal (std 0.02), keras_default, torch_default.
        scaling: what the model multiplies B A by, above 0.

    Raises:
        ConfigError: no adapters, or one whose base is not known.

    References:
        Meng, Wang & Zhang 2024, PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language
        Models, section 3 (code: peft, `pissa_init`).
    """

    inside: str = "torch_default"
    scaling: float = 1.0

    def __post_init__(self) -> None:
        check_inside("Pissa", self.inside)
        check_number("Pissa", "scaling", self.scaling, above=0)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        pairs = adapters("Pissa", specs)
        bases = [_base_of(pair, specs) for pair in pairs]
        params: Params = dict(INSIDE[self.inside](model, specs, seed=seed).params)
        for pair, base in zip(pairs, bases, strict=True):
            is_turned = output_axis(base) == 1
            weight = params[base.name].T if is_turned else params[base.name]
            first, second, rest = principal_factors(weight, pair.first.shape[0], self.scaling)
            params |= {pair.first.name: first, pair.second.name: second}
            params[base.name] = rest.T.contiguous() if is_turned else rest
        return Initialization(params)


class Adapter(NamedTuple):
    """The facts about A and B."""

    first: ParamSpec
    second: ParamSpec


def principal_factors(weight: Tensor, rank: int, scaling: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """A, B and the rest of a weight: A [rank, inputs], B [outputs, rank], rest = weight - scaling B A.

    Args:
        weight: [outputs, inputs].
        rank: number of singular values in the adapter, up to the smaller side.
        scaling: what the model multiplies B A by, above 0.

    Example:
        >>> first, second, rest = principal_factors(torch.diag(torch.tensor([9.0, 4.0])), rank=1)
        >>> (second @ first).abs().round().tolist(), rest.abs().round().tolist()
        ([[9.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 4.0]])
    """
    u, s, vh = torch.linalg.svd(weight.double(), full_matrices=False)
    roots = (s[:rank] / scaling).sqrt()
    first, second = roots[:, None] * vh[:rank], u[:, :rank] * roots
    rest = weight.double() - scaling * second @ first
    return first.to(weight.dtype), second.to(weight.dtype), rest.to(weight.dtype)


def adapters(where: str, specs: Specs) -> list[Adapter]:
    """The pairs of A and B, which share the rank and the longest beginning of their names.

    Raises:
        ConfigError: there is none, or an A without a B.
    """
    seconds = [spec for spec in specs if spec.parts == (SECOND,)]
    found = []
    for first in (spec for spec in specs if spec.parts == (FIRST,)):
        fitting = [spec for spec in seconds if spec.shape[1:] == first.shape[:1]]
        if not fitting:
            raise refusal(where, f"no second factor of `{first.name}`", "A [rank, in] and B [out, rank]", ELSEWHERE)
        found.append(Adapter(first, _nearest(first, fitting)))
    if not found:
        expected = "a low-rank adapter, B A x, beside a layer with the same inputs"
        raise refusal(where, "no low-rank adapter", expected, ELSEWHERE)
    return found


def _base_of(pair: Adapter, specs: Specs) -> ParamSpec:
    """The weight that an adapter is added to."""
    shape = (pair.second.shape[0], pair.first.shape[1])
    others = [spec for spec in specs if spec.role in WEIGHTS and spec not in pair and len(spec.shape) == 2]
    fitting = [spec for spec in others if (spec.shape[::-1] if output_axis(spec) == 1 else spec.shape) == shape]
    if not fitting:
        lacks = f"no base of shape {shape} for `{pair.first.name}` that is drawn"
        fix = "Set requires_grad on the base, or use principal_factors on its values."
        raise refusal("Pissa", lacks, "a base that may change beside each adapter", fix)
    return _nearest(pair.first, fitting)


def _nearest(spec: ParamSpec, others: Sequence[ParamSpec]) -> ParamSpec:
    """The one whose name has the longest beginning in common."""

    def shared(other: ParamSpec) -> int:
        pairs = zip(spec.name, other.name, strict=False)
        return sum(1 for _ in itertools.takewhile(lambda letters: letters[0] == letters[1], pairs))

    return max(others, key=shared)
