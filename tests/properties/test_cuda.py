"""On a GPU: the same numbers, and a step loop that never waits for the device."""

import numpy as np
import pytest
import torch

from initsuite.engine.loop import Training, train_stack
from initsuite.engine.stack import Member, start_of
from initsuite.spec import Stage

FLOAT64_20_STEPS = 1e-9
"""Rounding of 1e-16 a sum, in another order on another device."""
SETUPS = [
    ("model=mlp", "optimizer=sgd"),
    ("model=mlp", "model.norm=batch", "optimizer=adam"),
    ("model=cnn", "model.norm=batch", "optimizer=sgd"),
]
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")


def members(make_job, setup) -> list[Member]:
    cell = make_job("init=he", *setup, "max_steps=20", "eval_every=5").cell
    trials = [cell.trial(1e-3, seed, Stage.SCORE) for seed in (0, 1, 1)]
    return [Member(cell, trial, *start_of(cell.workload, cell.initializer, trial.seed)) for trial in trials]


@pytest.mark.parametrize("setup", SETUPS, ids="-".join)
@pytest.mark.parametrize("index", range(torch.cuda.device_count()))
def test_the_numbers_are_those_of_the_cpu(make_job, setup, index: int) -> None:
    stack = members(make_job, setup)
    here = train_stack(stack, dtype=torch.float64)
    there = train_stack(stack, dtype=torch.float64, device=f"cuda:{index}")
    for one, other in zip(here, there, strict=True):
        assert other.device == f"cuda:{index}"
        np.testing.assert_allclose(other.curve.val_loss, one.curve.val_loss, atol=FLOAT64_20_STEPS)
        np.testing.assert_allclose(other.curve.train_loss, one.curve.train_loss, atol=FLOAT64_20_STEPS)


@pytest.mark.parametrize("setup", SETUPS, ids="-".join)
def test_no_step_waits_for_the_device(make_job, setup) -> None:
    training = Training(members(make_job, setup), torch.device("cuda"), torch.float32)
    training.take_step()  # the first one sets up
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            training.take_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
