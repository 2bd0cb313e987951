"""What becomes of the difference between inputs over depth."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, jvp

from initsuite.literature.measures.passing import Start
from initsuite.literature.theory import FUNCTIONS, MeanField

FROM, TO = 50, 200
"""Layers over which an exponent is fitted."""
NEAR = 0.05
"""A correlation this near to its fixed point is lost in the noise of a finite width."""
POINTS = 64
"""Of a circle, at which its speed is measured."""


def _field(start: Start) -> MeanField:
    facts = start.facts
    return MeanField(str(facts["activation"]), float(facts["init.gain"]), float(facts.get("init.bias_std") or 0.0))


@torch.no_grad()
def correlation(start: Start) -> dict[str, float]:
    """The correlation c of the pre-activations of the first two examples.

    correlation_exponent: slope of ln(1 - c) over ln layer from layer 50 to 200; NaN for shallower networks.
    correlation_decay: slope of ln|c - c*| over the layer, while theory is at least 0.05 from c*;
    correlation_decay_theory: the same of the exact maps of an infinitely wide network that starts where this one does;
    both for a law with options `gain` and `bias_std` alone.
    """
    apart = [_apart(layer) for layer in start.passed(start.batch[0][:2]).hidden]
    found = {"correlation_exponent": math.nan}
    if len(apart) >= TO:
        layers = np.arange(FROM, TO + 1)
        found["correlation_exponent"] = _slope(np.log(layers), np.log([apart[layer - 1][0] for layer in layers]))
    if "init.bias_std" in start.facts and str(start.facts["activation"]) in FUNCTIONS:
        found |= _decay(_field(start), [1 - gap for gap, _ in apart], apart[0][1])
    return found


def _apart(layer: Tensor) -> tuple[float, float]:
    """1 - c of two rows, without cancellation, and their mean square."""
    first, second = layer.double().flatten(1)
    units = [each / each.norm() for each in (first, second)]
    return float((units[0] - units[1]).square().sum()) / 2, float(
        (first.square().mean() * second.square().mean()).sqrt()
    )


def _decay(field: MeanField, measured: list[float], q: float) -> dict[str, float]:
    expected = measured[:1]
    for _ in measured[1:]:
        expected.append(field.next_c(expected[-1], q))
        q = field.next_q(q)
    gaps = [np.abs(np.array(each) - field.c) for each in (measured, expected)]
    last = int(np.argmax(gaps[1] < NEAR)) or len(measured)
    layers = np.arange(max(last, 2))
    names = ("correlation_decay", "correlation_decay_theory")
    return {name: _slope(layers, np.log(gap[: len(layers)])) for name, gap in zip(names, gaps, strict=True)}


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.polyfit(x, y, 1)[0])


def curve_length(start: Start) -> dict[str, float]:
    """A circle in the space of inputs, of the radius at which mean squares stay as they are, followed through the
    layers.

    ln_length_per_layer: slope of the log of its length over the layers from the third; the length is the mean speed of
    its image along the circle. ln_length_theory: 1/2 ln chi_1.
    """
    field, shape = _field(start), start.batch[0].shape[1:]
    size = math.prod(shape)
    radius = math.sqrt(size * max(field.q - field.sigma_b**2, 1e-12)) / field.sigma_w
    generator = torch.Generator().manual_seed(start.seed)
    plane, _ = torch.linalg.qr(torch.randn(size, 2, generator=generator))
    angles = torch.linspace(0, 2 * math.pi, POINTS + 1)[:-1]
    place, speed = ((radius * torch.stack([u, v], 1) @ plane.T).view(POINTS, *shape)
                    for u, v in ((angles.cos(), angles.sin()), (-angles.sin(), angles.cos())))  # fmt: skip

    def layers(inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(start.passed(inputs).hidden)

    lengths = [
        float(each.detach().double().flatten(1).norm(dim=1).mean()) for each in jvp(layers, (place,), (speed,))[1]
    ]
    return {
        "ln_length_per_layer": _slope(np.arange(3, len(lengths) + 1), np.log(lengths[2:])),
        "ln_length_theory": 0.5 * math.log(field.chi()),
    }


@torch.no_grad()
def born_dead(start: Start) -> dict[str, float]:
    """born_dead: 1 where the outputs are the same for all examples, else 0."""
    outputs = functional_call(start.model, start.params, (start.batch[0],))
    return {"born_dead": float(torch.equal(outputs, outputs[:1].expand_as(outputs)))}
