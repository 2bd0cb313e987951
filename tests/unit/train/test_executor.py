"""A broken trial fails alone, too little memory halves the width, and what `emit` raises is no failure of a trial."""

import math
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from initsuite.engine import loop
from initsuite.errors import is_out_of_memory
from initsuite.spec import Initialization, Stage, Status, TrialResult
from initsuite.train import executor as module
from initsuite.train.events import Abandoned, Evaluated, Event, Finished, Note, Started, StopLaunch
from initsuite.train.executor import Executor
from initsuite.train.task import Stack, Task


@pytest.fixture
def cell(make_job):
    return make_job("init=he", "max_steps=4", "eval_every=2").cell


@pytest.fixture
def executor(cell):
    return Executor({cell.cell_id: cell}, "cpu", None, math.inf)


def task_of(cell, seeds) -> Task:
    trials = tuple(cell.trial(0.1, seed, Stage.SCORE) for seed in seeds)
    return Task(Stack(tuple(trial.trial_id for trial in trials), "cpu"), trials)


def run(executor: Executor, task: Task) -> list[Event]:
    events: list[Event] = []
    executor.run(task, events.append)
    return events


def results(events: list[Event]) -> dict[int, TrialResult]:
    """By seed."""
    return {result.trial.seed: result for event in events if isinstance(event, Finished) for result in event.results}


def break_stacks(monkeypatch, fails) -> list[int]:
    """Make `train_stack` raise what `fails(seeds)` returns; the sizes of the stacks that were tried."""
    real, sizes = module.train_stack, []

    def train_stack(members, **options):
        sizes.append(len(members))
        error = fails([member.trial.seed for member in members])
        if error:
            raise error
        return real(members, **options)

    monkeypatch.setattr(module, "train_stack", train_stack)
    return sizes


def test_a_whole_stack_is_told_in_order(cell, executor) -> None:
    task = task_of(cell, [0, 1])
    events = run(executor, task)
    assert [type(event) for event in events] == [Started, Evaluated, Evaluated, Finished]
    assert {event.stack_id for event in events} == {task.stack.stack_id}
    assert [result.status for result in results(events).values()] == [Status.DONE] * 2


def test_a_trial_that_breaks_its_stack_fails_alone(cell, executor, monkeypatch) -> None:
    break_stacks(monkeypatch, lambda seeds: ValueError("seed 3 is cursed") if 3 in seeds else None)
    events = run(executor, task_of(cell, range(6)))
    by_seed = results(events)
    assert sorted(by_seed) == [0, 1, 2, 3, 4, 5]
    assert [seed for seed, result in by_seed.items() if result.status == Status.FAILED] == [3]
    assert "ValueError: seed 3 is cursed" in by_seed[3].error
    assert "Traceback" in by_seed[3].error
    count = Counter(type(event) for event in events)
    assert count[Started] == count[Finished] + count[Abandoned]
    assert any("trying its halves" in event.line for event in events if isinstance(event, Note))


def test_out_of_memory_halves_the_width_and_remembers_it(cell, executor, monkeypatch) -> None:
    sizes = break_stacks(monkeypatch, lambda seeds: MemoryError() if len(seeds) > 2 else None)
    by_seed = results(run(executor, task_of(cell, range(8))))
    assert {result.status for result in by_seed.values()} == {Status.DONE}
    assert len(by_seed) == 8
    assert sizes == [8, 4, 2, 2, 2, 2]
    sizes.clear()
    run(executor, task_of(cell, range(8)))
    assert sizes == [2, 2, 2, 2]


def test_out_of_memory_with_one_trial_is_its_failure(cell, executor, monkeypatch) -> None:
    break_stacks(monkeypatch, lambda seeds: torch.OutOfMemoryError("no room"))
    by_seed = results(run(executor, task_of(cell, range(3))))
    assert [result.status for result in by_seed.values()] == [Status.FAILED] * 3
    assert all("no room" in result.error for result in by_seed.values())


