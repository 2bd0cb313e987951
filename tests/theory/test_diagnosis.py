"""Measured signals against closed forms and against mean-field theory, and theory against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import initsuite
from initsuite.activations import activation
from initsuite.init import Orthogonal, VarianceScaling
from initsuite.init.theory.edge_of_chaos import edge_of_chaos
from initsuite.models.mlp import Mlp
from initsuite.signal.theory import MeanField, scales

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(4, 1000, generator=GENERATOR)


def mlp(depth: int, phi: str, width: int = 1000) -> nn.Module:
    return Mlp((1000,), 10, activation(phi), depth=depth, width=width)


def test_he_keeps_the_signal_of_relu_through_50_layers() -> None:
    """Within the band that theory gives for finite width: Var[log q] grows by 5 / width a layer."""
    layers = initsuite.diagnose(mlp(50, "relu"), X, init="he", draws=2).layers.iloc[:50]
    q = layers["q"].to_numpy() / layers["q"].iloc[0]
    band = np.sqrt(5 / 1000 * np.arange(50) + 2 / 1000)
    assert (np.abs(np.log(q)) < 3 * band).all()
    np.testing.assert_allclose(layers["q_band"], band, rtol=0.1)  # the first layer has no layer before it
    assert (layers["theory"] == "yes").all()


def test_xavier_halves_the_signal_of_relu_in_every_layer() -> None:
    diagnosis = initsuite.diagnose(mlp(20, "relu"), X, init="xavier", draws=2)
    assert diagnosis.verdicts["rate"][0] == pytest.approx(0.5, rel=0.03)  # 20 layers of a relative error of 7 % each
    assert (diagnosis.verdicts["verdict"][0], diagnosis.verdicts["layer"][0]) == ("vanishing", "layers.linear1")
    # q = 2 x 0.5^30: float16 holds numbers from 6.1e-5, the root of 3.7e-9: 28 layers
    assert diagnosis.verdicts["float16"][0] == pytest.approx(28, abs=1)


@pytest.mark.parametrize(
    ("phi", "init"),
    [
        ("relu", "he"), ("leaky_relu", "he"), ("tanh", "critical"), ("gelu", "lecun"), ("silu", "lecun"),
        ("elu", "lecun"), ("selu", "lecun"), ("sigmoid", "xavier"), ("softplus", "lecun"), ("erf", "lecun"),
        ("hardtanh", "lecun"), ("mish", "lecun"), ("softsign", "he"),
    ],
)  # fmt: skip
def test_theory_and_measurement_agree(phi: str, init: str) -> None:
    """q, c and chi of 6 layers, within 4 standard errors of 8 draws, and the 1 % that a width of 1,000 is off by."""
    layers = initsuite.diagnose(mlp(6, phi), X, init=init).layers.iloc[:6]
    for column in ("q", "c", "chi"):
        rows = layers[layers[f"{column}_theory"].notna() & layers[column].notna()]
        assert len(rows) >= 5
        error = 4 * rows[f"{column}_noise"] + 0.01 * rows[f"{column}_theory"].abs() + (0.02 if column == "c" else 0)
        assert ((rows[column] - rows[f"{column}_theory"]).abs() < error).all(), column


def test_the_relu_correlation_map_is_the_arc_cosine_kernel() -> None:
    """Cho & Saul 2009: (sqrt(1 - c^2) + c (pi - arccos c)) / pi."""
    field = MeanField(activation("relu"), math.sqrt(2), 0.0)
    for c in (0.0, 0.3, 0.9):
        expected = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi
        assert field.c_map(2.0, c) == pytest.approx(expected, abs=2e-4)  # a kink inside of a panel


def test_the_erf_correlation_map_is_the_arc_sine_kernel() -> None:
    """Williams 1997: E[erf(u) erf(v)] = 2 / pi arcsin(2 q c / (1 + 2 q))."""
    field = MeanField(activation("erf"), 1.0, 0.0)
    assert field.covariance(1.5, 1.5, 0.4) == pytest.approx(2 / math.pi * math.asin(2 * 0.6 / 4), abs=1e-9)


@pytest.mark.parametrize("sigma_b", [0.1, 0.5])
def test_tanh_on_its_critical_line(sigma_b: float) -> None:
    """chi_1 = 1, c* = 1, infinite depth scales of correlation and gradient."""
    point = edge_of_chaos(activation("tanh"), sigma_b=sigma_b)
    found = scales(MeanField(activation("tanh"), point.sigma_w, point.sigma_b), 1.0)
    assert found.q == pytest.approx(point.q, rel=1e-6)
    assert found.chi_1 == pytest.approx(1, abs=1e-6)
    assert (found.c, found.xi_c, found.xi_gradient, found.trainable_depth) == (1.0, math.inf, math.inf, math.inf)


def test_depth_scales_off_the_critical_line() -> None:
    """Ordered: c* = 1 and xi_c = xi_gradient. Chaotic: c* < 1, and gradients grow."""
    ordered = scales(MeanField(activation("tanh"), 0.9, 0.3))
    assert ordered.c == 1.0
    assert ordered.xi_c == ordered.xi_gradient == pytest.approx(-1 / math.log(ordered.chi_1))
    chaotic = scales(MeanField(activation("tanh"), 2.5, 0.3))
    assert chaotic.chi_1 > 1
    field = MeanField(activation("tanh"), 2.5, 0.3)
    assert field.c_map(chaotic.q, chaotic.c) == pytest.approx(chaotic.c, abs=1e-6)
    # the distance from c* shrinks by e in xi_c layers
    c, start = chaotic.c + 0.01, 0.01
    for _ in range(5):
        c = field.c_map(chaotic.q, c)
    assert (c - chaotic.c) / start == pytest.approx(math.exp(-5 / chaotic.xi_c), rel=0.05)
    relu = scales(MeanField(activation("relu"), 1.0, 0.0))  # Xavier: halves
    assert relu.xi_gradient == pytest.approx(1 / math.log(2))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_jacobian_of_deep_linear_networks(depth: int) -> None:
    """Pennington et al. 2017: Var[s^2] / E[s^2]^2 is L for L Gaussian layers, 0 for orthogonal ones."""
    model = nn.Sequential(*[nn.Linear(300, 300, bias=False) for _ in range(depth)])
    x = torch.randn(2, 300, generator=GENERATOR)
    gaussian = initsuite.diagnose(model, x, init=VarianceScaling(gain=1.0), draws=1, jacobian=True)
    whole = gaussian.whole.set_index("measure")["value"]
    assert whole["jacobian_spread"] == pytest.approx(depth, rel=0.15)  # 300 singular values
    assert len(gaussian.spectrum) == 300
    orthogonal = initsuite.diagnose(model, x, init=Orthogonal(), draws=1, jacobian=True)
    assert orthogonal.whole.set_index("measure")["value"]["jacobian_spread"] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(orthogonal.spectrum["singular_value"], 1, atol=1e-4)


def test_a_large_jacobian_is_approximated_within_its_error() -> None:
    """Rank 30 and 700 outputs: the range finder has all of it; full rank: within the bound that it gives."""
    for rank in (30, 700):
        model = nn.Sequential(nn.Linear(600, rank, bias=False), nn.Linear(rank, 700, bias=False))
        found = initsuite.diagnose(model, torch.randn(2, 600), jacobian=True)
        weights = [each.detach().double() for each in model.parameters()]
        exact = torch.linalg.svdvals(weights[1] @ weights[0])[:40].numpy()
        error = found.whole.set_index("measure")["value"]["jacobian_error"]
        assert (np.abs(found.spectrum["singular_value"].to_numpy() - exact) <= error + 1e-5).all()
        assert error < 1e-4 or rank == 700


def test_the_curvature_of_least_squares() -> None:
    """The Hessian of |W x - y|^2 / entries is 2 / entries X^T X for each output."""
    model = nn.Linear(12, 3, bias=False)
    x, y = torch.randn(50, 12, generator=GENERATOR), torch.randn(50, 3, generator=GENERATOR)
    found = initsuite.diagnose(model, (x, y), curvature=True).whole.set_index("measure")["value"]
    exact = float(torch.linalg.eigvalsh(2 / 150 * x.double().T @ x.double())[-1])
    assert found["curvature"] == pytest.approx(exact, rel=0.02)  # a power iteration that stops at 0.1 %


def test_the_partial_jacobian_norm_of_a_residual_branch() -> None:
    """Of x + W x with Var[w] = 1 / width: 1 + 1."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner, self.outer = nn.Linear(400, 400), nn.Linear(400, 400), nn.Linear(400, 400)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.first(x)
            return h + self.outer(self.inner(h))

    blocks = initsuite.diagnose(Block(), torch.randn(8, 400), init=VarianceScaling(gain=1.0), draws=4).blocks
    assert len(blocks) == 1
    assert blocks["jacobian_norm"][0] == pytest.approx(2, rel=0.05)
