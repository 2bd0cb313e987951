"""Random numbers that a model takes: the same for all initializers of a seed, whatever else is computed."""

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from initsuite.engine.draws import NamedDraws, global_state
from initsuite.engine.loop import Training, train_stack
from initsuite.engine.manner import Manner
from initsuite.engine.rehearsal import rehearse
from initsuite.engine.stack import Member
from initsuite.spec import Evaluation
from support.resuming import bits, resumed
from support.stubborn import (
    AttentionDropout,
    Dropout,
    DropoutItem,
    MaskOnly,
    PythonNoise,
    deep_lstm,
    members_of,
    workload_of,
)

FLOAT32_20_STEPS = 2e-4
SEEDS, LRS = (0, 1, 0, 1), (0.05, 0.05, 0.02, 0.02)
MODELS = {"dropout": Dropout, "attention": AttentionDropout, "python": PythonNoise, "lstm": deep_lstm}


@pytest.fixture(scope="module")
def jobs(make_job) -> list[Any]:
    return [make_job(f"init={init}") for init in ("he", "he", "xavier", "xavier")]


def stack_of(jobs, build) -> tuple[list[Member], Manner]:
    stack = members_of(jobs, workload_of(jobs[0], build), LRS, SEEDS)
    return stack, rehearse(stack[:1])


def own_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.sum(1)


@pytest.mark.parametrize("manner", [Manner(draws=True), Manner("asked for", draws=True)], ids=["stacked", "unstacked"])
def test_the_masks_are_those_of_the_seed_and_the_step(jobs, manner: Manner) -> None:
    """A loss that shows them alone; the initializers and learning rates of the four trials differ."""
    stack = members_of(jobs, workload_of(jobs[0], MaskOnly, loss=own_loss), LRS, SEEDS)
    training, losses = Training(stack, torch.device("cpu"), manner=manner), []
    training.monitor.add = lambda loss, step: losses.append(loss)
    for _ in range(8):
        training.take_step()
    shown = torch.stack(losses, 1)
    assert torch.equal(shown[0], shown[2])
    assert torch.equal(shown[1], shown[3])
    assert len({*shown[:2].flatten().tolist()}) > 12  # 16 masks, of which two may have one sum
    alone = Training(stack[3:], torch.device("cpu"), manner=manner)
    alone.monitor.add = lambda loss, step: losses.append(loss)
    alone.take_step()
    assert torch.equal(losses[-1], shown[3:, 0])


def test_a_mask_keeps_the_share_it_should(jobs) -> None:
    """A unit is 0 or 2 with probability 1/2 each: std 1, over 600 steps of 16 examples; at most 4 of its mean's std."""
    workload = workload_of(jobs[0], MaskOnly, loss=lambda outputs, targets: outputs[:, 0])
    training = Training(members_of(jobs[:1], workload, [0.1], [0]), torch.device("cpu"), manner=Manner(draws=True))
    losses: list[Tensor] = []
    training.monitor.add = lambda loss, step: losses.append(loss)
    for _ in range(600):
        training.take_step()
    assert float(torch.cat(losses).mean()) == pytest.approx(1.0, abs=4 / np.sqrt(600 * 16))


@pytest.mark.parametrize("name", MODELS)
def test_a_stack_equals_its_trials_and_leaves_the_global_streams_alone(jobs, name: str) -> None:
    stack, manner = stack_of(jobs, MODELS[name])
    assert bool(manner.why_unstacked) == (name == "lstm")
    assert (manner.draws, manner.is_global) == (True, name == "python")
    before = global_state()
    together = bits(train_stack(stack, manner=manner))
    alone = np.concatenate([bits(train_stack([member], manner=manner)) for member in stack])
    assert global_state() == before
    assert together[:, :8] == pytest.approx(alone[:, :8], abs=FLOAT32_20_STEPS)
    assert np.array_equal(bits(train_stack(stack, manner=manner)), together)
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    assert np.array_equal(bits(train_stack(stack, manner=manner)), together)


