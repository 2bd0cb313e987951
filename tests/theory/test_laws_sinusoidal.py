"""Sinusoidal initialization: its waves by plain loops, their exact variance, and what no aliasing buys."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import Sinusoidal, as_initializer
from initsuite.spec import ParamSpec, Role

ROUNDING = 1e-6
"""Relative, of float32 entries."""
SHAPES = [(64, 256), (256, 64), (10, 7), (7, 10), (3, 3), (40, 3)]


def drawn(law: Sinusoidal, shape: tuple[int, ...], seed: int = 0, **facts: Any) -> Tensor:
    field = math.prod(shape[2:])
    outputs, inputs = shape[:2][::-1] if facts.get("is_transposed") else shape[:2]
    fan_in, fan_out = facts.pop("fans", (inputs * field, outputs * field))
    spec = ParamSpec("weight", shape, Role.WEIGHT, fan_in, fan_out, facts.pop("nonlinearity", None), 0, 2, **facts)
    return as_initializer(law)(nn.Module(), [spec], seed=seed).params["weight"]


def by_loops(rows: int, columns: int, variance: float) -> list[list[float]]:
    """w[i, j] = a sin(2 pi f_i j / n + p_i), a = sqrt(2 variance)."""
    frequencies = [f for f in range(1, columns) if 2 * f < columns][:rows]
    matrix: list[list[float]] = [[]] * rows
    for place, frequency in enumerate(frequencies):
        alike = list(range(place, rows, len(frequencies)))
        for turn, i in enumerate(alike):
            phase = math.pi * (turn + (place + 0.5) / len(frequencies)) / len(alike)
            row = [math.sin(2 * math.pi * frequency * j / columns + phase) for j in range(columns)]
            matrix[i] = [math.sqrt(2 * variance) * value for value in row]
    return matrix


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rows_are_waves(shape: tuple[int, int]) -> None:
    expected = by_loops(*shape, variance=2 / shape[1])
    np.testing.assert_allclose(drawn(Sinusoidal(), shape).numpy(), expected, atol=2 * ROUNDING)


@pytest.mark.parametrize("shape", [*SHAPES, (32, 16, 3, 3), (12, 4, 5)])
def test_each_unit_has_mean_zero_and_the_variance_exactly(shape: tuple[int, ...]) -> None:
    outputs, inputs = shape[0], math.prod(shape[1:])
    fans: dict[str, float] = {"fan_in": inputs, "fan_out": outputs * math.prod(shape[2:])}
    fans["fan_avg"] = sum(fans.values()) / 2
    for fan, size in fans.items():
        rows = drawn(Sinusoidal(gain=3.0, fan=fan), shape).double().flatten(1)
        torch.testing.assert_close(rows.square().mean(1), torch.full((outputs,), 9 / size).double(), rtol=1e-5, atol=0)
        assert float(rows.mean(1).abs().max()) < ROUNDING


def test_the_gain_follows_the_nonlinearity_if_asked() -> None:
    tanh = drawn(Sinusoidal(gain="auto"), (64, 256), nonlinearity=activation("tanh"))
    torch.testing.assert_close(tanh, drawn(Sinusoidal(gain=1.592537419722831), (64, 256)), rtol=1e-5, atol=1e-6)


def test_rows_of_one_frequency_differ_in_phase_and_all_others_are_orthogonal() -> None:
    weight = drawn(Sinusoidal(gain=1.0), (31, 64)).double()  # 31 frequencies below 64 / 2, each once
    torch.testing.assert_close(weight @ weight.T, torch.eye(31).double(), atol=10 * ROUNDING, rtol=0)
    weight = drawn(Sinusoidal(gain=1.0), (62, 64)).double()  # each twice, a quarter period apart
    torch.testing.assert_close(weight @ weight.T, torch.eye(62).double(), atol=10 * ROUNDING, rtol=0)


@pytest.mark.parametrize("shape", [(256, 64), (64, 256), (100, 9), (40, 3)])
def test_no_two_units_are_alike_and_the_rank_is_what_whole_periods_allow(shape: tuple[int, int]) -> None:
    weight = drawn(Sinusoidal(), shape).double().numpy()
    assert np.linalg.matrix_rank(weight, tol=1e-4) == min(shape[0], 2 * ((shape[1] - 1) // 2))
    unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    alike = np.abs(unit @ unit.T) - np.eye(len(unit))
    most = math.ceil(shape[0] / ((shape[1] - 1) // 2))  # rows of one frequency, whose phases share half a turn
    assert alike.max() <= math.cos(math.pi / max(most, 2)) + 1e-5


def test_frequencies_that_are_not_stopped_alias() -> None:
    """The departure from the paper: with f_i = i, row n is a constant and row n - i repeats row i."""
    rows, columns = 16, 16
    phase = 2 * np.pi * np.arange(1, rows + 1) / rows
    weight = np.sin(2 * np.pi * np.outer(np.arange(1, rows + 1), np.arange(1, columns + 1)) / columns + phase[:, None])
    assert np.ptp(weight[-1]) < 1e-12
    assert np.linalg.matrix_rank(weight) < np.linalg.matrix_rank(drawn(Sinusoidal(), (16, 16)).numpy(), tol=1e-4)


@pytest.mark.parametrize("shape", [(8, 1), (8, 2), (1, 1), (1, 2)])
def test_one_or_two_inputs_still_get_the_variance(shape: tuple[int, int]) -> None:
    weight = drawn(Sinusoidal(), shape)
    assert float(weight.square().mean()) == pytest.approx(2 / shape[1], rel=1e-5)
    assert len({tuple(row) for row in weight.tolist()}) > 1 or shape[0] == 1


def test_groups_and_transposed_convolutions() -> None:
    whole = drawn(Sinusoidal(), (6, 4, 3))
    grouped = drawn(Sinusoidal(), (12, 4, 3), blocks=(6, 6), fans=(12, 18))
    assert torch.equal(grouped, torch.cat([whole, whole]))
    assert torch.equal(drawn(Sinusoidal(), (4, 6, 3), is_transposed=True), whole.transpose(0, 1))


def test_it_draws_nothing() -> None:
    assert torch.equal(drawn(Sinusoidal(), (8, 16), seed=0), drawn(Sinusoidal(), (8, 16), seed=1))


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Sinusoidal: unknown `fan`='fanin'.*fan_in, fan_out, fan_avg"):
        Sinusoidal(fan="fanin")
    with pytest.raises(ConfigError, match=r"Sinusoidal: bad value `gain`=0"):
        Sinusoidal(gain=0)
