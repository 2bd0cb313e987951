"""Stacks that train at the same time in Python threads do not feel each other."""

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from initsuite.engine.loop import train_stack
from initsuite.engine.stack import Member, start_of
from initsuite.spec import Evaluation, Stage, TrialResult
from initsuite.train.events import Event, Finished
from initsuite.train.executor import Executor
from initsuite.train.plan.placement import Place
from initsuite.train.pools import Pools
from initsuite.train.task import Stack, Task

MODELS = {
    "mlp": ("model=mlp", "optimizer=sgd"),
    "mlp-batch": ("model=mlp", "model.norm=batch", "optimizer=adam"),
    "cnn": ("model=cnn", "optimizer=sgd"),
    "cnn-batch": ("model=cnn", "model.norm=batch", "optimizer=adam"),
    "rnn": ("model=rnn", "model.width=16", "activation=tanh", "optimizer=sgd"),
}
REPEATS = 3


def bits(results: Sequence[TrialResult]) -> np.ndarray:
    """[trial, number]: all that training measures."""
    return np.array([[*r.curve.train_loss, *r.curve.val_loss, *r.curve.val_score, r.test_score] for r in results])


@pytest.mark.parametrize("names", [("mlp", "mlp"), ("mlp-batch", "mlp-batch"), ("cnn", "rnn"), ("cnn-batch",) * 2])
def test_two_stacks_at_once_give_the_bits_of_one_after_the_other(make_job, names) -> None:
    """Two of one workload would share its model, whose parameters are swapped in every forward pass."""
    stacks = []
    for first, name in enumerate(names):
        cell = make_job("init=he", *MODELS[name], "max_steps=20", "eval_every=5").cell
        seeds = [first, first + 1]
        starts = [start_of(cell.workload, cell.initializer, seed) for seed in seeds]
        trials = [cell.trial(0.01, seed, Stage.SCORE) for seed in seeds]
        stacks.append([Member(cell, trial, *start) for trial, start in zip(trials, starts, strict=True)])
    alone = [bits(train_stack(stack)) for stack in stacks]
    assert not np.array_equal(alone[0], alone[1])
    for _ in range(REPEATS):
        together = threading.Barrier(2, timeout=30)

        def train(stack: Sequence[Member], together: threading.Barrier = together) -> np.ndarray:
            def meet(evaluation: Evaluation) -> None:
                together.wait()

            return bits(train_stack(stack, on_evaluation=meet))

        with ThreadPoolExecutor(2) as pool:
            for expected, got in zip(alone, pool.map(train, stacks), strict=True):
                assert np.array_equal(expected, got)


class Alone(nn.Module):
    """A user's model that no other can be made of; notes how many threads are in its `forward`, and what it ran."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.lock, self.threads = model, threading.Lock(), 0
        self.together: list[int] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.threads += 1
        try:
            outputs = self.model(inputs)
            self.together.append(self.threads)
            return outputs
        finally:
            self.threads -= 1


@pytest.mark.parametrize("law", ["he", "lsuv"])
def test_stacks_of_a_model_that_cannot_be_copied_train_one_at_a_time(make_job, law) -> None:
    """Beside stacks of another workload, which wait meanwhile; no worker process can be sent such a model."""
    cells = [make_job(f"init={law}", *MODELS[name], "max_steps=20", "eval_every=2").cell for name in ("mlp", "cnn")]
    plain, other = cells[0], replace(cells[1], cell_id="other")
    specs = tuple(replace(spec, name=f"model.{spec.name}") for spec in plain.workload.specs)
    model = Alone(plain.workload.model)
    bound = replace(plain, cell_id="bound", workload=replace(plain.workload, model=model, specs=specs))
    assert not bound.workload.can_be_shared
    order = [bound, other, bound, bound, other, bound]
    trials = [cell.trial(0.01, seed, Stage.SCORE) for seed, cell in enumerate(order)]
    tasks = [Task(Stack((trial.trial_id,), "cpu"), (trial,)) for trial in trials]
    found: list[list[TrialResult]] = []
    said: list[str] = []
    with Pools(Executor({cell.cell_id: cell for cell in order}, "cpu", None, math.inf), ["cpu"], said.append) as pools:
        for place in (Place(1), Place(3), Place(3, are_processes=True)):
            results: dict[str, TrialResult] = {}

            def emit(event: Event, results: dict[str, TrialResult] = results) -> None:
                if isinstance(event, Finished):
                    results |= {result.trial.trial_id: result for result in event.results}

            pools.get(place).run(iter(tasks), emit, lambda task: None)
            found.append([results[trial.trial_id] for trial in trials])
    assert [result.error for results in found for result in results] == [""] * 18
    assert np.array_equal(bits(found[0]), bits(found[1]))
    assert np.array_equal(bits(found[0]), bits(found[2]))
    assert set(model.together) == {1}
    assert "Training in one process" in said[0]


def test_the_values_that_a_model_is_lent_are_taken_back(make_job) -> None:
    """Those of a seed, for the parameters without specs; also where the initializer raises."""
    cell = make_job("activation=prelu").cell
    model = cell.workload.model
    name = cell.workload.kept[0]
    before = model.get_parameter(name).clone()
    seen = []

    def law(model, specs, *, seed, probe=None):
        seen.append(float(model.get_parameter(name).detach().mean()))
        raise ArithmeticError("planted")

    workload = replace(cell.workload, own_values=lambda seed: {name: torch.full_like(before, 10.0 + seed)})
    for seed in range(2):
        with pytest.raises(ArithmeticError, match="planted"):
            start_of(workload, law, seed)
    assert seen == [10.0, 11.0]
    assert torch.equal(model.get_parameter(name), before)


def test_the_number_of_threads_changes_no_bit(make_job) -> None:
    cell = make_job("init=he", "model.width=256", "max_steps=10", "eval_every=5").cell
    members = [
        Member(cell, cell.trial(0.01, seed, Stage.SCORE), *start_of(cell.workload, cell.initializer, seed))
        for seed in range(8)
    ]
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(bits(train_stack(members)))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*found)