@pytest.mark.parametrize("name", MODELS)
def test_two_threads_give_the_bits_of_one(jobs, name: str) -> None:
    stack, manner = stack_of(jobs, MODELS[name])
    parts = [stack[:2], stack[2:]]
    alone = [bits(train_stack(part, manner=manner)) for part in parts]
    together = threading.Barrier(2, timeout=60)

    def meet(evaluation: Evaluation) -> None:
        together.wait()

    def train(part: Sequence[Member]) -> np.ndarray:
        return bits(train_stack(part, manner=manner, on_evaluation=meet))

    with ThreadPoolExecutor(2) as pool:
        for expected, got in zip(alone, pool.map(train, parts), strict=True):
            assert np.array_equal(expected, got)


@pytest.mark.parametrize("name", ["dropout", "python"])
def test_resumed_it_ends_with_the_same_bits(jobs, tmp_path: Path, name: str) -> None:
    stack, manner = stack_of(jobs, MODELS[name])
    whole = bits(train_stack(stack, manner=manner))
    assert np.array_equal(bits(resumed(stack, manner, tmp_path, after=3)), whole)


def test_evaluation_is_deterministic(jobs) -> None:
    """Also of a model that drops there: all trials of all seeds meet the same masks, each time."""

    class Always(DropoutItem):
        def between(self, hidden: Tensor) -> Tensor:
            return torch.nn.functional.dropout(super().between(hidden), 0.5)

    for build in (Always, Dropout):
        stack, manner = stack_of(jobs, build)
        training = Training(stack, torch.device("cpu"), manner=manner)
        first, again = (training.measure(training.data.validation)[0] for _ in range(2))
        assert torch.equal(first, again)


def drawn(act) -> Any:
    with NamedDraws(7, "a") as draws:
        result = act()
    return result, draws.place


@pytest.mark.parametrize(
    "act",
    [
        lambda: torch.rand(4, 3),
        lambda: torch.randn(4, 3),
        lambda: torch.rand_like(torch.ones(3, 4).T),
        lambda: torch.ones(3, 4).T.bernoulli_(0.5),
        lambda: torch.bernoulli(torch.full((3, 4), 0.5).T),
        lambda: torch.randint(0, 1000, (4, 3)),
        lambda: torch.randperm(100),
        lambda: torch.normal(0.0, 1.0, (4, 3)),
        lambda: torch.multinomial(torch.ones(100), 20),
        lambda: torch.nn.functional.rrelu(-torch.ones(4, 3), training=True),
        lambda: torch.nn.functional.gumbel_softmax(torch.zeros(4, 3)),
        lambda: torch.distributions.Beta(2.0, 3.0).sample((4, 3)),
        lambda: torch.empty(3, 4).T.exponential_(),
    ],
)
def test_every_random_operation_is_named(act) -> None:
    """The same again, another for another name, and torch's own generator stays where it is."""
    before = global_state()
    (first, place), (again, _) = drawn(act), drawn(act)
    assert torch.equal(first, again)
    assert place > 0
    with NamedDraws(7, "b"):
        assert not torch.equal(act(), first)
    with NamedDraws(8, "a"):
        assert not torch.equal(act(), first)
    assert global_state() == before


def test_a_draw_does_not_depend_on_the_order_in_memory() -> None:
    """A stack and a trial may hold the same tensor in another order."""
    plain, _ = drawn(lambda: torch.ones(40, 30).bernoulli_(0.5))
    turned, _ = drawn(lambda: torch.ones(30, 40).T.bernoulli_(0.5))
    like, _ = drawn(lambda: torch.rand_like(torch.ones(30, 40).T))
    assert torch.equal(plain, turned)
    assert torch.equal(like, drawn(lambda: torch.rand(40, 30))[0])


def test_an_earlier_draw_of_another_size_moves_no_later_one() -> None:
    (_, first), _ = drawn(lambda: (torch.rand(3), torch.rand(5)))
    (_, second), _ = drawn(lambda: (torch.rand(30, 7), torch.rand(5)))
    assert torch.equal(first, second)


def test_a_generator_of_its_own_stays_its_own_and_no_draw_is_counted_where_nothing_is_dropped() -> None:
    def act() -> Tensor:
        q = torch.ones(1, 1, 4, 2)
        torch.nn.functional.scaled_dot_product_attention(q, q, q)
        return torch.rand(3, generator=torch.Generator().manual_seed(0))

    found, place = drawn(act)
    assert torch.equal(found, act())
    assert place == 0
