"""What is prescribed, why, and how far that is said to be trusted; bad input is one line."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import initsuite
from initsuite.apply import ranking
from initsuite.errors import ConfigError, InitsuiteError
from initsuite.init import Normal, VarianceScaling
from initsuite.signal.prediction import NETWORK_OUT, SPEED, Prediction

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(32, 64, generator=GENERATOR), torch.randint(0, 10, (32,), generator=GENERATOR)


def deep(depth: int = 12) -> nn.Module:
    layers = [nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(depth)]
    return nn.Sequential(*layers, nn.Linear(64, 10))


def test_laws_that_lose_the_signal_come_last() -> None:
    """Theory: per layer He keeps q, and Xavier halves it; std 0.01 leaves what its biases add, and 0 nothing."""
    found = initsuite.prescribe(deep(), (X, Y), init=["zero", "normal", "xavier", "he"], draws=3)
    assert found.table["init"].tolist() == ["he", "xavier", "normal", "zero"]
    assert found.initializer == "he"
    assert found.table["is_healthy"].tolist() == [True, False, False, False]
    drift = found.table.set_index("init")["signal_drift"]
    assert drift["xavier"] == pytest.approx(12 * math.log(2), rel=0.35)
    assert drift["zero"] == math.inf
    initsuite.initialize_(deep(), found.initializer)


def test_it_says_what_why_and_how_far_that_goes() -> None:
    found = initsuite.prescribe(deep(), (X, Y), init=["normal", "he"], draws=2)
    printed = str(found)
    assert printed.startswith("Use he: ")
    assert repr(found) == printed
    assert found.table["reason"].iloc[1] in printed
    assert "from one end to the other" in found.table["reason"].iloc[0]
    row = Prediction.read().of(SPEED).set_index("predictor").loc[NETWORK_OUT]
    assert f"rank correlation of {row.correlation:.2f} (95 % {row.low:.2f} to {row.high:.2f})" in printed
    assert "Among initializers that train it is" in printed
    assert "elsewhere it is a guess" in printed
    assert "initsuite.compare(model, data, init=['he'" in printed
    assert found._repr_html_().startswith("<p><b>Use he: ")
    assert found.diagnosis().is_healthy
    assert not found.diagnosis("normal").is_healthy
    assert found.table["reason"].iloc[1].startswith(f"{found.diagnosis('normal').verdicts['verdict'][0]}: ")


def test_what_is_not_for_a_model_is_named_with_the_reason() -> None:
    found = initsuite.prescribe(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), (X, Y), draws=2)
    assert "it has no attention layer" in found.refused["mimetic"]
    assert {"he", "lsuv", "zero"} <= set(found.table["init"])
    assert not set(found.refused) & set(found.table["init"])
    assert "Not for this model: " in str(found)
    assert list(found.table["init"])[-1] in ("zero", "constant")


def test_objects_and_options() -> None:
    law, options = VarianceScaling(gain=1e-3), ("he", {"distribution": "uniform"})
    found = initsuite.prescribe(deep(), (X, Y), init=[law, options], draws=2)
    assert found.table["init"].tolist() == ["he(distribution=uniform)", "VarianceScaling(gain=0.001)"]
    assert found.initializers["VarianceScaling(gain=0.001)"] is law
    initsuite.initialize_(deep(), found.initializer)
    assert initsuite.prescribe(deep(), (X, Y), init=Normal(0.0, 0.1), draws=2).initializer == Normal(0.0, 0.1)


def test_equal_laws_cannot_be_told_from_each_other() -> None:
    same = [VarianceScaling(gain=2**0.5), "he", "normal"]
    found = initsuite.prescribe(deep(), (X, Y), init=same, draws=3)
    assert found.table["is_tied"].tolist() == [False, True, False]
    assert "Step 0 cannot tell" in str(found)


def test_it_can_ask_for_the_score_and_without_targets() -> None:
    found = initsuite.prescribe(deep(), X, init=["normal", "he"], draws=2, by="score")
    assert found.initializer == "he"
    assert "with the order by test score" in str(found)
    assert "give a batch (inputs, targets)" in str(found)


def test_the_model_is_left_as_it_was() -> None:
    model = deep(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    initsuite.prescribe(model, (X, Y), init=["he", "lsuv"], draws=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_noise_is_the_standard_error_over_draws() -> None:
    """Of two initializers whose order changes from draw to draw, and none of one that is always last."""
    rng = np.random.default_rng(0)
    measured = rng.normal(size=(3, 8, 1))
    measured[2] += 100
    score, noise = ranking._scores(measured, np.array([1.0]))
    assert score[2] == 0.5
    assert noise[2] == 0
    constant, none = ranking._scores(np.repeat(measured[:, :1], 8, 1), np.array([1.0]))
    assert set(constant) == {-0.5, 0.0, 0.5}
    assert not none.any()
    near = np.array([[[0.0], [1.0]], [[0.6], [0.6]], [[9.0], [9.0]]])  # leaving out a draw turns the first two around
    # two values, -1/2 and 0: a standard error of sqrt(1) x 1/4
    assert ranking._scores(near, np.array([1.0]))[1] == pytest.approx([0.25, 0.25, 0])


def test_progress_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(ranking, "SAY_EVERY_S", 0.0)
    initsuite.prescribe(deep(2), (X, Y), init=["he", "xavier"], draws=2)
    assert "prescribe: 1 of 2 initializers measured, about" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": ["hee"]}, "prescribe: unknown `initializer`='hee'"),
        ({"init": "fixup"}, "no layer that closes a residual branch"),
        ({"by": "size"}, "prescribe: unknown `by`='size'. Expected one of: speed, score"),
        ({"draws": 1}, "`draws`=1. Expected a whole number from 2"),
        ({"example": (X[:0], Y[:0])}, "The batch is empty"),
        ({"example": (X / 0, Y)}, "are NaN or infinite"),
        ({"example": (X[:, :8], Y)}, "does not take the example"),
        ({"example": (X, Y + 7)}, "labels out of range"),
    ],
)
def test_bad_input_is_one_clear_line(options: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, InitsuiteError)) as caught:
        initsuite.prescribe(deep(2), **{"example": (X, Y), "init": ["he"], **options})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_of_a_diagnosis() -> None:
    with pytest.raises(ConfigError, match=r"unknown `init`='xavier'. Expected one of: he"):
        initsuite.prescribe(deep(2), (X, Y), init="he", draws=2).diagnosis("xavier")
