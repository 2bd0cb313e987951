"""Giving the outputs of all layers chosen moments on a probe, layer by layer in the order of use."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from initsuite.errors import ConfigError
from initsuite.init.base.moments import Correction, Moments, correct
from initsuite.init.base.probing import Layer, ProbedModel
from initsuite.spec import Params
from initsuite.wording import format_first

ROUNDS = 3
"""Through all layers, where one that is used several times may move those before it."""
SMALLEST_POWER, LARGEST_POWER = 1 / 64, 4.0
"""Of one correction: an unrolled network of T calls amplifies it up to T times."""


class Aim(Protocol):
    """What the outputs of a layer shall be."""

    def correction(self, layer: Layer, moments: Moments, /) -> Correction | None:
        """What a layer with these moments needs; None = it is as it should be, or cannot be corrected."""
        ...

    def error(self, layer: Layer, moments: Moments, /) -> Tensor:
        """How far it is from the aim: a vector, 0 there, of which a correction to the power p takes p parts."""
        ...


@dataclass(frozen=True)
class Normalization:
    """Corrects the layers one after the other, each on what the corrected ones before it hand on.

    The output of a layer that is called once is linear in its weight and bias: one correction is exact, and is passed
    on within the same forward pass. A layer that is called several times (the recurrence of an unrolled network, a tied
    weight), or whose weight is an embedding too, feeds on itself: it is measured over all its calls and corrected at
    most `max_tries` times (`Search`), before those after it. Since it may move those before it as well, all are then
    measured again, for up to `ROUNDS` rounds. What comes nearest to the aim is kept, the start included, and a warning
    names the layers that are beside it.
    """

    probed: ProbedModel
    layers: Sequence[Layer]
    inputs: Tensor
    aim: Aim
    max_tries: int

    def __call__(self, params: Params) -> None:
        """Change `params`.

        Raises:
            ConfigError: a layer has no output to measure, or one that is not finite.
        """
        calls = self.probed.calls(params, self.inputs, self.layers)
        by_name = {layer.weight.name: layer for layer in self.layers}
        repeated = [by_name[name] for name in calls if calls[name] > 1 or by_name[name].is_looked_up]
        if not repeated:
            self._sweep(params, set(), None)
            return
        best = self._judged(params)
        for _ in range(ROUNDS):
            settled: set[str] = set()
            for layer in repeated:
                self._settle(params, settled, layer)
            self._sweep(params, settled, None)
            found = self._judged(params)
            best = min(best, found, key=lambda each: each.worst)
            if not found.beside:
                break
        params.update(best.params)
        if best.beside:
            warnings.warn(
                f"{self.probed.law}: the aim is not reached on the probe by {format_first(best.beside, 3)}. A layer "
                "that is used several times feeds on itself; what came nearest is kept. Allow more tries, or use "
                "another initializer for this model.",
                stacklevel=3,
            )

    def _judged(self, params: Params) -> _Found:
        """All layers, measured over all their calls and not changed."""
        moments = {layer.weight.name: Moments(layer) for layer in self.layers}
        self.probed.watched(params, self.inputs, self.layers, lambda layer, out, _: moments[layer.weight.name].add(out))
        worst, beside = 0.0, []
        for name, found in moments.items():
            _checked(self.probed.law, found)
            if self.aim.correction(found.layer, found) is not None:
                worst = max(worst, _size(self.aim.error(found.layer, found)))
                beside.append(f"`{name}` (variance {found.pooled_variance:.3g})")
        return _Found(worst, dict(params), beside)

    def _settle(self, params: Params, settled: set[str], layer: Layer) -> None:
        """Correct one layer that feeds on itself, and those before its first use; changes both arguments."""
        search = Search(self.aim, layer)
        for last in [False] * self.max_tries + [True]:
            moments = Moments(layer)
            self._sweep(params, settled, moments)
            search.tell(moments, {name: params[name] for name in layer.names})
            params.update(search.params)
            correction = None if last else search.correction()
            if correction is None:
                break
            correct(params, layer, correction)
        settled.add(layer.weight.name)

    def _sweep(self, params: Params, settled: set[str], repeated: Moments | None) -> None:
        """One forward pass: settle the layers before the first use of a repeated one, and measure all uses of that."""

        def watch(layer: Layer, output: Tensor, _: Tensor) -> Tensor | None:
            if repeated and layer is repeated.layer:
                repeated.add(output)
            if layer.weight.name in settled or (repeated and repeated.count):
                return None
            own = Moments(layer)
            own.add(output)
            settled.add(layer.weight.name)
            correction = self.aim.correction(layer, _checked(self.probed.law, own))
            return None if correction is None else correct(params, layer, correction, output)

        # `params` changes during the pass, which sees the corrections through `watch`
        self.probed.watched(dict(params), self.inputs, self.layers, watch)


@dataclass(frozen=True)
class _Found:
    """Parameters, the largest error of a layer with them, and the layers that still need a correction."""

    worst: float
    params: Params
    beside: list[str]


@dataclass
class Search:
    """Corrections of a layer that feeds on itself: each to the power that the one before showed to be right.

    A correction changes all calls of the layer, so that it acts more strongly than it should, the more the longer an
    unrolled network is, and would go to and fro for ever. The share of the error that it took says to which power the
    next one belongs (the secant method on a logarithmic scale, where the error is one number). Every correction is that
    of the best weights so far.

    Attributes:
        params: the best weight and bias so far.
    """

    aim: Aim
    layer: Layer
    params: Params = field(default_factory=dict)
    _moments: Moments | None = None
    _error: Tensor | None = None
    _power: float = 1.0

    def tell(self, moments: Moments, params: Params) -> None:
        """The moments with these parameters, to which the last correction led."""
        error = self.aim.error(self.layer, moments) if moments.is_finite else torch.full((1,), math.inf)
        is_better = self._error is None or _size(error) < _size(self._error)
        if self._error is not None:
            self._power = _next_power(self._power, self._error, error, is_better)
        if is_better:
            self.params, self._moments, self._error = params, moments, error

    def correction(self) -> Correction | None:
        """What to change in the best parameters; None = nothing."""
        if self._moments is None or not self._moments.is_finite:
            return None
        full = self.aim.correction(self.layer, self._moments)
        return full if full is None or self._power == 1 else _to_the_power(full, self._power, self._moments.mean)


def _next_power(power: float, before: Tensor, after: Tensor, is_better: bool) -> float:
    if not after.isfinite().all():
        return power / 4
    taken = float((before - after) @ before / before.square().sum())
    proposed = power / taken if taken > 0 else power / 2
    return min(max(proposed if is_better else min(proposed, power / 2), SMALLEST_POWER), LARGEST_POWER)


def _to_the_power(correction: Correction, power: float, mean: Tensor) -> Correction:
    """The part of a correction that takes the means that share of the way."""
    factor, shift = correction
    part = factor**power
    return part, (1 - power) * mean + power * (factor * mean + shift) - part * mean


def _size(error: Tensor) -> float:
    return float(error.abs().max()) if error.numel() else 0.0


def _checked(law: str, moments: Moments) -> Moments:
    if not moments.is_finite:
        raise ConfigError(
            f"{law}: the output of `{moments.layer.weight.name}` on the probe is not finite. Expected finite numbers. "
            "Check `probe.inputs` for NaN and inf, and scale them to order 1."
        )
    return moments
