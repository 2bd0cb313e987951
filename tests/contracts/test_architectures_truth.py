"""The judge of the contract over architectures, judged: its truth against closed forms, and planted errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initsuite import initialize_
from support import verdicts
from support.architectures import architectures
from support.following import Follower
from support.truth import Architecture, fill_with_distinct_numbers, matrices_of, parts, repeating
from support.verdicts import WRONG, judge, measured_gain

ROWS = torch.randn(32, 24, generator=torch.Generator().manual_seed(5))
PICTURES = torch.randn(2, 12, 6, 6, generator=torch.Generator().manual_seed(5))
GAIN = 0.01
"""A gain that is measured on 1,000 quantiles and more."""
HEAVY = 0.03
"""The same where the mean square rests on a few large values."""


def fans(build: Callable[[], nn.Module], *args: Tensor, **options: Any) -> list[tuple[str, int, int, int]]:
    """(parameter, fan_in, fan_out, number of matrices), in the order of use."""
    found: dict[tuple[str, int, int], int] = {}
    for each in verdicts.unique(matrices_of(Architecture(build, args, **options))):
        key = (each.parameter, each.fan_in, each.fan_out)
        found[key] = found.get(key, 0) + 1
    return [(*key, count) for key, count in found.items()]


class Stacked(nn.Module):
    """Three matrices [group, input, output] in one tensor, which einsum makes one product of."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3, 24, 8))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("ni,gio->ngo", x, self.w)


