"""Trends and steps, and the limits of verdicts from both sides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import initsuite
from initsuite.signal.drifts import LIMIT, drift
from initsuite.signal.verdicts import verdicts

X = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))


def test_a_trend_a_step_and_what_is_undone() -> None:
    trend = drift([-0.5 * layer for layer in range(20)])
    assert (trend.rate, trend.total, trend.begin, trend.is_step) == (-0.5, -9.5, 0, False)
    assert trend.in_words() == "is multiplied by 0.607 per layer, by 7.49e-05 in all"
    step = drift([0.0] * 7 + [8.0] * 9)
    assert (step.total, step.begin, step.is_step) == (8.0, 6, True)
    assert step.in_words() == "is multiplied by 2.98e+03 at once"
    fading = drift([8 * 0.6**layer for layer in range(20)])  # down to the level that biases keep
    assert not fading.is_steady
    assert math.isnan(fading.factor)
    dips = [0.0, 0.0, -7.0, 0.0] * 6  # inside of residual branches
    assert abs(drift(dips).total) < 1
    assert drift([1.0]).total == 0.0


def test_noise_is_no_trend() -> None:
    walks = np.random.default_rng(0).normal(0, math.sqrt(5 / 64), (200, 30)).cumsum(1)  # He and ReLU at width 64
    ill = sum(abs(drift(walk).total) > 6 for walk in walks)
    assert ill <= 2


@pytest.mark.parametrize(("rate", "is_healthy"), [(0.85, True), (0.6, False)])
def test_the_limit_is_six_depth_scales(rate: float, is_healthy: bool) -> None:
    """30 linear layers: 0.85^30 is e^-4.9, 0.6^30 e^-15."""
    model = nn.Sequential(*[nn.Linear(32, 32, bias=False) for _ in range(30)])
    with torch.no_grad():
        for layer in model:
            nn.init.orthogonal_(layer.weight, gain=math.sqrt(rate))  # type: ignore[arg-type]
    found = initsuite.diagnose(model, X)
    assert found.is_healthy == is_healthy
    if not is_healthy:
        assert found.verdicts["rate"][0] == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (nn.LayerNorm(32), "behind a norm"),
        (nn.Unflatten(1, (2, 16)), "yes"),
        (nn.Sequential(nn.Unflatten(1, (32, 1)), nn.AvgPool1d(1), nn.Flatten()), "behind pooling"),
    ],
)
def test_theory_says_where_it_does_not_apply(between: nn.Module, reason: str) -> None:
    after = nn.Linear(16 if isinstance(between, nn.Unflatten) else 32, 8)
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), between, after)
    layers = initsuite.diagnose(model, X).layers
    assert layers["theory"].tolist() == ["yes", reason]
    assert math.isnan(layers["q_theory"][1]) == (reason != "yes")


def test_theory_needs_centred_weights_and_no_padding() -> None:
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    with torch.no_grad():
        model[2].weight.add_(1)
    assert initsuite.diagnose(model, X).layers["theory"][1] == "its weights are not centred"
    images = torch.randn(4, 3, 8, 8)
    for padding, reason in ((0, "yes"), (1, "zero padding")):
        convolutions = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=padding))
        assert initsuite.diagnose(convolutions, images).layers["theory"][1] == reason


def test_small_heads_and_idle_branches_are_no_illness() -> None:
    model = nn.Sequential(*[nn.Linear(32, 32) for _ in range(4)], nn.Linear(32, 10))
    for layer in list(model)[:4]:
        nn.init.orthogonal_(layer.weight)  # type: ignore[arg-type]
    for std in (0.0, 1e-4):
        nn.init.normal_(model[4].weight, std=std)  # type: ignore[arg-type]
        found = initsuite.diagnose(model, (X, torch.randint(0, 10, (16,))))
        assert found.is_healthy
        assert bool(found.layers["is_idle"].iloc[-1]) == (std == 0)
    assert any("start at 0" in note for note in initsuite.diagnose(_idle(model), X).notes)


def _idle(model: nn.Sequential) -> nn.Sequential:
    nn.init.zeros_(model[4].weight)  # type: ignore[arg-type]
    return model


class Separate(nn.Module):
    """Blocks of attention with a layer each for queries, keys and values, and of an MLP, with small weights."""

    def __init__(self, blocks: int = 4) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 64)
        names = ("query", "key", "value", "out", "up", "down")
        self.blocks = nn.ModuleList(nn.ModuleDict({name: nn.Linear(64, 64) for name in names}) for _ in range(blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(64) for _ in range(2 * blocks + 1))
        self.head = nn.Linear(64, 50)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.03)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        for number, block in enumerate(self.blocks):
            h = self.norms[2 * number](x)
            q, k, v = (block[name](h).unflatten(-1, (4, 16)).transpose(1, 2) for name in ("query", "key", "value"))
            x = x + block["out"](functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
            x = x + block["down"](torch.relu(block["up"](self.norms[2 * number + 1](x))))
        return self.head(self.norms[-1](x))


def test_gradients_of_queries_and_keys_are_not_compared() -> None:
    """They come through a softmax of small logits: that they are small says nothing about the depth."""
    torch.manual_seed(0)
    ids = torch.randint(0, 50, (8, 16))
    found = initsuite.diagnose(Separate(), (ids, ids))
    layers = found.layers.set_index("layer")
    makers = [f"blocks.{number}.{name}" for number in range(4) for name in ("query", "key")]
    assert list(layers.index[layers["makes_logits"]]) == makers
    gradient = layers["gradient_norm"]
    assert 2 * math.log(gradient["blocks.0.value"] / gradient["blocks.0.query"]) > LIMIT
    assert found.is_healthy, found.sentences()
    together = verdicts(found.layers.assign(makes_logits=False), found.points, {})
    assert [each.verdict for each in together] == ["vanishing"]


def test_a_first_guess_within_its_noise_is_no_illness() -> None:
    layers = initsuite.diagnose(nn.Linear(32, 10), X).layers
    points = layers.assign(draw=0)
    guess = {"uniform_loss": 2.3, "loss": 5.0, "prediction_entropy": 0.4}
    noisy = {**guess, "loss_noise": 0.3, "prediction_entropy_noise": 0.06}
    assert [each.verdict for each in verdicts(layers, points, {**guess, "commonest_class": 1.0})] == [
        "exploding",
        "biased to one class",
    ]
    assert [each.verdict for each in verdicts(layers, points, {**noisy, "commonest_class": 1.0})] == ["healthy"]


@pytest.mark.parametrize(("factor", "is_found"), [(100, False), (1000, True)])
def test_weights_that_a_norm_behind_them_undoes(factor: float, is_found: bool) -> None:
    """Theory: weights times f make gradient / weight f^-2 of what it was; the limit is e^-10.5, f = 190."""
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU()) for _ in range(5)]
    model = nn.Sequential(*blocks, nn.Linear(32, 4))
    before = initsuite.diagnose(model, (X, torch.arange(16) % 4))
    assert before.is_healthy
    with torch.no_grad():
        model[2][0].weight *= factor
        model[2][0].bias *= factor
    after = initsuite.diagnose(model, (X, torch.arange(16) % 4))
    change = after.layers["gradient_to_weight"][2] / before.layers["gradient_to_weight"][2]
    assert change == pytest.approx(factor**-2, rel=0.01)
    assert after.is_healthy != is_found
    if is_found:
        assert list(after.verdicts[["verdict", "direction", "layer"]].iloc[0]) == ["vanishing", "backward", "2.0"]
        assert "no learning rate moves both" in str(after)
