"""Resume = uninterrupted: a stack that goes on from a checkpoint ends with the same bits."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from initsuite.config.build import Job
from initsuite.engine.checkpoint import Checkpoint
from initsuite.engine.loop import train_stack
from initsuite.engine.rehearsal import pace, rehearse
from initsuite.engine.stack import Member, start_of
from initsuite.spec import Evaluation, Stage, TrialResult

SETUPS = [
    ("model=mlp", "optimizer=sgd"),
    ("model=mlp", "optimizer=sgd", "optimizer.nesterov=true"),
    ("model=mlp", "model.norm=batch", "optimizer=adam"),
    ("model=mlp", "optimizer=adamw"),
    ("model=cnn", "model.norm=batch", "optimizer=sgd"),
]
NUM_EVALUATIONS = 4


class Interrupt(Exception):
    """Stands for whatever ends a training."""


def stack(job: Job) -> list[Member]:
    """Three trials that stay and one that diverges."""
    trials = [job.cell.trial(lr, seed, Stage.SCORE) for lr, seed in ((1e-3, 0), (3e-3, 1), (1e-2, 0), (1e12, 1))]
    cell = job.cell
    return [Member(cell, trial, *start_of(cell.workload, cell.initializer, trial.seed)) for trial in trials]


def numbers(results: Sequence[TrialResult]) -> list[np.ndarray]:
    """All that a trial says but times."""
    curves = [np.stack([r.curve.step, r.curve.train_loss, r.curve.val_loss, r.curve.val_score]) for r in results]
    return [*curves, np.array([[r.test_score, r.diverged_at or 0] for r in results])]


def interrupt_after(count: int, seen: list[Evaluation]) -> Callable[[Evaluation], None]:
    def note(evaluation: Evaluation) -> None:
        seen.append(evaluation)
        if len(seen) == count:
            raise Interrupt

    return note


@pytest.mark.slow
@pytest.mark.parametrize("setup", SETUPS, ids="-".join)
def test_interrupted_at_each_evaluation_it_ends_with_the_same_bits(make_job, tmp_path: Path, setup) -> None:
    job = make_job("init=he", *setup, "max_steps=22", "eval_every=6")
    members = stack(job)
    whole = train_stack(members)
    assert any(result.diverged_at for result in whole)
    checkpoint = Checkpoint(tmp_path / "stack.pt", 0.0, {"stack_id": "a"})
    for count in range(1, NUM_EVALUATIONS + 1):
        with pytest.raises(Interrupt):
            train_stack(members, on_evaluation=interrupt_after(count, []), checkpoint=checkpoint)
    seen: list[Evaluation] = []
    resumed = train_stack(members, on_evaluation=seen.append, checkpoint=checkpoint)
    assert [evaluation.step for evaluation in seen] == [6, 12, 18, 22]
    for one, other in zip(numbers(resumed), numbers(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_resumed_stack_takes_only_the_steps_that_are_left(make_job, tmp_path: Path, monkeypatch) -> None:
    members = stack(make_job("max_steps=22", "eval_every=6"))
    checkpoint = Checkpoint(tmp_path / "stack.pt", 0.0, {})
    with pytest.raises(Interrupt):
        train_stack(members, on_evaluation=interrupt_after(3, []), checkpoint=checkpoint)
    taken = []
    monkeypatch.setattr("initsuite.engine.monitor.Monitor.add", lambda self, loss, step: taken.append(step))
    train_stack(members, checkpoint=checkpoint)
    assert taken == [19, 20, 21, 22]


def test_the_time_before_an_interruption_counts(make_job, tmp_path: Path) -> None:
    members = stack(make_job("max_steps=12", "eval_every=6"))
    checkpoint = Checkpoint(tmp_path / "stack.pt", 0.0, {})
    train_stack(members, checkpoint=checkpoint)
    stored = torch.load(checkpoint.path, weights_only=True)
    stored["snapshot"]["wall_s"] = 1000.0
    torch.save(stored, checkpoint.path)
    assert train_stack(members, checkpoint=checkpoint)[0].wall_s > 1000.0 / len(members)


def test_a_checkpoint_of_another_shape_is_not_used(make_job, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "stack.pt", 0.0, {"stack_id": "a"})
    members = stack(make_job("max_steps=6", "eval_every=6"))
    train_stack(members, checkpoint=checkpoint)
    with pytest.warns(UserWarning, match="of another layout. The stack starts over"):
        narrower = train_stack(members[:2], checkpoint=checkpoint)
    for one, other in zip(numbers(narrower), numbers(train_stack(members[:2])), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_rehearsal_takes_steps_and_changes_nothing(make_job) -> None:
    job = make_job("model.norm=batch", "max_steps=6", "eval_every=6")
    members = stack(job)
    before = numbers(train_stack(members))
    rehearse([members[0]] * 3)
    assert min(pace([members[0]] * 3)) > 0
    for one, other in zip(numbers(train_stack(members)), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("where", ["training", "evaluation"])
def test_a_rehearsal_finds_what_is_broken(make_job, monkeypatch, where: str) -> None:
    job = make_job("max_steps=6", "eval_every=6")
    model = job.cell.workload.model
    right = type(model).forward

    def broken(self, inputs):
        if self.training == (where == "training"):
            raise RuntimeError(f"broken in {where}")
        return right(self, inputs)

    monkeypatch.setattr(type(model), "forward", broken)
    with pytest.raises(RuntimeError, match=f"broken in {where}"):
        rehearse(stack(job)[:1])