class Joined(nn.Module):
    """Two parameters that are joined before they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(8, 24)), nn.Parameter(torch.zeros(24, 16))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, torch.cat([self.a, self.b.T]))


@pytest.mark.parametrize(
    ("build", "inputs", "expected"),
    [
        (lambda: nn.Linear(24, 40), ROWS, [("weight", 24, 40, 1)]),
        (lambda: nn.Conv2d(12, 8, 3, stride=2, groups=4), PICTURES, [("weight", 27, 18, 4)]),
        (lambda: nn.Conv2d(12, 24, 3, groups=12), PICTURES, [("weight", 9, 18, 12)]),
        (lambda: nn.ConvTranspose2d(12, 20, (2, 4), groups=2), PICTURES, [("weight", 48, 80, 2)]),
        (lambda: nn.Embedding(50, 7), torch.arange(30), [("weight", 1, 7, 1)]),
        (Joined, ROWS, [("a", 24, 8, 1), ("b", 24, 16, 1)]),
    ],
)
def test_fans_are_counted(
    build: Callable[[], nn.Module], inputs: Tensor, expected: list[tuple[str, int, int, int]]
) -> None:
    assert fans(build, inputs) == expected


def test_parts_of_packed_projections_have_fans_of_their_own() -> None:
    assert fans(Stacked, ROWS, packed={"w": parts(3)}) == [("w", 24, 8, 3)]
    found = fans(lambda: nn.LSTM(24, 10), ROWS[:, None], packed={"_l0": parts(4)})
    assert found == [("weight_ih_l0", 24, 10, 4), ("weight_hh_l0", 10, 10, 4)]
    assert list(parts(2, 1)(3)) == [0, 0, 1]
    assert list(repeating(2, 1)(6)) == [0, 0, 1, 0, 0, 1]


def test_a_matrix_is_what_the_model_multiplies_by() -> None:
    architecture = Architecture(lambda: nn.ConvTranspose2d(12, 20, 3, groups=2, bias=False), (PICTURES[:, :, :1, :1],))
    model = architecture.build()
    matrices = matrices_of(architecture)
    pixel = torch.cat([PICTURES[0, group * 6 : group * 6 + 6, 0, 0] for group in (0, 1)]).reshape(2, 6)
    for matrix, inputs in zip(matrices, pixel, strict=True):
        values = matrix.values(model, None).reshape(10, 6, 9)
        expected = model(PICTURES[:1, :, :1, :1])[0, matrix.place * 10 : matrix.place * 10 + 10].flatten(1)
        torch.testing.assert_close(torch.einsum("oit,i->ot", values, inputs), expected)


def test_computed_weights_are_read_where_they_are_used() -> None:
    architecture = architectures("by_hand")["equalised learning rate"]
    first = matrices_of(architecture)[0]
    assert (first.entries, first.parameter, first.fan_in, first.fan_out) == (None, "0.weight", 64, 96)


def test_numbers_are_distinct() -> None:
    numbers = fill_with_distinct_numbers(nn.Linear(700, 900))
    assert len(numbers.unique()) == 700 * 900 + 900


class Net(nn.Module):
    """Two layers with anything between them."""

    def __init__(self, between: Callable[[Tensor], Tensor], outputs: int = 40, inputs: int = 40) -> None:
        super().__init__()
        self.between, self.first, self.last = between, nn.Linear(24, outputs), nn.Linear(inputs, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(self.first(x)))


def gains(build: Callable[[], nn.Module], **options: Any) -> dict[tuple[int, int], tuple[float, ...]]:
    architecture = Architecture(build, (ROWS,), **options)
    found = Follower(architecture, matrices_of(architecture)).gains()
    return {source: following.gains for source, following in found.items()}


@pytest.mark.parametrize(
    ("between", "gain"),
    [
        (F.relu, math.sqrt(2)),
        (lambda y: F.layer_norm(F.relu(y), (40,)), math.sqrt(2)),
        (lambda y: F.relu(y).reshape(8, 4, 40).flip(1).reshape(32, 40), math.sqrt(2)),
        (lambda y: F.relu(y).square(), math.sqrt(2 / 3)),  # E[relu(z)^4] = 3/2
        (torch.sin, 1 / math.sqrt((1 - math.exp(-2)) / 2)),
        (lambda y: y**3, 1 / math.sqrt(15)),
        (torch.exp, math.exp(-1)),
        (lambda y: 3 * y + 1, 1.0),
    ],
)
def test_what_follows_has_its_gain(between: Callable[[Tensor], Tensor], gain: float) -> None:
    found = gains(lambda: Net(between))
    assert found[0, 0] == (pytest.approx(gain, rel=GAIN if gain > 0.5 else HEAVY),)
    assert found[1, 0] == (1.0,)


@pytest.mark.parametrize(
    "between",
    [
        lambda y: F.max_pool1d(F.relu(y)[:, None], 2)[:, 0].repeat(1, 2),
        lambda y: torch.softmax(y, -1),
        lambda y: torch.relu(y + y.flip(0)),
        lambda y: y / y.abs().mean(-1, keepdim=True),
    ],
)
def test_nothing_is_said_of_what_is_not_elementwise(between: Callable[[Tensor], Tensor]) -> None:
    assert gains(lambda: Net(between))[0, 0] == ()


def test_both_parts_of_a_gate_are_measured() -> None:
    gate = math.sqrt(1 / 0.29345)  # E[sigmoid(z)^2] = 0.29345
    found = gains(lambda: Net(F.glu, 80), packed={"first.weight": parts(2)})
    assert found[0, 0] == (pytest.approx(1.0, rel=GAIN), pytest.approx(gate, rel=0.1))
    assert found[0, 1] == (pytest.approx(gate, rel=GAIN), pytest.approx(gate, rel=0.1))


LAYERS = Architecture(lambda: nn.Sequential(nn.Linear(24, 96), nn.ReLU(), nn.Linear(96, 40)), (ROWS,))


def _scaled(model: nn.Module, table: pd.DataFrame) -> None:
    model.get_parameter("0.weight").mul_(1.2)


def _one_scaled_row(model: nn.Module, table: pd.DataFrame) -> None:
    model.get_parameter("0.weight")[:, 3].mul_(1.2)


def _untold(model: nn.Module, table: pd.DataFrame) -> None:
    table.loc[table.tensor == "0.weight", "how"] = "kept"


@pytest.mark.parametrize("plant", [_scaled, _one_scaled_row, _untold])
def test_planted_errors_are_found(plant: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(model: nn.Module, *args: Any, **kwargs: Any) -> pd.DataFrame:
        table = initialize_(model, *args, **kwargs)
        with torch.no_grad():
            plant(model, table)
        return table

    assert judge(LAYERS).why == []
    monkeypatch.setattr(verdicts, "initialize_", planted)
    verdict = judge(LAYERS)
    assert verdict.entries[WRONG] == 24 * 96
    assert "0.weight" in verdict.why[0]


def test_a_wrong_nonlinearity_is_found_and_a_warning_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = judge(Architecture(LAYERS.build, (ROWS,), options={"nonlinearity": "tanh"}))
    assert verdict.nonlinearities == {"wrong": 1, "right": 1}
    assert "gain 1.593, true 1.414" in verdict.why[0]


def test_matrices_that_are_packed_as_one_are_wrong() -> None:
    architecture = Architecture(lambda: nn.Linear(24, 96), (ROWS,), packed={"weight": parts(3)})
    assert judge(architecture).share(WRONG) == 1


def test_a_gain_is_measured_on_orthonormal_rows_or_columns_only() -> None:
    matrix = torch.linalg.qr(torch.randn(40, 24, generator=torch.Generator().manual_seed(0)).double()).Q
    assert measured_gain(1.5 * matrix) == pytest.approx(1.5)
    assert measured_gain(1.5 * matrix.T) == pytest.approx(1.5)
    padded = matrix.clone()
    padded[7] = 0
    assert measured_gain(padded) == pytest.approx(1.0)
    assert measured_gain(torch.randn(40, 24, generator=torch.Generator().manual_seed(0))) is None
    matrix[:, 0] *= 1.01
    assert measured_gain(matrix) is None
