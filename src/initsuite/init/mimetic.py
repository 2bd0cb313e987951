"""Attention that starts where trained attention ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.errors import ConfigError, check_number
from initsuite.init.base.compose import PerTensor
from initsuite.init.base.layout import assembled, each_block, taken_apart
from initsuite.init.base.requirements import need_attention, refusal
from initsuite.init.distributions import Normal
from initsuite.models.describe.places import heads_around
from initsuite.spec import Initialization, Params, ParamSpec, Probe, Role, Specs

PROJECTIONS = ("query", "key", "value", "attention_out")
Places = dict[str, tuple[ParamSpec, int]]
"""Where each projection of one attention layer lies: its tensor, and which of the matrices in that it is."""


@dataclass(frozen=True)
class Mimetic:
    """Self-attention whose products look like those of a trained vision transformer.

    With z ~ N(0, 1/d) entries and row vectors x of d features, for each head W_Q W_K^T is the best approximation of
    rank `head width` to `query_key_noise` Z + `query_key_identity` I, and for all heads together W_V W_O =
    `value_noise` Z - `value_identity` I. A product A = U S V^T (SVD) is split evenly: U sqrt(S) and sqrt(S) V^T. A
    token thus looks at tokens like itself, and subtracts its mean value. Entries are not independent and no variance is
    preserved. The four matrices of a layer are drawn together, packed or not.

    All other weights, the head included, and embeddings are N(0, std^2) as in the vision transformers of the paper;
    biases are 0. Departure: the paper starts position embeddings at sinusoids, which are the model's choice here. torch
    multiplies by the transpose, so that with torch's tensors it is (O V)^T that has this law; public reimplementations
    forget this.

    Args:
        query_key_noise, query_key_identity, value_noise, value_identity: from 0; the paper's alpha and beta.
        std: std of all other weights and of embeddings, above 0.

    References:
        Trockman & Kolter 2023, Mimetic Initialization of Self-Attention Layers, section 4.
    """

    query_key_noise: float = 0.7
    query_key_identity: float = 0.7
    value_noise: float = 0.4
    value_identity: float = 0.4
    std: float = 0.02

    def __post_init__(self) -> None:
        for name in ("query_key_noise", "query_key_identity", "value_noise", "value_identity"):
            check_number("Mimetic", name, getattr(self, name), minimum=0)
        check_number("Mimetic", "std", self.std, above=0)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        need_attention("Mimetic", specs)
        normal = Normal(0.0, self.std)
        params = PerTensor(weight=normal, embedding=normal)(model, specs, seed=seed).params
        queries = [spec for spec in specs if spec.role is Role.WEIGHT and "query" in spec.parts]
        for places in _attentions(model, specs):
            query = places["query"][0]
            around = heads_around(model, query.name)
            # a module around several attention layers cannot name the stream of each
            inside = f"{around[0]}." if around else ""
            is_own = [spec.name for spec in queries if spec.name.startswith(inside)] == [query.name]
            name = around[0] if around and is_own else query.name
            self._fill(params, places, rng.generator(seed, "init", name))
        return Initialization(params)

    def _fill(self, params: Params, places: Places, generator: torch.Generator) -> None:
        """Overwrite the projections of one attention layer."""
        tensors = {spec.name: spec for spec, _ in places.values()}
        matrices = {name: taken_apart(spec, params[name]) for name, spec in tensors.items()}
        query, key, value, out = (matrices[places[part][0].name][places[part][1]] for part in PROJECTIONS)
        width = places["query"][0].head_width
        for head_query, head_key in zip(query.split(width), key.split(width), strict=True):
            left, right = _halves(self.query_key_noise, self.query_key_identity, query.shape[1], generator)
            head_query.copy_(left[:, : len(head_query)].T)
            head_key.copy_(right[: len(head_key)])
        left, right = _halves(self.value_noise, -self.value_identity, value.shape[1], generator)
        value.copy_(left.T)
        out.copy_(right.T)
        params.update({name: assembled(spec, matrices[name]) for name, spec in tensors.items()})


def _halves(noise: float, identity: float, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """U sqrt(S) and sqrt(S) V^T of noise Z + identity I, float64 [size, size] each, singular values falling."""
    z = torch.empty(size, size).normal_(0.0, size**-0.5, generator=generator).double()
    u, s, vh = torch.linalg.svd(noise * z + identity * torch.eye(size, dtype=torch.float64))
    return u * s.sqrt(), s.sqrt()[:, None] * vh


def _attentions(model: nn.Module, specs: Specs) -> list[Places]:
    """The projections of every attention layer, which are those of one residual branch or module; all are square."""
    found: dict[object, Places] = {}
    for spec in specs:
        for number, block in enumerate(each_block(spec)):
            if spec.role is Role.WEIGHT and block.parts and block.parts[0] in PROJECTIONS:
                found.setdefault(_layer(model, spec), {})[block.parts[0]] = (spec, number)
    for places in found.values():
        first = next(iter(places.values()))[0].name
        sizes = {each_block(spec)[number].shape for spec, number in places.values()}
        if places.keys() != set(PROJECTIONS) or len(set().union(*sizes)) != 1:
            lacks = f"an attention layer around `{first}` with {', '.join(places)} of sizes {sorted(sizes)}"
            expected = "query, key, value and attention_out of one square size"
            raise refusal("Mimetic", lacks, expected, "Use init=xavier.")
        query = places["query"][0]
        if not query.head_width:
            raise ConfigError(
                f"Mimetic: unknown number of heads of `{query.name}`. Expected a forward pass that can be recorded, or "
                "a module around it with a whole number `num_heads`. Give inputs as example=..., or use init=xavier."
            )
    return list(found.values())


def _layer(model: nn.Module, spec: ParamSpec) -> object:
    """What the projections of one attention layer have in common: their residual branch, or the module around them."""
    if spec.branch_layers:
        return spec.branch
    around = heads_around(model, spec.name)
    return around[0] if around else spec.name.rpartition(".")[0].rpartition(".")[0]
