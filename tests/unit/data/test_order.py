"""The order of the batches."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from initsuite.data import order as order_module
from initsuite.data.order import BatchOrder
from initsuite.engine.loop import train_stack
from initsuite.engine.stack import Member, start_of
from initsuite.errors import ConfigError
from initsuite.rng import generator
from initsuite.spec import Evaluation, Stage

SIZES = [(30, 7), (5, 5), (1, 1), (1197, 64), (64, 1), (100_000, 333)]


def whole_stream(num_examples: int, num_epochs: int, seed: int) -> Tensor:
    """The definition: one permutation per epoch, each from its own named stream."""
    return torch.cat(
        [
            torch.randperm(num_examples, generator=generator(seed, "data_order", str(epoch)))
            for epoch in range(num_epochs)
        ]
    )


def batches(num_examples: int, batch_size: int, num_steps: int, seed: int = 0) -> Tensor:
    order = BatchOrder(num_examples, batch_size, [seed])
    return torch.cat([order[step] for step in range(num_steps)])


@pytest.mark.parametrize(("num_examples", "batch_size"), SIZES)
def test_every_step_is_its_cut_of_the_stream(num_examples, batch_size, monkeypatch) -> None:
    monkeypatch.setattr(order_module, "DRAWN_AT_ONCE", 90)  # so that several windows are drawn
    num_steps = 5 * num_examples // batch_size
    expected = torch.stack([whole_stream(num_examples, 5, seed) for seed in (3, 11)])
    order = BatchOrder(num_examples, batch_size, [3, 11])
    for step in range(num_steps):
        assert torch.equal(order[step], expected[:, step * batch_size : (step + 1) * batch_size])


@pytest.mark.parametrize(("num_examples", "batch_size"), SIZES)
def test_a_jump_finds_the_same_batch(num_examples, batch_size) -> None:
    num_steps = 7 * num_examples // batch_size
    expected = whole_stream(num_examples, 7, 4)
    order = BatchOrder(num_examples, batch_size, [4])
    for step in np.random.default_rng(0).integers(num_steps, size=20).tolist():
        assert torch.equal(order[step][0], expected[step * batch_size : (step + 1) * batch_size])


def test_every_example_is_seen_equally_often() -> None:
    indices = batches(num_examples=30, batch_size=7, num_steps=30)  # 7 epochs
    assert indices.shape == (30, 7)
    assert indices.dtype == torch.int64
    assert (indices.flatten().bincount() == 7).all()


def test_each_epoch_is_a_fresh_permutation_and_batches_span_epochs() -> None:
    stream = batches(num_examples=30, batch_size=7, num_steps=13).flatten()
    first, second = stream[:30], stream[30:60]
    assert torch.equal(first.sort().values, torch.arange(30))
    assert torch.equal(second.sort().values, torch.arange(30))
    assert not torch.equal(first, second)


def test_another_batch_size_cuts_the_same_stream() -> None:
    assert torch.equal(batches(30, 5, 7, seed=4).flatten(), batches(30, 7, 5, seed=4).flatten())


def test_the_order_depends_on_the_seed_only() -> None:
    torch.manual_seed(1)
    one = batches(100, 10, 10)
    torch.manual_seed(2)
    assert torch.equal(one, batches(100, 10, 10))
    assert not torch.equal(one, batches(100, 10, 10, seed=1))


def test_a_long_budget_takes_no_more_memory_and_its_end_is_found_at_once(monkeypatch) -> None:
    """The indices of 1e8 steps drawn in advance took 51 GB."""
    order, drawn = BatchOrder(1197, 64, [0, 1, 2]), []
    whole = torch.randperm
    monkeypatch.setattr(torch, "randperm", lambda size, **options: drawn.append(size) or whole(size, **options))
    last = 100_000_000 - 1
    assert order[last].shape == (3, 64)
    assert sum(drawn) <= 3 * order_module.DRAWN_AT_ONCE
    epoch, at = divmod(last * 64, 1197)
    assert at + 64 <= 1197
    assert torch.equal(order[last][2], whole(1197, generator=generator(2, "data_order", str(epoch)))[at : at + 64])


def test_training_for_a_long_budget_starts_at_once(make_job) -> None:
    cell = make_job("max_steps=100_000_000", "eval_every=2").cell
    member = Member(cell, cell.trial(0.1, 0, Stage.TUNE), *start_of(cell.workload, cell.initializer, 0))

    class Enough(Exception):
        pass

    def stop(evaluation: Evaluation) -> None:
        raise Enough

    with pytest.raises(Enough):
        train_stack([member], on_evaluation=stop)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 11), "`batch_size`=11. Expected 1 to the 10 training examples. Set batch_size=10 or less"),
        ((10, 0), "`batch_size`=0. Expected 1 to the 10 training examples"),
        ((0, 1), "`num_examples`=0. Expected a whole number from 1"),
    ],
)
def test_batches_that_cannot_be_are_refused(arguments, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        BatchOrder(*arguments, seeds=[0])
