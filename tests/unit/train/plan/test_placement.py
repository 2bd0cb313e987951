"""The choice of width and workers, on machines whose cost is known because the test makes it up."""

import math
from types import SimpleNamespace

import pytest
from torch import nn

from initsuite.train.plan.composition import Group
from initsuite.train.plan.placement import (
    WORKER_START_S,
    Draft,
    Limits,
    Speed,
    choose,
    expected_s,
    step_seconds,
)
from initsuite.train.task import Stack

WIDTHS = (1, 4, 16, 32, 64, 128)


def ids(count: int) -> list[str]:
    return [f"trial-{index}" for index in range(count)]


def group_of(num_trials: int, num_steps: int = 600, workload=None) -> Group:
    """What `choose` needs of a group."""
    workload = workload or SimpleNamespace(model=nn.Linear(1, 1))
    return SimpleNamespace(trial_ids=ids(num_trials), num_steps=num_steps, cell=SimpleNamespace(workload=workload))  # type: ignore[return-value]


def best(speeds: list[Speed], num_trials: int, num_steps: int, max_width: int, **limits) -> Draft:
    draft = choose(speeds, group_of(num_trials, num_steps), Limits("cpu", 2, max_width, **limits))
    assert [trial_id for stack in draft.new for trial_id in stack.trial_ids] == ids(num_trials)
    return draft


def shape(draft: Draft) -> tuple[int, int, int, int]:
    """How many stacks, how wide, in how many processes of how many threads."""
    ((workers, threads),) = {(stack.workers, stack.threads) for stack in draft.new}
    return len(draft.new), max(len(stack.trial_ids) for stack in draft.new), workers, threads


def machine(overhead: float, each: float, workers: int = 1, threads: int = 2) -> list[Speed]:
    """A step costs overhead + each x width seconds."""
    return [Speed(width, workers, threads, overhead + each * width) for width in WIDTHS]


def test_a_workload_with_overhead_is_stacked_as_wide_as_it_may() -> None:
    draft = best(machine(2e-3, 1e-4), 105, 600, max_width=1000)
    assert shape(draft) == (1, 105, 1, 2)
    assert draft.seconds == pytest.approx(600 * (2e-3 + 105e-4))
    assert shape(best(machine(2e-3, 1e-4), 105, 600, max_width=50)) == (3, 35, 1, 2)


def test_a_workload_that_gains_nothing_is_trained_one_trial_at_a_time() -> None:
    assert shape(best(machine(0.0, 1e-2), 30, 1290, max_width=1000)) == (30, 1, 1, 2)


def test_workers_are_chosen_where_they_gain_and_all_of_them_have_work() -> None:
    here, there = machine(0.0, 1e-2), machine(0.0, 1.2e-2, workers=2, threads=1)
    draft = best([*here, *there], 31, 1290, max_width=1000)
    assert shape(draft)[2:] == (2, 1)
    both = best(machine(1e-3, 1e-3, workers=2, threads=1), 31, 1290, max_width=1000)
    assert shape(both) == (2, 16, 2, 1)
    assert draft.seconds < 0.7 * best(here, 31, 1290, max_width=1000).seconds
    few = best([*here, *there], 2, 20, max_width=1000)
    assert shape(few)[2] == 1  # their start costs more than they save
    assert shape(best([*here, *there], 31, 1290, max_width=1000, workers=1))[2] == 1
    assert math.isnan(best(here, 31, 1290, max_width=1000, workers=2).seconds), "nothing was measured for two processes"


def test_processes_of_one_machine_share_its_memory() -> None:
    many = [Speed(width, 16, 1, 1e-3 + 1e-5 * width) for width in (1, 16, 128)]
    assert shape(best(many, 2000, 1000, max_width=128, is_shared=True))[1] <= 8
    assert shape(best(many, 2000, 1000, max_width=128))[1] > 100


def test_seconds_between_and_beyond_the_measured_widths() -> None:
    speeds = [Speed(1, 1, 2, 1.0), Speed(3, 1, 2, 2.0), Speed(1, 2, 1, 9.0)]
    assert step_seconds(speeds, 2, 1, 2) == pytest.approx(1.5)
    assert step_seconds(speeds, 6, 1, 2) == pytest.approx(4.0)
    assert step_seconds(speeds, 1, 2, 1) == 9.0
    assert math.isnan(step_seconds(speeds, 1, 4, 1))
    stacks = [Stack(("a", "b"), 2, 1, "cpu"), Stack(("c",), 1, 2, "cpu")]
    assert expected_s(stacks, speeds, 10) == pytest.approx(10 * 1.5 + 10 * 9.0 / 2)
    assert math.isnan(expected_s([Stack(("a",), 1, 4, "cpu")], speeds, 10))


def test_worker_start_is_counted() -> None:
    draft = best(machine(0.0, 1e-2, workers=2, threads=1), 4, 1000, max_width=1)
    assert draft.seconds == pytest.approx(WORKER_START_S + 2 * 1000 * 1e-2)


def test_with_too_little_work_convolutions_train_one_at_a_time(make_job) -> None:
    mlp, cnn = make_job("model=mlp").cell.workload, make_job("model=cnn").cell.workload
    for workload, limits, width in (
        (mlp, Limits("cpu", 2, 1000), 50),
        (cnn, Limits("cpu", 2, 1000), 1),
        (cnn, Limits("cuda", 2, 1000), 50),
        (mlp, Limits("cpu", 2, 20), 17),
    ):
        draft = choose([], group_of(50, workload=workload), limits)
        assert shape(draft)[1:] == (width, 1, 2)
        assert math.isnan(draft.seconds)
    assert shape(choose([], group_of(50, workload=mlp), Limits("cpu", 8, 20, workers=3))) == (3, 17, 3, 2)
