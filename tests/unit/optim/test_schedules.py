"""Schedules against torch's, in a configuration, and in training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.optim import lr_scheduler

from initsuite.config.build import Job
from initsuite.config.groups import conf_dir, identity
from initsuite.engine.checkpoint import Checkpoint
from initsuite.engine.loop import Training, train_stack
from initsuite.engine.stack import Member, start_of
from initsuite.errors import ConfigError
from initsuite.optim import Sgd
from initsuite.optim.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Scheduled,
    Warmup,
    WarmupCosine,
    schedule,
    with_schedule,
)
from initsuite.spec import PROTOCOL_VERSION, Evaluation, Stage, TrialResult, short_hash
from initsuite.train.plan.composition import groups_of

NUM_STEPS = 40
RTOL = 1e-10
"""torch multiplies its factors up from step to step in float64: 40 roundings."""
FLOAT64_RTOL = 1e-9
"""Twelve steps of training in float64 by two orders of summation; a schedule off by one step moves losses by 1e-3."""


# ---- the factor


def torch_factors(make: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, factors = make(optimizer), []
    for _ in range(NUM_STEPS):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SequentialLR calls its parts in a way that they warn of
            scheduler.step()
    return factors


def linear(optimizer: torch.optim.Optimizer) -> lr_scheduler.LinearLR:
    return lr_scheduler.LinearLR(optimizer, start_factor=1 / 8, total_iters=7)


def sequence(optimizer: torch.optim.Optimizer) -> lr_scheduler.SequentialLR:
    after = lr_scheduler.CosineAnnealingLR(optimizer, T_max=NUM_STEPS - 8, eta_min=0.1)
    return lr_scheduler.SequentialLR(optimizer, [linear(optimizer), after], milestones=[8])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Constant(), lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0)),
        (Cosine(), lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=NUM_STEPS)),
        (Cosine(final=0.1), lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=NUM_STEPS, eta_min=0.1)),
        (Warmup(warmup=0.2), linear),
        (WarmupCosine(warmup=0.2, final=0.1), sequence),
    ],
    ids=["constant", "cosine", "cosine-0.1", "warmup", "warmup_cosine"],
)
def test_the_factors_are_those_of_torch(ours, theirs) -> None:
    factors = [ours.factor(step, NUM_STEPS) for step in range(1, NUM_STEPS + 1)]
    assert factors == pytest.approx(torch_factors(theirs), rel=RTOL)
    shifted = [ours.factor(step, NUM_STEPS) for step in range(2, NUM_STEPS + 2)]
    assert isinstance(ours, Constant) or shifted != pytest.approx(torch_factors(theirs), rel=1e-3)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("max_steps", [1, 2, 3, 600])
def test_no_step_stands_still_or_exceeds_the_lr(name: str, max_steps: int) -> None:
    """A step at lr 0 would be a step of the budget lost."""
    factors = [schedule(name).factor(step, max_steps) for step in range(1, max_steps + 1)]
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1


def test_a_warm_up_over_the_whole_budget_leaves_no_step_for_the_cosine() -> None:
    assert [WarmupCosine(warmup=1.0).factor(step, 4) for step in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]


# ---- the configuration


def test_each_has_a_file_that_makes_it() -> None:
    trees = {path.stem: yaml.safe_load(path.read_text()) for path in (conf_dir() / "schedule").glob("*.yaml")}
    assert trees.keys() == SCHEDULES.keys()
    for name, tree in trees.items():
        assert tree["name"] == name
        assert schedule(**tree) == SCHEDULES[name]()  # the file shows the defaults of the class


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedule("cosin"), "unknown `name`='cosin'. Expected one of: constant, .*Did you mean `cosine`"),
        (lambda: schedule("cosine", end=0.1), "schedule=cosine: unknown `option`='end'. Expected one of: final"),
        (lambda: schedule("constant", final=0.1), r"unknown `option`='final'.*\(it has none\)"),
        (lambda: Cosine(final=-0.1), "Cosine: bad value `final`=-0.1. Expected a finite number from 0. It is a share"),
        (lambda: Cosine(final=1.5), "`final`=1.5. Expected a share of lr, 0 to 1"),
        (lambda: Warmup(warmup=0.0), "Warmup: bad value `warmup`=0.0.*Without a warm-up use schedule=constant"),
        (lambda: Warmup(warmup=2), "`warmup`=2. Expected a share of max_steps, at most 1"),
        (lambda: WarmupCosine(warmup=float("nan")), "WarmupCosine: bad value `warmup`=nan"),
        (lambda: WarmupCosine(final=True), "WarmupCosine: bad value `final`=True"),
    ],
)
def test_bad_options_are_refused(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_constant_schedule_leaves_no_trace(make_job) -> None:
    """The ids are those that there were before there were schedules."""
    for overrides in ((), ("optimizer=adam",)):
        cell = make_job(*overrides, "schedule=constant").cell
        tree = cell.config
        context = [cell.workload.workload_id, identity("optimizer", tree["optimizer"]), PROTOCOL_VERSION]
        assert cell.context_id == short_hash(context)
        assert cell.cell_id == short_hash([cell.context_id, cell.workload.workload_id, identity("init", tree["init"])])
        assert cell.axes["optimizer"] == tree["optimizer"]["name"]
        assert not isinstance(cell.optimizer, Scheduled)
        assert cell.cell_id == make_job(*overrides).cell.cell_id
    assert with_schedule(sgd := Sgd(), Constant()) is sgd


def test_a_schedule_makes_another_context(make_job) -> None:
    chosen = ["schedule=constant", "schedule=cosine", "schedule=warmup", "schedule=warmup_cosine"]
    cells = [make_job(choice).cell for choice in chosen] + [make_job("schedule=cosine", "schedule.final=0.1").cell]
    assert len({cell.context_id for cell in cells}) == len({cell.cell_id for cell in cells}) == 5
    assert len({cell.workload.workload_id for cell in cells}) == 1
    labels = ["sgd", "sgd+cosine", "sgd+warmup", "sgd+warmup_cosine", "sgd+cosine(final=0.1)"]
    assert [cell.axes["optimizer"] for cell in cells] == labels
    assert cells[-1].config["schedule"] == {"name": "cosine", "final": 0.1}
    whole = make_job("schedule=cosine", "schedule.final=0").cell
    assert whole.cell_id == cells[1].cell_id  # 0 and 0.0 are one number


def test_trials_of_different_schedules_share_no_stack(make_job) -> None:
    cells = [make_job(*more).cell for more in (("schedule=cosine",), ("schedule=cosine", "schedule.final=0.1"), ())]
    again = make_job("schedule=cosine", "init=xavier").cell
    groups = groups_of([(cell, cell.trial(0.1, 0, Stage.SCORE)) for cell in (*cells, again)])
    assert [len(group.pairs) for group in groups] == [2, 1, 1]


# ---- training


def stack(job: Job) -> list[Member]:
    cell = job.cell
    trials = [cell.trial(lr, seed, Stage.SCORE) for lr, seed in ((1e-3, 0), (3e-2, 1), (1e-1, 0))]
    return [Member(cell, trial, *start_of(cell.workload, cell.initializer, trial.seed)) for trial in trials]


def numbers(results: Sequence[TrialResult]) -> list[np.ndarray]:
    return [np.stack([r.curve.step, r.curve.train_loss, r.curve.val_loss, r.curve.val_score]) for r in results]


def torch_losses(job: Job, member: Member, factors: Sequence[float]) -> list[float]:
    """Validation loss after each step of a loop in torch, at lr times these factors."""
    training = Training([member], torch.device("cpu"), torch.float64)
    model, data = job.cell.workload.model, training.data
    params = {name: value[0].clone().requires_grad_() for name, value in training.state.params.items()}
    if job.cell.axes["optimizer"].startswith("adam"):
        optimizer: torch.optim.Optimizer = torch.optim.Adam(params.values())
    else:
        optimizer = torch.optim.SGD(params.values(), momentum=0.9)
    losses = []
    for step, factor in enumerate(factors):
        batch = training.order[step][0]
        optimizer.param_groups[0]["lr"] = member.trial.lr * factor
        optimizer.zero_grad()
        outputs = torch.func.functional_call(model, params, (data.train.inputs[batch],))
        nn.functional.cross_entropy(outputs, data.train.targets[batch]).backward()
        optimizer.step()
        with torch.no_grad():
            outputs = torch.func.functional_call(model, params, (data.validation.inputs,))
            losses.append(float(nn.functional.cross_entropy(outputs, data.validation.targets)))
    return losses


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("kind", [Cosine(), Warmup(warmup=0.4), WarmupCosine(warmup=0.4)], ids=repr)
def test_a_stack_trains_as_a_loop_in_torch_at_the_scheduled_lr(make_job, optimizer: str, kind) -> None:
    options = [f"schedule.{name}={value}" for name, value in asdict(kind).items()]
    frame = ["max_steps=12", "eval_every=1", "model.width=16"]
    job = make_job(f"optimizer={optimizer}", f"schedule={kind.name}", *options, *frame)
    members = stack(job)
    factors = [kind.factor(step, 12) for step in range(1, 13)]
    results = train_stack(members, dtype=torch.float64)
    for member, result in zip(members, results, strict=True):
        assert result.curve.val_loss == pytest.approx(torch_losses(job, member, factors), rel=FLOAT64_RTOL)
    late = [factors[0], *factors[:-1]]
    assert results[1].curve.val_loss != pytest.approx(torch_losses(job, members[1], late), rel=1e3 * FLOAT64_RTOL)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_factor_of_one_changes_no_bit(make_job, monkeypatch, optimizer: str) -> None:
    plain = make_job(f"optimizer={optimizer}", "max_steps=12", "eval_every=6")
    scheduled = make_job(f"optimizer={optimizer}", "schedule=warmup", "max_steps=12", "eval_every=6")
    monkeypatch.setattr(Warmup, "factor", lambda self, step, max_steps: 1.0)
    for one, other in zip(*(numbers(train_stack(stack(job))) for job in (plain, scheduled)), strict=True):
        np.testing.assert_array_equal(one, other)


class Interrupt(Exception):
    """Stands for whatever ends a training."""


@pytest.mark.parametrize(
    "setup",
    [
        ("optimizer=nesterov", "schedule=cosine"),
        ("optimizer=adam", "schedule=warmup_cosine"),
        ("optimizer=rmsprop", "optimizer.momentum=0.9"),
    ],
)
def test_a_resumed_stack_ends_with_the_same_bits(make_job, tmp_path: Path, setup) -> None:
    members = stack(make_job(*setup, "max_steps=22", "eval_every=6"))
    whole = numbers(train_stack(members))
    checkpoint = Checkpoint(tmp_path / "stack.pt", 0.0, {"stack_id": "a"})

    def interrupt(evaluation: Evaluation) -> None:
        if evaluation.step == 12:
            raise Interrupt

    with pytest.raises(Interrupt):
        train_stack(members, on_evaluation=interrupt, checkpoint=checkpoint)
    for one, other in zip(numbers(train_stack(members, checkpoint=checkpoint)), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_pair_of_a_scheduled_optimizer_is_its_own() -> None:
    sgd = Sgd(momentum=0.5)
    scheduled = with_schedule(sgd, Cosine())
    params, grads = {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
    scalars = {name: torch.tensor(value) for name, value in {**scheduled.scalars, "lr": 0.1}.items()}
    one, other = (kind.update(grads, kind.init(params), params, scalars) for kind in (sgd, scheduled))
    torch.testing.assert_close(one, other)
    assert scheduled.kind == "sgd+Cosine(final=0.0)"