def test_an_initializer_that_raises_for_one_seed_fails_that_trial(cell, executor, monkeypatch) -> None:
    real = module.start_of

    def start_of(workload, initializer, seed):
        if seed == 1:
            raise RuntimeError("no law for seed 1")
        return real(workload, initializer, seed)

    monkeypatch.setattr(module, "start_of", start_of)
    by_seed = results(run(executor, task_of(cell, range(3))))
    assert {seed: result.status for seed, result in by_seed.items()} == {
        0: Status.DONE,
        1: Status.FAILED,
        2: Status.DONE,
    }
    assert "no law for seed 1" in by_seed[1].error


def test_all_draws_of_a_task_are_one_wait_for_those_who_train(cell, executor, monkeypatch) -> None:
    """One who trains steps aside at evaluations, here every 1/20 s: waiting for each of the draws would be a second."""
    real, order, is_over = module.start_of, list[str](), threading.Event()

    def start_of(workload, initializer, seed):
        order.append("draw")
        return real(workload, initializer, seed)

    def train() -> None:
        with executor.gate.among_others():
            inside.set()
            while not is_over.wait(0.05):
                order.append("train")
                executor.gate.let_pass()

    monkeypatch.setattr(module, "start_of", start_of)
    inside, trainer = threading.Event(), threading.Thread(target=train)
    trainer.start()
    try:
        assert inside.wait(30)
        by_seed = results(run(executor, task_of(cell, range(20))))
    finally:
        is_over.set()
        trainer.join(timeout=30)
    assert len(by_seed) == order.count("draw") == 20
    first = order.index("draw")
    assert order[first : first + 20] == ["draw"] * 20


def test_waiting_for_those_who_draw_is_no_time_of_a_trial(cell, executor, monkeypatch) -> None:
    waited_s = 2.0
    clock = SimpleNamespace(perf_counter=lambda: time.perf_counter() + late[0])
    late = [0.0]

    def let_pass() -> None:
        late[0] += waited_s

    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(executor.gate, "let_pass", let_pass)
    (result,) = results(run(executor, task_of(cell, [0]))).values()
    assert late[0] == 2 * waited_s, "there are two evaluations"
    assert 0 < result.wall_s < waited_s


@pytest.mark.parametrize("kind", [Started, Finished])
def test_an_error_of_the_listener_is_not_a_failed_trial(cell, executor, kind) -> None:
    def emit(event):
        if isinstance(event, kind):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        executor.run(task_of(cell, range(3)), emit)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda params: sys.exit(0), "the code ends Python"),
        (lambda params: Initialization({name: value * math.nan for name, value in params.items()}), "not finite"),
        (lambda params: Initialization(params, {next(iter(params)): math.nan}), r"`lr_factors"),
        (lambda params: Initialization(params, {next(iter(params)): -1.0}), r"`lr_factors"),
    ],
)
def test_an_initializer_that_is_broken_fails_its_trials_with_the_reason(cell, executor, made, said) -> None:
    def broken(model, specs, *, seed, probe=None):
        return made({spec.name: torch.ones(spec.shape) for spec in specs})

    executor.cells = {cell.cell_id: replace(cell, initializer=broken)}
    by_seed = results(run(executor, task_of(cell, range(2))))
    assert [result.status for result in by_seed.values()] == [Status.FAILED] * 2
    assert all(said in result.error for result in by_seed.values())


def test_the_end_of_a_launch_is_no_failure_of_the_trials_in_training(cell, executor) -> None:
    """A deadline that passes at an evaluation: what is not finished stays to be trained."""
    seen: list[Event] = []

    def emit(event: Event) -> None:
        seen.append(event)
        if isinstance(event, Evaluated):
            raise StopLaunch

    with pytest.raises(StopLaunch):
        executor.run(task_of(cell, range(3)), emit)
    assert [type(event) for event in seen] == [Started, Evaluated]


def test_an_interrupt_gets_out(cell, executor, monkeypatch) -> None:
    break_stacks(monkeypatch, lambda seeds: KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(executor, task_of(cell, range(3)))


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
    ids=str,
)
def test_which_errors_are_about_memory(error, is_memory) -> None:
    assert is_out_of_memory(error) == is_memory


def test_a_real_allocation_that_fails_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)
