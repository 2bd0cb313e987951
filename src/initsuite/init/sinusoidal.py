"""Weights that are sine waves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from initsuite.errors import unknown_choice
from initsuite.init.base.layout import as_weight, matrix_shape
from initsuite.init.theory.gains import check_gain
from initsuite.init.variance_scaling import FANS, VarianceScaling
from initsuite.spec import ParamSpec


@dataclass(frozen=True)
class Sinusoidal:
    """Each row of a layer is a sine wave over its n inputs, with the variance of He or Glorot: no random numbers.

    w[i, j] = a sin(2 pi f_i j / n + p_i), i counted over the m outputs and j over the n inputs (receptive field
    included), both from 0. Frequencies f_i = 1, 2, ... below n/2, then again from 1. The phases of the r rows of one
    frequency, the c-th of F (from 0), are pi (k + (c + 1/2) / F) / r, k = 0 ... r - 1: pi / r apart, so that the cosine
    of two of these rows is at most cos(pi / r). Over whole periods each row sums to 0 and has the mean square a^2/2
    exactly: Var[w] = gain^2 / fan for every unit, with a = gain sqrt(2 / fan). Rows are orthogonal or, at one
    frequency, shifted in phase, so that no two of one block are parallel and the rank is the largest that whole periods
    allow; groups, gates and other blocks of one shape are equal. Biases are 0; the head is like any other layer.

    Departure: the paper has f_i = i for all rows and phases over 2 pi. From n/2 on such frequencies alias: row n is a
    constant, and rows i and n - i are of one shape. Here they stop below the Nyquist frequency. One or two inputs have
    no frequency below it: there it is 1/2, and the sum of a row is not 0.

    Args:
        gain: a number above 0, `auto`, `backward` or `torch` (see `VarianceScaling`).
        fan: fan_in (He), fan_out, fan_avg (Glorot) or fan_geo_avg (see `VarianceScaling`).

    References:
        Fernandez-Hernandez et al. 2025, Sinusoidal Initialization, Time for a New Start, section 3.
    """

    law_version: ClassVar[int] = 2
    gain: float | str = math.sqrt(2)
    fan: str = "fan_in"

    def __post_init__(self) -> None:
        check_gain("Sinusoidal", self.gain)
        if self.fan not in FANS:
            raise unknown_choice("Sinusoidal", "fan", self.fan, FANS)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        rows = waves(*matrix_shape("Sinusoidal", spec))
        # a row of one or two inputs holds no whole period: the mean square of the matrix is set, not of each row
        rows *= VarianceScaling(self.gain, self.fan).declared_std(spec) / rows.square().mean().sqrt()
        return as_weight(rows.float(), spec)


def waves(rows: int, columns: int) -> Tensor:
    """sin(2 pi f_i j / columns + p_i), float64 [rows, columns]; see `Sinusoidal`."""
    row = torch.arange(rows, dtype=torch.float64)[:, None]
    column = torch.arange(columns, dtype=torch.float64)
    below_nyquist = (columns - 1) // 2
    frequencies = max(1, min(rows, below_nyquist))
    place, turn = row % frequencies, row // frequencies
    frequency = 1 + place if below_nyquist else torch.full_like(row, 0.5)
    rows_of_frequency = torch.ceil((rows - place) / frequencies)
    phase = math.pi * (turn + (place + 0.5) / frequencies) / rows_of_frequency
    return torch.sin(2 * math.pi * frequency * column / columns + phase)
