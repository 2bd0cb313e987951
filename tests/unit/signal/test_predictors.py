"""The measures of step 0 against closed forms; what is not known; what zero branches do to them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import initsuite
from initsuite.init import Constant, Normal, PerTensor, VarianceScaling
from initsuite.signal.predictors import PREDICTORS, distance_from_he, illnesses, predictors_of, worst_of

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(32, 64, generator=GENERATOR), torch.arange(32) % 4


def stack(depth: int, *between: nn.Module, bias: bool = False) -> nn.Sequential:
    layers = [each for _ in range(depth) for each in (nn.Linear(64, 64, bias=bias), *between)]
    return nn.Sequential(*layers, nn.Linear(64, 4))


def measured(model: Any, **options: Any) -> dict[str, float]:
    return predictors_of(initsuite.diagnose(model, (X, Y), **options)).mean().to_dict()


@pytest.mark.parametrize("rate", [0.6, 1.6])
def test_drifts_of_a_linear_orthogonal_network(rate: float) -> None:
    """ln(rate) a layer: through the 10 inputs behind the first one, and between the gradients of 10 hidden layers."""
    model = stack(10)
    for layer in model[:-1]:
        nn.init.orthogonal_(layer.weight, gain=math.sqrt(rate))
    nn.init.zeros_(model[-1].weight)
    model[-1].weight.data[:, :4] = 1e-3 * torch.eye(4)  # no first guess that is worse than the drifts
    found = measured(model)
    assert found["signal_drift"] == pytest.approx(10 * abs(math.log(rate)), rel=1e-3)
    assert found["gradient_drift"] == pytest.approx(9 * abs(math.log(rate)), rel=1e-3)
    assert found["input_loss"] == pytest.approx(0, abs=1e-3)
    assert found["severity"] == pytest.approx(10 * abs(math.log(rate)) / 6, rel=1e-3)


def test_the_first_guess() -> None:
    """A head of 0 guesses uniformly; one with a bias of ln 3 for one of four classes gives it 1/2, the others 1/6."""
    model = stack(2, nn.ReLU())
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    even = measured(model)
    assert (even["first_loss"], even["entropy_lack"]) == pytest.approx((0, 0), abs=1e-6)
    with torch.no_grad():
        model[-1].bias[0] = math.log(3)
    found = measured(model)
    assert found["first_loss"] == pytest.approx((math.log(2) / 4 + 3 * math.log(6) / 4) / math.log(4) - 1, rel=1e-4)
    assert found["entropy_lack"] == pytest.approx(1 - (math.log(2) + math.log(6)) / 2 / math.log(4), rel=1e-4)
    assert found["class_share"] == pytest.approx(3 / 4)


def test_units_that_are_off_saturated_or_equal() -> None:
    off = stack(3, nn.ReLU(), bias=True)
    initsuite.initialize_(off, PerTensor(weight=VarianceScaling(gain=2**0.5), bias=Constant(0.0)))
    nn.init.constant_(off[2].bias, -100.0)
    assert measured(off)["dead_share"] == pytest.approx(2 / 3, abs=0.01)  # the layer, and the one that hears nothing
    assert measured(stack(3, nn.Tanh()), init=Normal(0.0, 100.0), draws=1)["saturated_share"] > 0.98
    assert measured(stack(3, nn.Tanh()), init=Constant(0.1), draws=1)["duplicate_share"] == 1


def test_the_step_of_adam() -> None:
    """lr 0.001 / std: std 0.5 gives 0.002, twice a thousandth."""
    assert measured(stack(4), init=Normal(0.0, 0.5), draws=2)["update_size"] == pytest.approx(math.log(2), abs=0.02)


def test_the_distance_from_he() -> None:
    tripled = initsuite.diagnose(stack(4, nn.ReLU()), (X, Y), init=VarianceScaling(gain=3 * 2**0.5), draws=1)
    assert distance_from_he(tripled) == pytest.approx(math.log(3), abs=0.03)
    assert distance_from_he(initsuite.diagnose(stack(2), (X, Y), init="zero", draws=1)) == math.inf


def test_nothing_gets_through_zero_weights() -> None:
    diagnosis = initsuite.diagnose(stack(3, nn.ReLU()), (X, Y), init="zero", draws=2)
    table = predictors_of(diagnosis)
    assert list(table.columns[: len(PREDICTORS)]) == [each.name for each in PREDICTORS]
    assert len(table) == 2
    assert not table.isna().to_numpy().any()
    blocked = ["signal_drift", "gradient_drift", "input_loss", "correlation", "ratio_spread", "severity"]
    assert np.isinf(table[blocked].to_numpy()).all()
    assert illnesses(diagnosis) == 1


class Residual(nn.Module):
    """Blocks whose branches add nothing at first, by a scale of 0."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.inner = nn.ModuleList(nn.Linear(64, 64) for _ in range(8))
        self.outer = nn.ModuleList(nn.Linear(64, 64) for _ in range(8))
        self.scales = nn.ParameterList(nn.Parameter(torch.tensor(scale)) for _ in range(8))
        self.head = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for inner, outer, scale in zip(self.inner, self.outer, self.scales, strict=True):
            x = x + scale * outer(torch.relu(inner(x)))
        return self.head(x)


def test_branches_that_add_nothing_yet_are_no_fault() -> None:
    found = measured(Residual(0.0))
    wanted = ["signal_drift", "input_loss", "ratio_spread", "severity"]
    assert np.isfinite([found[name] for name in wanted]).all()
    assert found["severity"] < 1


def test_a_value_in_words() -> None:
    words = {each.name: each.in_words for each in PREDICTORS}
    said = "the mean square of the signal changes by {} from one end to the other"
    assert words["signal_drift"](math.log(2)) == said.format("a factor of 2")
    assert words["signal_drift"](math.log(2), math.log(1.5)) == said.format("a factor of 2 +- 50 %")
    assert words["signal_drift"](math.inf) == said.format("an infinite factor, as nothing gets through,")
    assert words["severity"](math.inf).endswith("go by is infinity times its limit")
    assert "is an unknown share away" in words["first_loss"](math.nan)
    assert words["rank_lack"](0.5, 0.1).endswith("is 50 % +- 10 % below what the batch allows")
    assert words["severity"](0.5, 0.01, ", the first loss,").endswith(
        "go by, the first loss, is 0.5 +- 0.01 times its limit"
    )


def test_the_worst_is_named() -> None:
    depths = {"he": "the first loss", "xavier": "the change of the signal"}
    for init, expected in depths.items():
        assert worst_of(initsuite.diagnose(stack(20, nn.ReLU()), (X, Y), init=init, draws=2)) == expected
