"""What is measured on the values of a layer: each function takes [example, place, unit], or all of a tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from initsuite.init.theory.gains import slope
from initsuite.spec import Activation

SAMPLED = 2**17
"""Entries that correlations, duplicates, ranks and histograms are measured on: places are thinned out to these."""
ROWS = 128
"""Rows that the effective rank is measured on."""
EQUAL = 1e-5
"""Units whose outputs differ by at most this share of their size are duplicates: some 80 roundings of float32."""
FLAT = 0.05
"""Where the slope is at most this share of its largest value, an entry is saturated: beyond 2.18 for tanh."""
SILENT = 1e-2
"""A flat tail with values up to this is off; one with larger values is saturated."""
REACH = 40.0
"""Tails are searched for up to here."""
BINS = 40
"""Of a histogram, from -4 to 4 standard deviations."""


def thinned(values: Tensor, entries: int = SAMPLED) -> Tensor:
    """Every k-th place, so that about so many entries are left; [example, place, unit]."""
    step = math.ceil(values.numel() / entries)
    return values[:, :: min(step, values.shape[1])]


def mean_square(values: Tensor) -> float:
    """The mean square of all entries: q. 0 = no signal, NaN where there are no entries."""
    if not values.numel():
        return math.nan
    return float(torch.linalg.vector_norm(values.detach()).double() ** 2) / values.numel()


def correlation(values: Tensor) -> float:
    """The mean cosine of two examples, not centred: c of mean-field theory. 1 = all are the same; NaN for one."""
    batch = len(values)
    rows = values.flatten(1).double()
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    if batch < 2 or not bool((norms > 0).all()):
        return math.nan
    total = (rows / norms).sum(0)
    return (float(total @ total) - batch) / (batch * (batch - 1))


def input_share(values: Tensor) -> float:
    """The share of the mean square that differs between the examples: their variance / the mean square, from 0 to 1.

    For two independent examples 1, for equal ones 0; equal to 1 - c where all examples have the same mean square.
    """
    rows = values.flatten(1).double()
    total = float(rows.square().mean())
    return float(rows.var(0).mean()) / total if len(rows) > 1 and total > 0 else math.nan


def duplicate_share(values: Tensor) -> float:
    """The share of units that put out the same as another unit on everything seen.

    Units are compared by two random projections of what they put out, neighbours in the order of the first.
    """
    columns = values.flatten(0, 1).double()
    if columns.shape[1] < 2:
        return 0.0
    noise = torch.randn(2, len(columns), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    marks = noise @ columns
    size = torch.linalg.vector_norm(columns, dim=0)
    order = marks[0].argsort()
    marks, size = marks[:, order], size[order]
    limit = EQUAL * torch.maximum(size[1:], size[:-1])
    is_same = ((marks[:, 1:] - marks[:, :-1]).abs() <= limit).all(0)
    none = torch.zeros(1, dtype=torch.bool)
    return float((torch.cat([is_same, none]) | torch.cat([none, is_same])).double().mean())


def effective_rank(values: Tensor) -> float:
    """The participation ratio (sum s^2)^2 / sum s^4 of the singular values of [example and place, unit], from 1.

    Places are thinned out to 128 rows; the largest possible value is the smaller of the number of rows and of units.
    """
    rows = values.flatten(0, 1).double()
    rows = rows[:: math.ceil(len(rows) / ROWS)]
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    square = float(gram.square().sum())
    return float(gram.trace()) ** 2 / square if square > 0 else math.nan


def token_cosine(values: Tensor) -> float:
    """The mean cosine of two places (tokens) of an example, averaged over the examples; NaN for one place."""
    places = values.shape[1]
    norms = torch.linalg.vector_norm(values, dim=2, keepdim=True)
    if places < 2 or not bool((norms > 0).all()):
        return math.nan
    total = (values / norms).double().sum(1)
    return float(((total * total).sum(1) - places).mean()) / (places * (places - 1))


def histogram(values: Tensor) -> Tensor:
    """The density of values / root mean square in `BINS` bins from -4 to 4; [bin], zeros for a signal of 0."""
    flat = values.detach().flatten().float()
    scale = math.sqrt(mean_square(flat))
    if not 0 < scale < math.inf:
        return torch.zeros(BINS)
    return torch.histc(flat / scale, BINS, -4, 4) / (len(flat) * 8 / BINS)


@dataclass(frozen=True)
class Tails:
    """Where a nonlinearity is flat: below `left` and above `right`; each tail is off or saturated.

    A tail of about 0 is off if the function is 0 at 0 as well: that of ReLU, not that of the sigmoid.
    """

    left: float
    right: float
    left_is_off: bool
    right_is_off: bool


@lru_cache(maxsize=64)
def tails(activation: Activation) -> Tails:
    """The flat tails of a nonlinearity, to 0.01; infinite where there is none.

    Example:
        >>> tails(Activation("tanh", torch.tanh)).right
        2.17
    """
    points = torch.arange(-REACH, REACH + 0.01, 0.01, dtype=torch.float64)
    steepness = slope(activation, points).abs()
    with torch.no_grad():
        values = activation.function(points.clone()).abs()
        is_off_at_0 = float(activation.function(torch.zeros(1, dtype=torch.float64)).abs()) <= SILENT
    is_steep = (steepness > FLAT * steepness[steepness.isfinite()].max()).nonzero().flatten()
    first, last = int(is_steep[0]), int(is_steep[-1])
    left = float(points[first]) if first else -math.inf
    right = float(points[last]) if last < len(points) - 1 else math.inf
    return Tails(
        round(left, 2) if math.isfinite(left) else left,
        round(right, 2) if math.isfinite(right) else right,
        is_off_at_0 and bool(values[0] <= SILENT),
        is_off_at_0 and bool(values[-1] <= SILENT),
    )


def dead_share(values: Tensor, activation: Activation, units: int) -> float:
    """The share of units that are off, in a flat tail of about 0, for every example and place."""
    found = tails(activation)
    axes = [axis for axis in range(values.ndim) if axis != units % values.ndim]
    is_dead = torch.zeros(values.shape[units], dtype=torch.bool)
    if math.isfinite(found.left) and found.left_is_off:
        is_dead |= values.amax(axes) <= found.left
    if math.isfinite(found.right) and found.right_is_off:
        is_dead |= values.amin(axes) >= found.right
    return float(is_dead.double().mean())


def saturated_share(values: Tensor, activation: Activation) -> float:
    """The share of entries in a flat tail that is not about 0."""
    found, share = tails(activation), 0.0
    if math.isfinite(found.left) and not found.left_is_off:
        share += float((values < found.left).double().mean())
    if math.isfinite(found.right) and not found.right_is_off:
        share += float((values > found.right).double().mean())
    return share
