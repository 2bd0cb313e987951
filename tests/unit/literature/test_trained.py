"""Trials as evidence, and what theory says of their cells."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init.theory.edge_of_chaos import edge_of_chaos
from initsuite.literature.theory import PREDICTORS, MeanField
from initsuite.literature.trained import MEASURES, peak, trained_evidence
from initsuite.results.columns import TRIALS as TRIAL_COLUMNS

DIGITS = {
    "name": "digits", "metric": "accuracy", "direction": "max", "chance": 0.1,
    "levels": {"easy": 0.8, "primary": 0.9, "hard": 0.98},
}  # fmt: skip
FIT = {**DIGITS, "name": "adding", "metric": "mse", "direction": "min", "chance": 1 / 6,
       "levels": {"easy": 0.1, "primary": 0.09, "hard": 0.088}}  # fmt: skip


def rows(dataset: dict[str, Any], *trials: tuple[str, float, int, str, float], **columns: Any) -> pd.DataFrame:
    """(init, lr, seed, stage, score); a score of NaN is a diverged trial."""
    found = []
    for init, lr, seed, stage, score in trials:
        config = {
            "dataset": dataset, "init": {"name": init, "gain": 1.5}, "model": {"name": "mlp", "depth": 4, "width": 8},
            "optimizer": {"name": "sgd", "lr_grid": [0.01, 0.1, 1.0]}, "max_steps": 500,
        }  # fmt: skip
        found.append({
            "cell_id": init, "lr": lr, "seed": seed, "stage": stage, "protocol_version": 2,
            "config": json.dumps(config),
            "overrides": json.dumps({"workload": "deep"}), "status": "diverged" if math.isnan(score) else "done",
            "test_score": score, "final_val_score": score, "steps_to_easy": 40.0, "steps_to_target": math.nan,
            "steps_to_hard": math.nan, **columns,
        })  # fmt: skip
    return pd.DataFrame(found)


TRIALS = rows(
    DIGITS,
    ("he", 0.01, 10_000, "tune", 0.5), ("he", 0.1, 10_000, "tune", 0.9), ("he", 1.0, 10_000, "tune", 0.5),
    ("he", 0.1, 0, "score", 0.92), ("he", 0.1, 1, "score", math.nan), ("he", 1.0, 0, "score", 0.3),
)  # fmt: skip


def test_a_cell_counts_at_its_best_learning_rate_and_at_the_paper_s() -> None:
    tuned = trained_evidence(TRIALS)
    assert tuned.by_seed("score", {"init": "he"}).to_dict() == {0: 0.92, 1: 0.1}  # diverged: chance
    assert tuned.by_seed("trains", {"workload": "deep"}).to_dict() == {0: 1.0, 1: 0.0}
    assert tuned.by_seed("lr", {"model.depth": 4}).to_dict() == {10_000: pytest.approx(0.1)}
    assert trained_evidence(TRIALS, lr=1.0).by_seed("score", {}).to_dict() == {0: 0.3}
    for none in (TRIALS.iloc[:0], TRIALS[TRIALS.stage == "tune"]):  # interrupted before anything was scored
        assert trained_evidence(none).by_seed("score", {}).empty


def test_steps_that_were_not_reached_are_censored_at_the_budget() -> None:
    evidence = trained_evidence(TRIALS)
    assert evidence.of("steps", {})["value"].tolist() == [math.inf, math.inf]
    assert evidence.by_seed("steps", {}, log=True).tolist() == [math.log(500)] * 2
    assert evidence.by_seed("steps_easy", {}, log=True).tolist() == [math.log(40)] * 2


def test_every_number_of_a_start_that_is_stored_can_be_asked_for() -> None:
    stored = {name: 0.5 for name in TRIAL_COLUMNS.names if name.startswith("signal_")}
    texts = {name for name in stored if pa.types.is_string(TRIAL_COLUMNS.field(name).type)}
    assert texts == {"signal_verdict", "signal_layer"}
    evidence = trained_evidence(rows(DIGITS, ("he", 0.1, 0, "score", 0.9), **stored))
    for name in stored.keys() - texts:
        assert evidence.by_seed(name, {}).to_dict() == {0: 0.5}
    assert not texts & {*MEASURES, *evidence.rows.columns}


def test_errors_are_turned_so_that_higher_is_better() -> None:
    evidence = trained_evidence(rows(FIT, ("irnn", 0.1, 0, "score", 0.01), ("irnn", 0.1, 1, "score", 0.12)))
    assert evidence.by_seed("score", {}).tolist() == [-0.01, -0.12]
    assert evidence.by_seed("decibel", {}).tolist() == pytest.approx([20, 9.208], abs=1e-3)
    assert evidence.by_seed("solved", {}).tolist() == [1.0, 0.0]


def test_theory_joins_the_facts() -> None:
    evidence = trained_evidence(TRIALS, ["reciprocal_widths"])
    assert evidence.facts["he"]["reciprocal_widths"] == pytest.approx(4 / 8)
    assert PREDICTORS["reciprocal_widths"]({"model.widths": [2, 4]})["reciprocal_widths"] == 0.75


def test_the_best_rate_lies_on_the_parabola() -> None:
    rates = np.logspace(-3, 0, 7)
    scores = -((np.log(rates) - math.log(0.05)) ** 2)
    assert peak(rates, scores) == pytest.approx(0.05)
    assert peak(rates, rates) == 1.0  # at the edge


def test_mean_field_is_that_of_the_edge_of_chaos() -> None:
    """Against the solver of `init=critical`, which searches in another way, and closed forms for ReLU."""
    point = edge_of_chaos(activation("tanh"), q=0.5)
    field = MeanField("tanh", point.sigma_w, point.sigma_b)
    assert field.q == pytest.approx(0.5, rel=1e-6)
    assert field.chi() == pytest.approx(1, rel=1e-6)
    relu = MeanField("relu", 1.2, 0.0)
    assert relu.chi() == pytest.approx(0.72, rel=1e-3)
    c = 0.3
    arc = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi  # Cho and Saul 2009, degree 1
    assert relu.next_c(c, 1.0) == pytest.approx(arc, rel=3e-3)
    with pytest.raises(ConfigError, match=r"unknown `activation`='gelu'. Expected one of: tanh, relu"):
        MeanField("gelu", 1.0, 0.0)


def test_correlation_lengths_are_those_of_schoenholz() -> None:
    """sigma_w^2 = 1.7610 is critical at sigma_b^2 = 0.05: lengths peak there, and the chaotic phase has c* < 1."""
    lengths = {
        square: PREDICTORS["correlation_length"](
            {"activation": "tanh", "init.gain": math.sqrt(square), "init.bias_std": math.sqrt(0.05), "model.depth": 60}
        )["correlation_length"]
        for square in (1.4, 1.74, 1.761, 1.78, 2.5)
    }
    assert lengths[1.4] < 12 < 100 < min(lengths[1.74], lengths[1.761], lengths[1.78])
    assert lengths[2.5] < 15
    chaotic = MeanField("tanh", math.sqrt(2.5), math.sqrt(0.05))
    assert chaotic.c < 0.9
    assert chaotic.next_c(chaotic.c) == pytest.approx(chaotic.c)
    step = 1e-4
    slope = (chaotic.next_c(chaotic.c + step) - chaotic.next_c(chaotic.c - step)) / (2 * step)
    assert -1 / math.log(slope) == pytest.approx(chaotic.correlation_length, rel=1e-3)
    assert torch.tensor(chaotic.q) > 0
