"""Stacks that train at the same time in Python threads do not feel each other."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import weight_norm

from initsuite.engine.loop import _own, train_stack
from initsuite.engine.stack import Member, start_of
from initsuite.spec import Evaluation, Stage, TrialResult

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


@pytest.mark.parametrize(
    "model",
    [
        nn.TransformerDecoderLayer(4, 2, 8, activation=nn.GELU()),
        nn.TransformerEncoderLayer(4, 2, 8, activation=nn.Tanh()),
        weight_norm(nn.Linear(4, 4)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_copy_that_a_stack_trains_computes_what_the_model_does(make_job, model) -> None:
    """Copying gives torch's decoder layer another activation, and refuses weights that a hook has computed."""
    workload = replace(make_job().cell.workload, model=model.eval())
    copied = _own(workload).model
    inputs = [torch.randn(3, 4, generator=torch.Generator().manual_seed(0))]
    inputs *= 2 if isinstance(model, nn.TransformerDecoderLayer) else 1
    assert torch.equal(copied(*inputs), model(*inputs))
    assert not {id(each) for each in copied.parameters()} & {id(each) for each in model.parameters()}


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
