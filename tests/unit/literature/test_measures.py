"""What is measured at the start, on networks whose numbers are known."""

from __future__ import annotations

import math
from typing import Any

import pytest

from initsuite.literature.claim import Starts
from initsuite.literature.running import measured

EXACT = 1e-5
"""Rounding of float32 over a few layers."""


@pytest.fixture
def mean_of(make_job) -> Any:
    """The mean over draws of each column that a measure gives for a cell."""

    def mean_of(measure: str, *overrides: str, draws: int = 2) -> dict[str, float]:
        table = measured(make_job(*overrides).cell, Starts(measures=(measure,), draws=draws))
        assert len(table) == draws
        return table.drop(columns=["cell", "seed", "measures", "config"]).mean().to_dict()

    return mean_of


def test_an_orthogonal_linear_network_changes_nothing(mean_of) -> None:
    line = "model.depth=4", "model.width=64", "activation=identity", "init=orthogonal"
    found = mean_of("signal", *line)
    assert found["ln_q_per_layer"] == pytest.approx(0, abs=EXACT)
    assert 0.5 * found["activation_std"] < found["difference_std"] < found["activation_std"]
    found = mean_of("gradients", *line)
    assert found["gradient_top_to_bottom"] == pytest.approx(1, abs=1e-4)
    assert found["ln_gradient_growth"] == pytest.approx(0, abs=1e-4)
    assert mean_of("weight_spectrum", *line, "init.gain=0.5")["singular_mean"] == pytest.approx(0.5, abs=EXACT)
    same = "dataset=teacher", "dataset.num_features=64", "dataset.num_outputs=64"
    assert mean_of("jacobian", *line, *same)["spread"] == pytest.approx(0, abs=1e-8)


def test_halved_weights_halve_the_signal_in_each_layer(mean_of) -> None:
    found = mean_of("signal", "model.depth=5", "activation=identity", "init=orthogonal", "init.gain=0.5")
    assert found["ln_q_per_layer"] == pytest.approx(-2 * math.log(2), abs=EXACT)


def test_one_gaussian_layer_spreads_its_spectrum_by_one(mean_of) -> None:
    """Var[s^2] / E[s^2]^2 of a square Gaussian matrix is 1 (Marchenko and Pastur); of two in a row it is 2."""
    line = "activation=identity", "init=lecun", "dataset=teacher", "dataset.num_features=100", "dataset.num_outputs=100"
    found = mean_of("jacobian", *line, "model.depth=1", "model.width=100", draws=6)
    assert found["spread"] == pytest.approx(2, rel=0.1)


def test_kernels_at_the_centre_keep_every_norm(mean_of) -> None:
    line = "model=cnn", "model.channels=[4,4]", "model.stride=1", "model.padding=circular", "activation=tanh"
    assert mean_of("convolution_spectrum", *line, "init=delta_orthogonal")["singular_deviation"] < EXACT
    assert mean_of("convolution_spectrum", *line, "init=lecun")["singular_deviation"] > 0.3


def test_a_network_of_zeros_is_born_dead_and_a_linear_one_is_not(mean_of) -> None:
    assert mean_of("born_dead", "init=zero")["born_dead"] == 1
    assert mean_of("born_dead", "init=he", "activation=identity")["born_dead"] == 0


def test_branches_that_start_at_nothing_leave_the_stream_alone(mean_of) -> None:
    found = mean_of("stream", "model=residual_mlp", "init=skipinit")
    assert found["ln_stream_growth"] == pytest.approx(0, abs=1e-6)
    assert found["stream_added"] == 0
    grown = mean_of("stream", "model=residual_mlp", "model.depth=6", "model.width=256", "init=he")["ln_stream_growth"]
    assert grown == pytest.approx(6 * math.log(3), rel=0.1)  # each block adds twice what is there: 2 x 2 x 1/2


def test_correlations_follow_the_maps_of_theory(mean_of) -> None:
    line = "model.depth=16", "model.width=400", "activation=tanh", "init=he_random_biases", "init.bias_std=0.2236"
    found = mean_of("correlation", *line, "init.gain=1.1832", draws=4)
    assert found["correlation_decay_theory"] < -0.05
    assert found["correlation_decay"] == pytest.approx(found["correlation_decay_theory"], rel=0.15)


def test_a_curve_grows_as_chi_says(mean_of) -> None:
    line = "model.depth=8", "model.width=400", "activation=tanh", "init=he_random_biases", "init.bias_std=0.3"
    found = mean_of("curve_length", *line, "init.gain=2.5", draws=3)
    assert found["ln_length_per_layer"] == pytest.approx(found["ln_length_theory"], rel=0.15)


def test_the_first_steps_change_what_they_can(mean_of) -> None:
    line = "model.depth=2", "activation=relu", "optimizer=adam"
    wide = [mean_of("coordinates", *line, f"model.width={width}", "init=lecun")["hidden_change"] for width in (32, 512)]
    assert wide[1] > 2 * wide[0]
    ranks = [
        mean_of("rank_after", "model.widths=[64,128,128]", f"init={init}")["rank_of_change"]
        for init in ("identity", "he")
    ]
    assert ranks[0] <= 64 < ranks[1]
