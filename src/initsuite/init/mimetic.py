"""Attention that starts where trained attention ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.errors import ConfigError, check_number
from initsuite.init.base.compose import PerTensor
from initsuite.init.base.requirements import need_attention, refusal
from initsuite.init.distributions import Normal
from initsuite.models.describe.places import heads_around
from initsuite.spec import Initialization, Params, ParamSpec, Probe, Role, Specs

PROJECTIONS = ("query", "key", "value", "attention_out")
Rows = dict[str, tuple[ParamSpec, slice]]
"""Where each projection of one attention layer lies: its tensor and rows."""


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
        for (name, heads), rows in _attentions(model, specs).items():
            self._fill(params, rows, heads, rng.generator(seed, "init", name))
        return Initialization(params)

    def _fill(self, params: Params, rows: Rows, heads: int, generator: torch.Generator) -> None:
        """Overwrite the projections of one attention layer."""
        query, key, value, out = (params[rows[part][0].name][rows[part][1]] for part in PROJECTIONS)
        for head_query, head_key in zip(query.chunk(heads), key.chunk(heads), strict=True):
            left, right = _halves(self.query_key_noise, self.query_key_identity, query.shape[1], generator)
            head_query.copy_(left[:, : len(head_query)].T)
            head_key.copy_(right[: len(head_key)])
        left, right = _halves(self.value_noise, -self.value_identity, value.shape[1], generator)
        value.copy_(left.T)
        out.copy_(right.T)


def _halves(noise: float, identity: float, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """U sqrt(S) and sqrt(S) V^T of noise Z + identity I, float64 [size, size] each, singular values falling."""
    z = torch.empty(size, size).normal_(0.0, size**-0.5, generator=generator).double()
    u, s, vh = torch.linalg.svd(noise * z + identity * torch.eye(size, dtype=torch.float64))
    return u * s.sqrt(), s.sqrt()[:, None] * vh


def _attentions(model: nn.Module, specs: Specs) -> dict[tuple[str, int], Rows]:
    """The projections of every self-attention layer, by its module's name and number of heads; all must be square."""
    found: dict[tuple[str, int], Rows] = {}
    for spec in specs:
        if spec.role is not Role.WEIGHT or not set(PROJECTIONS).intersection(spec.parts):
            continue
        start = 0
        for part, length in zip(spec.parts, spec.blocks or spec.shape[:1], strict=True):
            found.setdefault(_attention(model, spec.name), {})[part] = (spec, slice(start, start + length))
            start += length
    for (name, _), rows in found.items():
        sizes = {(rows[part][1].stop - rows[part][1].start, *rows[part][0].shape[1:]) for part in rows}
        if rows.keys() != set(PROJECTIONS) or len(set().union(*sizes)) != 1:
            lacks = f"an attention layer `{name}` with {', '.join(rows)} of sizes {sorted(sizes)}"
            expected = "query, key, value and attention_out of one square size"
            raise refusal("Mimetic", lacks, expected, "Use init=xavier.")
    return found


def _attention(model: nn.Module, name: str) -> tuple[str, int]:
    found = heads_around(model, name)
    if found is None:
        raise ConfigError(
            f"Mimetic: unknown number of heads of `{name}`. Expected a module around it with a whole number "
            "`num_heads` or `heads`. Set self.num_heads in the attention module, or use init=xavier."
        )
    return found
