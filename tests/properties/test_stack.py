"""A stack is a way of computing, not a part of the experiment."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from initsuite.config.build import Job
from initsuite.engine.loop import Training, train_stack
from initsuite.engine.stack import Member, start_of
from initsuite.spec import Stage, Status, TrialResult

FLOAT32_20_STEPS = 2e-4
"""Losses of order 1 after 20 steps: float32 has 6e-8 of rounding a sum, amplified by momentum and curvature."""
CALM = (
    "model=siren",
    "activation=sine",
    "model.width=16",
    "model.omega_first=1",
    "activation.omega=1",
    "optimizer=adam",
)
"""A network of sines whose usual omega of 30 would blow up the rounding of any law but its own."""
FLOAT64_WHOLE_RUN = 1e-9
"""The same in float64 (1e-16 of rounding), over a whole run at a learning rate that trains."""
README = Path(__file__).parents[2] / "README.md"
SETUPS = [
    ("model=mlp", "optimizer=sgd"),
    ("model=mlp", "model.norm=batch", "optimizer=adam"),
    ("model=mlp", "activation=tanh", "optimizer=adamw"),
    ("model=cnn", "optimizer=sgd"),
    ("model=cnn", "model.norm=batch", "optimizer=sgd"),
    ("model=mlp", "model.norm=layer", "optimizer=sgd"),
    ("model=cnn", "model.stride=1", "model.pool=[1,2]", "model.padding=circular", "optimizer=sgd"),
    ("model=resnet", "model.depth=8", "model.width=4", "optimizer=sgd"),
    ("model=rnn", "model.width=16", "activation=tanh", "optimizer=sgd"),
    ("model=lstm", "model.width=16", "activation=tanh", "optimizer=adam"),
    ("model=gru", "model.width=16", "activation=tanh", "optimizer=adam"),
    ("model=vit", "model.depth=2", "model.width=16", "activation=gelu", "optimizer=adam"),
    ("model=vit", "model.depth=2", "model.width=16", "model.norm=post", "model.deepnorm=true", "optimizer=adam"),
    CALM,
    ("dataset=teacher", "model=mlp", "activation=tanh", "optimizer=sgd"),
    ("dataset=gaussian_blobs", "model=mlp", "optimizer=adam"),
    ("dataset=image_fit", "dataset.size=24", *CALM),
    (
        "dataset=text",
        f"dataset.path={README}",
        "model=transformer",
        "model.width=16",
        "activation=gelu",
        "dataset.length=12",
        "optimizer=adam",
    ),
    *(
        ("dataset=adding", "dataset.length=8", f"model={model}", "model.width=16", "activation=tanh", "optimizer=adam")
        for model in ("rnn", "lstm", "gru")
    ),
]
FAST = (*SETUPS[:3], SETUPS[8], SETUPS[14], SETUPS[-1])
"""Of each kind of layer and target one; the others are in the slow suite."""


def members(jobs: Sequence[Job], lrs: Sequence[float], seeds: Sequence[int]) -> list[Member]:
    """One member of each (job, lr, seed), in order."""
    made = []
    for job, lr, seed in zip(jobs, lrs, seeds, strict=True):
        trial = job.cell.trial(lr, seed, Stage.SCORE)
        made.append(Member(job.cell, trial, *start_of(job.cell.workload, job.cell.initializer, seed)))
    return made


def curves(results: Sequence[TrialResult]) -> np.ndarray:
    """[trial, measure, evaluation]."""
    return np.array([[r.curve.train_loss, r.curve.val_loss, r.curve.val_score] for r in results])


def one_by_one(stack: Sequence[Member], **options: Any) -> list[TrialResult]:
    return [train_stack([member], **options)[0] for member in stack]


@pytest.mark.parametrize("seeds", [(0, 1, 1), (2, 2, 2)], ids=["seeds", "one_seed"])
@pytest.mark.parametrize(
    "setup",
    [pytest.param(setup, marks=[] if setup in FAST else [pytest.mark.slow]) for setup in SETUPS],
    ids=lambda setup: "-".join(part for part in setup if "path" not in part),
)
def test_a_stack_equals_its_trials_one_by_one(make_job, setup, seeds) -> None:
    """Also where all trials share one seed, and with it the batch."""
    short = (*setup, "max_steps=20", "eval_every=5")
    jobs = [make_job(f"init={init}", *short) for init in ("he", "orthogonal", "torch_default")]
    # A bias before a batch norm has no gradient but rounding, which Adam turns into steps of the size of lr: with 3e-3
    # the validation loss differs by 4e-4 on some processors.
    lrs = [0.05, 0.02, 0.01] if "optimizer=sgd" in setup else [1e-3, 3e-4, 1e-4]
    stack = members(jobs, lrs, seeds)
    together, alone = curves(train_stack(stack)), curves(one_by_one(stack))
    assert together[:, :2] == pytest.approx(alone[:, :2], abs=FLOAT32_20_STEPS)
    # the digits have 300 validation examples: one may change sides at the decision boundary
    assert together[:, 2] == pytest.approx(alone[:, 2], abs=1.5 / 300)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(0, 3), (0, 0)], ids=["seeds", "one_seed"])
@pytest.mark.parametrize("setup", SETUPS[:4], ids="-".join)
def test_a_whole_run_in_float64_is_equal(make_job, setup, seeds) -> None:
    whole = (*setup, "max_steps=120", "eval_every=40")
    jobs = [make_job(f"init={init}", *whole) for init in ("he", "xavier")]
    stack = members(jobs, [0.02, 0.01] if "optimizer=sgd" in setup else [1e-3, 1e-4], seeds)
    together = train_stack(stack, dtype=torch.float64)
    alone = one_by_one(stack, dtype=torch.float64)
    assert curves(together) == pytest.approx(curves(alone), abs=FLOAT64_WHOLE_RUN)
    assert [r.test_score for r in together] == [r.test_score for r in alone]


@pytest.mark.slow
def test_a_stack_of_torchvisions_models_is_equal(make_job) -> None:
    arch = ("model=torchvision", "model.name=squeezenet1_1", "model.image_size=32", "batch_size=16")
    jobs = [make_job(f"init={init}", *arch, "max_steps=4", "eval_every=2") for init in ("he", "torch_default")]
    stack = members(jobs, [0.01, 0.002], seeds=[0, 1])
    together, alone = train_stack(stack, dtype=torch.float64), one_by_one(stack, dtype=torch.float64)
    assert curves(together) == pytest.approx(curves(alone), abs=FLOAT64_WHOLE_RUN)


def test_a_planted_difference_is_larger_than_the_tolerances(make_job) -> None:
    """The equality tests can fail: a relative change of the lr by 1e-3 is seen by both."""
    job = make_job("max_steps=20", "eval_every=5")
    a, b = (members([job], [lr], [0]) for lr in (0.02, 0.02 * 1.001))
    assert np.abs(curves(train_stack(a)) - curves(train_stack(b))).max() > 2 * FLOAT32_20_STEPS


@pytest.mark.parametrize("mate", [("init=he", 0.01), ("init=normal", 1.0), ("init=he", 1e12)], ids=str)
def test_a_trial_does_not_feel_its_stack_mates(make_job, mate) -> None:
    """Whatever stands beside it, a diverging trial included, its numbers keep their bits."""
    short = ("max_steps=40", "eval_every=10", "model.norm=batch")
    job = make_job("init=he", *short)
    init, lr = mate
    reference = train_stack(members([job, job, job], [0.05, 0.1, 0.1], [0, 1, 2]))
    beside = train_stack(members([make_job(init, *short), job, job], [lr, 0.1, 0.1], [7, 1, 2]))
    assert (curves(reference)[1:] == curves(beside)[1:]).all()


def test_divergence_is_a_result(make_job) -> None:
    job = make_job("init=he", "max_steps=40", "eval_every=10")
    good, bad = train_stack(members([job, job], [0.05, 1e12], [0, 0]))
    assert (good.status, good.diverged_at) == (Status.DONE, None)
    assert bad.status == Status.DIVERGED
    assert bad.diverged_at is not None
    assert 1 < bad.diverged_at <= 40
    after = bad.curve.step >= bad.diverged_at
    assert np.isnan(bad.curve.val_score[after]).all()
    assert np.isnan(bad.test_score)


def test_the_same_stack_gives_the_same_bits(make_job) -> None:
    stack = members([make_job("max_steps=40", "eval_every=10")] * 4, [0.01, 0.1, 0.1, 1.0], [0, 0, 1, 2])
    assert (curves(train_stack(stack)) == curves(train_stack(stack))).all()


def test_seeds_decide_the_data_order_and_initializers_do_not(make_job) -> None:
    """Two seeds of `zero`, which draws nothing, differ by their batches alone; the same seed sees the same ones."""
    job = make_job("init=zero", "max_steps=10", "eval_every=10")
    a, b, again = train_stack(members([job, job, job], [1.0, 1.0, 1.0], [0, 1, 0]))
    assert a.curve.train_loss != b.curve.train_loss
    assert a.curve.train_loss == again.curve.train_loss


def test_test_data_is_read_by_scoring_trials_only(make_job) -> None:
    job = make_job("max_steps=5", "eval_every=5")
    score = members([job], [0.1], [0])[0]
    tune = replace(score, trial=replace(score.trial, stage=Stage.TUNE))
    scored, tuned = train_stack([score, tune])
    assert scored.test_score > 0
    assert np.isnan(tuned.test_score)


def test_lr_factors_scale_the_update_of_their_tensor(make_job) -> None:
    """A factor of 0 freezes a tensor; a factor of 1/2 equals half the lr (plain SGD, one tensor trained)."""
    job = make_job("max_steps=5", "eval_every=5", "optimizer.momentum=0")
    full, half = members([job, job], [0.02, 0.04], [0, 0])
    half = replace(half, start=replace(half.start, lr_factors={spec.name: 0.5 for spec in job.cell.workload.specs}))
    results = curves(train_stack([full, half], dtype=torch.float64))
    assert results[0] == pytest.approx(results[1], abs=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_frozen_tensor_stays(make_job, optimizer: str) -> None:
    """The first layer at 0 passes nothing on: while it is frozen, the loss sees the biases of the head alone."""
    job = make_job("init=he", "activation=tanh", "max_steps=5", "eval_every=5", f"optimizer={optimizer}")
    model, (member,) = job.cell.workload.model, members([job], [0.01], [0])
    zero = replace(member.start, params={**member.start.params, "layers.linear1.weight": torch.zeros(64, 64)})
    frozen = [parameter for name, parameter in model.named_parameters() if "linear" in name]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        training = Training([replace(member, start=zero)] * 2, torch.device("cpu"), torch.float32)
        training.advance()
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
    state = training.state.params
    assert not state["layers.linear1.weight"].any()
    assert torch.equal(state["layers.linear2.weight"][0], member.start.params["layers.linear2.weight"])
    assert not torch.equal(state["layers.head.bias"][0], member.start.params["layers.head.bias"])
