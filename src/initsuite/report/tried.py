"""What was tried, by the words of a question: kind of network, norm, activation, optimizer, data set and depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from initsuite.errors import ConfigError, unknown_choice
from initsuite.report.verdicts.comparison import Comparison

Key = tuple[str, str]
"""Context and lr rule: what distinguishes the comparisons of a report."""
KINDS = ("model", "norm", "activation", "optimizer", "dataset")
"""What a question may ask for by name."""


@dataclass(frozen=True)
class Tried:
    """A context, as far as a question can ask for it.

    Attributes:
        kinds: the name of each of `KINDS`.
        hidden_layers: 0 if unknown.
    """

    key: Key
    kinds: Mapping[str, str]
    hidden_layers: int


def tried_in(comparison: Comparison) -> Tried:
    """The context of a comparison."""
    context = comparison.context
    named = {name: (context.config.get(name) or {}).get("name") for name in ("model", "optimizer", "dataset")}
    kinds = {name: str(named.get(name) or context.axes[name]) for name in KINDS if name != "norm"}
    return Tried(comparison.key, {**kinds, "norm": context.norm}, context.network.hidden_layers)


def fitting(tried: Sequence[Tried], question: Mapping[str, str | None]) -> list[Tried]:
    """The contexts with these kinds; None means all of them.

    Raises:
        ConfigError: nothing of the kind was tried.
    """
    found = list(tried)
    for name, wanted in question.items():
        chosen = [one for one in found if wanted in (None, one.kinds[name])]
        if not chosen:
            raise unknown_choice("recommend", name, wanted, sorted({one.kinds[name] for one in found}))
        found = chosen
    return found


def at_depth(found: Sequence[Tried], depth: int | None) -> dict[int, list[Tried]]:
    """The contexts with so many hidden layers or, where there are none, those nearest below and above, nearest first.

    All of them, under 0, without a depth.

    Raises:
        ConfigError: a depth that is none, or one where the number of hidden layers is not known.
    """
    if depth is None:
        return {0: list(found)}
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ConfigError(f"recommend: bad `depth`={depth!r}. Expected a number of hidden layers, from 1.")
    tried = depths(found)
    if not tried:
        why = "the number of hidden layers of these networks is not known"
        raise ConfigError(f"recommend: bad `depth`={depth!r}. Expected none: {why}. Leave it out.")
    below, above = [layers for layers in tried if layers <= depth], [layers for layers in tried if layers >= depth]
    nearest = {*below[-1:], *above[:1]} if depth not in tried else {depth}
    ordered = sorted(nearest, key=lambda layers: abs(math.log(layers / depth)))
    return {layers: [one for one in found if one.hidden_layers == layers] for layers in ordered}


def depths(found: Sequence[Tried]) -> list[int]:
    """The known numbers of hidden layers, ascending."""
    return sorted({one.hidden_layers for one in found} - {0})
