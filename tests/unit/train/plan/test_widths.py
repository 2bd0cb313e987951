"""The choice of width and workers, on machines whose cost is known because the test makes it up."""

import math
from itertools import product

import pytest
import torch

from initsuite.train.plan.widths import (
    MEASURING_SHARE,
    WORKER_START_S,
    Speed,
    bytes_a_trial,
    choose,
    measure,
    memory_limit,
    step_seconds,
    unmeasured,
    widths_for,
)

WIDTHS = (1, 4, 16, 32, 64, 128)


def machine(overhead: float, each: float, workers: int = 1, threads: int = 2) -> list[Speed]:
    """A step costs overhead + each x width seconds."""
    return [Speed(width, workers, threads, overhead + each * width) for width in WIDTHS]


def test_a_workload_with_overhead_is_stacked_as_wide_as_it_may() -> None:
    choice = choose(machine(2e-3, 1e-4), 105, 600, max_width=1000)
    assert (choice.num_stacks, choice.width, choice.workers) == (1, 105, 1)
    assert choice.seconds == pytest.approx(600 * (2e-3 + 105e-4))
    assert choose(machine(2e-3, 1e-4), 105, 600, max_width=50).width == 35


def test_a_workload_that_gains_nothing_is_trained_one_by_one() -> None:
    assert choose(machine(0.0, 1e-2), 30, 1290, max_width=1000).width == 1


def test_workers_are_chosen_where_they_gain_and_all_of_them_have_work() -> None:
    here, there = machine(0.0, 1e-2), machine(0.0, 1.2e-2, workers=2, threads=1)
    choice = choose([*here, *there], 31, 1290, max_width=1000)
    assert (choice.workers, choice.threads) == (2, 1)
    both = choose(machine(1e-3, 1e-3, workers=2, threads=1), 31, 1290, max_width=1000)
    assert (both.num_stacks, both.width) == (2, 16)
    assert choice.seconds < 0.7 * choose(here, 31, 1290, max_width=1000).seconds
    assert choose([*here, *there], 2, 20, max_width=1000).workers == 1  # their start costs more than they save
    assert choose([*here, *there], 31, 1290, max_width=1000, workers=1).workers == 1
    assert choose(here, 31, 1290, max_width=1000, workers=2) is None


@pytest.mark.parametrize(("overhead", "each"), list(product((0.0, 1e-3, 1e-2), (1e-5, 1e-3, 1e-1))))
def test_measuring_included_it_is_never_much_slower_than_one_by_one(overhead, each) -> None:
    """From 200 steps on, whatever a step costs: the promise is 5 %."""
    spent = 0.0

    def step_s(width: int, steps: int) -> float:
        nonlocal spent
        spent += steps * (overhead + each * width)
        return overhead + each * width

    for num_trials in (2, 5, 30, 200):
        spent = 0.0
        speeds = measure(step_s, widths_for("cpu", num_trials, 1000), 1, 2, num_trials, 200)
        chosen = choose(speeds, num_trials, 200, max_width=1000)
        one_by_one = 200 * num_trials * (overhead + each)
        assert spent <= (MEASURING_SHARE + 3 / 200 / num_trials) * one_by_one
        width = chosen.width
        assert spent + chosen.num_stacks * 200 * (overhead + each * width) <= 1.05 * one_by_one


def test_a_width_that_gets_worse_ends_the_search() -> None:
    seen = []

    def step_s(width: int, steps: int) -> float:
        seen.append(width)
        return width * (1.0 if width < 16 else 1.5)

    measure(step_s, WIDTHS, 1, 2, 10_000, 1000)
    assert seen == [1, 4, 16]


def test_seconds_between_and_beyond_the_measured_widths() -> None:
    speeds = [Speed(1, 1, 2, 1.0), Speed(3, 1, 2, 2.0), Speed(1, 2, 1, 9.0)]
    assert step_seconds(speeds, 2, 1, 2) == pytest.approx(1.5)
    assert step_seconds(speeds, 6, 1, 2) == pytest.approx(4.0)
    assert step_seconds(speeds, 1, 2, 1) == 9.0
    assert math.isnan(step_seconds(speeds, 1, 4, 1))


def test_worker_start_is_counted() -> None:
    choice = choose(machine(0.0, 1e-2, workers=2, threads=1), 4, 1000, max_width=1)
    assert choice.seconds == pytest.approx(WORKER_START_S + 2 * 1000 * 1e-2)


def test_with_too_little_work_convolutions_train_one_by_one(make_job) -> None:
    mlp, cnn = make_job("model=mlp").cell.workload, make_job("model=cnn").cell.workload
    assert unmeasured(mlp, 50, "cpu", 1000, 1, 2).width == 50
    assert unmeasured(cnn, 50, "cpu", 1000, 1, 2).width == 1
    assert unmeasured(cnn, 50, "cuda", 1000, 1, 2).width == 50
    assert unmeasured(mlp, 50, "cpu", 20, 1, 2).width == 17


def test_memory_counts_state_and_activations(make_job) -> None:
    """2 x 64 on 8 x 8 images: 64 64 + 64 64 + 64 10 weights, 138 biases; outputs 64 x 4 + 10, batch 64."""
    parameters, outputs = 64 * 64 * 2 + 640 + 138, 64 * 4 + 10
    assert bytes_a_trial(make_job("model=mlp").cell.workload) == 4 * (5 * parameters + 3 * 64 * outputs)
    norm = make_job("model=mlp", "model.norm=batch").cell.workload
    assert norm.model.training == make_job("model=mlp", "model.norm=batch").cell.workload.model.training
    assert bytes_a_trial(norm) > bytes_a_trial(make_job("model=mlp").cell.workload)
    assert memory_limit(torch.device("cpu")) > 1 << 20
