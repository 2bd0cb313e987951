"""What theory expects of each layer, beside what was measured, and where it does not apply."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from initsuite.activations import activation
from initsuite.signal.layers import Layer
from initsuite.signal.theory import MeanField, Scales, scales
from initsuite.spec import Activation

CENTRED = 5.0
"""Weights count as centred if their mean is within so many of its standard errors of 0."""


@dataclass(frozen=True)
class Expected:
    """What theory expects of a layer.

    Attributes:
        q, c: of its pre-activations; from the layer before by the q map and the correlation map.
        chi_1: the factor on |gradient|^2 from the next layer back to this one; NaN where that has no theory.
        q_error: the standard deviation of q over draws, at this width, as a share of q.
        theory: `yes`, or why it does not apply.
    """

    q: float = math.nan
    c: float = math.nan
    chi_1: float = math.nan
    q_error: float = math.nan
    theory: str = "yes"


@dataclass(frozen=True)
class Drawn:
    """Weights and biases as they were drawn: mean squares, and the mean of the weights."""

    square: float
    mean: float
    bias: float
    entries: int

    @property
    def is_centred(self) -> bool:
        spread = max(self.square - self.mean**2, 0.0)
        return abs(self.mean) <= CENTRED * math.sqrt(spread / self.entries) + 1e-12


def expected(
    layers: Sequence[Layer], drawn: Mapping[str, Drawn], measured: Mapping[str, Mapping[str, float]]
) -> dict[str, Expected]:
    """What theory expects of every layer, from what goes into the first ones.

    Args:
        layers: in order.
        drawn: the weights of each layer.
        measured: the numbers of each layer, of which q_in and c_in of those that take the inputs are used.
    """
    found: dict[str, Expected] = {}
    variances: dict[str, float] = {}
    by_name = {layer.name: layer for layer in layers}
    for layer in layers:
        reason = obstacle(layer, drawn[layer.name], found)
        if reason:
            found[layer.name] = Expected(theory=reason)
            continue
        field = _field(layer, drawn[layer.name], by_name)
        if layer.link == "":
            q_in, c_in = measured[layer.name].get("q_in", math.nan), measured[layer.name].get("c_in", math.nan)
            kernel = field.sigma_w**2 * q_in + field.sigma_b**2
            c = (field.sigma_w**2 * q_in * c_in + field.sigma_b**2) / kernel if kernel > 0 else math.nan
            variances[layer.name] = 0.0
        else:
            before_name = layer.link or ""
            before = found[before_name]
            kernel, c = field.q_map(before.q), math.nan
            if 0 < before.q <= 1e4:
                c = field.c_map(before.q, before.c) if not math.isnan(before.c) else math.nan
                width = measured[before_name].get("units", math.nan)
                variances[layer.name] = _variance(field, before.q, variances.get(before_name, math.nan), width)
            chi = field.chi_1(before.q)
            found[before_name] = replace(before, chi_1=chi)
        own = measured[layer.name].get("units", math.nan)
        error = math.sqrt(variances.get(layer.name, math.nan) + 2 / own)
        found[layer.name] = Expected(kernel, c, math.nan, error)
    return found


def _variance(field: MeanField, q: float, before: float, width: float) -> float:
    """The variance of log q behind a layer of this width: what it hands on, and what it adds; NaN for weights of 0."""
    kernel = field.q_map(q)
    if not kernel > 0:
        return math.nan
    handed_on = (field.q_map(1.01 * q) - field.q_map(0.99 * q)) / (0.02 * kernel)
    share = 1 - field.sigma_b**2 / kernel
    return handed_on**2 * before + share**2 * field.fluctuation(q) / width


def obstacle(layer: Layer, weights: Drawn, found: Mapping[str, Expected]) -> str:
    """Why theory does not apply to a layer; "" where it does."""
    if layer.is_look_up:
        return "a table of vectors"
    if len(layer.uses) > 1:
        return "it is used several times"
    if layer.link is None:
        return f"behind {layer.between}"
    if layer.is_convolution and any(layer.uses[0].node.args[4]):  # type: ignore[arg-type]
        return "zero padding"
    if layer.link and found[layer.link].theory != "yes":
        return f"behind `{layer.link}`, where theory does not apply"
    if not weights.is_centred:
        return "its weights are not centred"
    return ""


def _field(layer: Layer, weights: Drawn, by_name: Mapping[str, Layer]) -> MeanField:
    """The layer with the nonlinearity in front of it."""
    phi = by_name[layer.link].spec.nonlinearity if layer.link else None
    return MeanField(phi or IDENTITY, math.sqrt(weights.square * layer.spec.fan_in), math.sqrt(weights.bias))


IDENTITY: Activation = activation("identity")


def scales_of(
    layers: Sequence[Layer], drawn: Mapping[str, Drawn], found: Mapping[str, Expected]
) -> list[tuple[MeanField, int, Scales]]:
    """The depth scales of the layers with each nonlinearity: of their mean weights and biases, and how many they are.

    A head is left out: it has a law of its own in many networks, and comes once.
    """
    groups: dict[Activation, list[Layer]] = {}
    by_name = {layer.name: layer for layer in layers}
    for layer in layers:
        if layer.link and found[layer.name].theory == "yes" and not layer.is_head:
            groups.setdefault(by_name[layer.link].spec.nonlinearity or IDENTITY, []).append(layer)
    made = []
    for phi, members in groups.items():
        square = sum(drawn[each.name].square * each.spec.fan_in for each in members) / len(members)
        bias = sum(drawn[each.name].bias for each in members) / len(members)
        q = found[members[0].link or ""].q
        field = MeanField(phi, math.sqrt(square), math.sqrt(bias))
        if 0 < q <= 1e4:
            made.append((field, len(members), scales(field, q)))
    return made
