"""Threads and worker processes: the same numbers as here, and what happens when one of them ends."""

import math
import multiprocessing
import os
import signal
import sys
import threading
import types
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from initsuite.engine.checkpoint import stored_step
from initsuite.spec import Stage, Status
from initsuite.train.events import Abandoned, Evaluated, Finished, Lost, Note, Started
from initsuite.train.executor import Executor
from initsuite.train.plan.placement import Place
from initsuite.train.pools import PROCESS_BYTES, Pools
from initsuite.train.task import Stack, Task, checkpoint_path
from initsuite.train.threads import Threads
from initsuite.train.workers import Workers, _serve

pytestmark = pytest.mark.slow
PROCESSES = Place(2, are_processes=True)


@pytest.fixture
def cell(make_job):
    return make_job("init=he", "max_steps=400", "eval_every=10", "model.norm=batch").cell


def tasks_of(cell, *groups) -> list[Task]:
    made = []
    for seeds in groups:
        trials = tuple(cell.trial(0.05, seed, Stage.SCORE) for seed in seeds)
        made.append(Task(Stack(tuple(trial.trial_id for trial in trials), "cpu"), trials))
    return made


class Listener:
    def __init__(self) -> None:
        self.results, self.notes, self.done, self.events = {}, [], [], []

    def emit(self, event) -> None:
        self.events.append(event)
        if isinstance(event, Finished):
            self.results |= {result.trial.seed: result for result in event.results}
        if isinstance(event, Note):
            self.notes.append(event.line)


@pytest.fixture
def workers(cell):
    made = Workers(Executor({cell.cell_id: cell}, "cpu", None, math.inf), ["cpu", "cpu"])
    yield made
    made.end()


def test_workers_give_the_numbers_of_this_process(cell, workers) -> None:
    tasks, there, here = tasks_of(cell, [0, 1], [2], [3, 4, 5]), Listener(), Listener()
    workers.run(iter(tasks), there.emit, there.done.append)
    Pools(Executor({cell.cell_id: cell}, "cpu", None, math.inf), ["cpu"], print).here.run(
        iter(tasks), here.emit, here.done.append
    )
    assert sorted(there.results) == list(range(6))
    for seed, result in there.results.items():
        assert (result.curve.val_loss == here.results[seed].curve.val_loss).all()
        assert result.test_score == here.results[seed].test_score
    assert set(there.done) == set(tasks)


@pytest.mark.parametrize(
    "words",
    [
        ["model.norm=batch"],
        ["model=cnn"],
        ["model=rnn"],
        ["init=lsuv"],  # runs the model to draw
        ["init=autoinit"],  # records it
        ["optimizer=adam"],
    ],
)
def test_threads_give_the_numbers_of_one_after_another(make_job, words) -> None:
    cell = make_job("init=he", "max_steps=30", "eval_every=3", *words).cell
    tasks, together, alone = tasks_of(cell, [0, 1], [2], [3, 4, 5], [6]), Listener(), Listener()
    executor = Executor({cell.cell_id: cell}, "cpu", None, math.inf)
    with Pools(executor, ["cpu"], print) as pools:
        pools.get(Place(3)).run(iter(tasks), together.emit, together.done.append)
        pools.here.run(iter(tasks), alone.emit, alone.done.append)
    assert sorted(together.results) == sorted(alone.results) == list(range(7))
    for seed, result in together.results.items():
        assert (result.curve.val_loss == alone.results[seed].curve.val_loss).all()
        assert result.test_score == alone.results[seed].test_score
        assert result.status == Status.DONE
    assert set(together.done) == set(tasks)


def test_an_error_of_the_listener_ends_all_threads(cell) -> None:
    """As Ctrl-C does, or a full disk."""

    def full(event) -> None:
        if isinstance(event, Evaluated):
            raise OSError("no space left")

    with Pools(Executor({cell.cell_id: cell}, "cpu", None, math.inf), ["cpu"], print) as pools:
        with pytest.raises(OSError, match="no space left"):
            pools.get(Place(2)).run(iter(tasks_of(cell, [0], [1], [2])), full, lambda task: None)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("initsuite")]


def test_an_interrupt_inside_a_thread_reaches_the_launch(cell, monkeypatch) -> None:
    executor = Executor({cell.cell_id: cell}, "cpu", None, math.inf)
    monkeypatch.setattr(executor, "run", lambda task, emit, before_draw: (_ for _ in ()).throw(KeyboardInterrupt))
    with Pools(executor, ["cpu"], print) as pools, pytest.raises(KeyboardInterrupt):
        pools.get(Place(2)).run(iter(tasks_of(cell, [0], [1])), lambda event: None, lambda task: None)


@pytest.mark.parametrize("kills", [1, 2])
def test_the_trials_of_a_worker_that_is_killed_are_tried_again(cell, workers, kills) -> None:
    """As a whole, which gives the same bits; in halves where a second worker ends with them."""
    listener, killed, workers.count = Listener(), [], 1

    def emit(event) -> None:
        listener.emit(event)
        pid = workers.workers[0].process.pid
        if isinstance(event, Evaluated) and len(killed) < kills and pid not in killed:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    tasks, left_when_done = tasks_of(cell, [0, 1], [2, 3]), {}

    def done(task) -> None:
        listener.done.append(task)
        left_when_done[task] = {trial.seed for trial in task.trials} - listener.results.keys()

    workers.run(iter(tasks), emit, done)
    assert sorted(listener.done, key=tasks.index) == tasks
    assert not any(left_when_done.values()), "both halves have the lease of the whole"
    assert sorted(listener.results) == [0, 1, 2, 3]
    assert {result.status for result in listener.results.values()} == {Status.DONE}
    assert ["in halves" in note for note in listener.notes if "exit code -9" in note] == [False, True][:kills]
    assert (tasks[0].stack.stack_id in ended(listener)) == (kills == 1)
    started = [event.stack_id for event in listener.events if isinstance(event, Started)]
    assert sorted(started) == sorted(ended(listener, Finished, Abandoned, Lost))


def ended(listener, *kinds) -> list[str]:
    return [event.stack_id for event in listener.events if isinstance(event, kinds or Finished)]


def test_workers_that_are_told_to_stop_leave_a_checkpoint(make_job, tmp_path) -> None:
    """At their next evaluation, although none was due; they have too much to do to end before they are told."""
    cell = make_job("init=he", "max_steps=100000", "eval_every=10", "model.norm=batch").cell
    executor = Executor({cell.cell_id: cell}, "cpu", tmp_path, 3600.0)
    stopped, tasks = Workers(executor, ["cpu", "cpu"]), tasks_of(cell, [0, 1], [2, 3])

    def stop(event) -> None:
        if isinstance(event, Evaluated):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.run(iter(tasks), stop, lambda task: None)
    stopped.end()
    steps = [stored_step(checkpoint_path(tmp_path, task.stack.stack_id)) for task in tasks]
    assert max(steps) >= 10
    assert all(step % 10 == 0 for step in steps)


def test_one_trial_whose_worker_is_killed_has_failed(cell, workers) -> None:
    listener = Listener()

    def emit(event) -> None:
        listener.emit(event)
        if isinstance(event, Evaluated):
            for worker in workers.workers:
                os.kill(worker.process.pid, signal.SIGKILL)

    workers.run(iter(tasks_of(cell, [7])), emit, listener.done.append)
    assert listener.results[7].status == Status.FAILED
    assert "the system may have been out of memory" in listener.results[7].error


def test_a_worker_that_has_ended_is_replaced_by_the_next_task(cell, workers) -> None:
    workers.workers[1].process.kill()
    workers.workers[1].process.join()
    listener = Listener()
    workers.run(iter(tasks_of(cell, [0], [1])), listener.emit, listener.done.append)
    assert {result.status for result in listener.results.values()} == {Status.DONE}


def test_cells_that_a_worker_cannot_load_are_trained_here(cell, tmp_path, monkeypatch) -> None:
    """A class that only this process can import, as in a notebook."""
    module = types.ModuleType("only_here")
    exec("class Law:\n    def __call__(self, *arguments, **options): ...", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    local = replace(cell, initializer=module.Law())
    said = []
    with Pools(Executor({local.cell_id: local}, "cpu", None, math.inf), ["cpu"], said.append) as pools:
        assert isinstance(pools.get(PROCESSES), Threads)
    assert "only_here" in said[0]


def test_a_process_takes_memory_for_itself_and_for_the_data(make_job) -> None:
    cell = make_job("init=he").cell
    data = cell.workload.dataset
    inputs = sum(split.inputs.numel() * 4 for split in (data.train, data.validation, data.test))
    with Pools(Executor({cell.cell_id: cell}, "cpu", None, math.inf), ["cpu"], print) as pools:
        assert inputs < pools.room(None).process_bytes() - PROCESS_BYTES < 2 * inputs
    local = replace(cell, workload=replace(cell.workload, loss=lambda outputs, targets: outputs.sum(-1)))
    with Pools(Executor({local.cell_id: local}, "cpu", None, math.inf), ["cpu"], print) as pools:
        assert pools.room(None).process_bytes() == PROCESS_BYTES


def test_cells_that_cannot_be_sent_are_trained_here(cell) -> None:
    local = replace(cell, workload=replace(cell.workload, loss=lambda outputs, targets: outputs.sum(-1)))
    said = []
    with Pools(Executor({local.cell_id: local}, "cpu", None, math.inf), ["cpu"], said.append) as pools:
        assert pools.get(PROCESSES) is pools.get(Place(2))
    assert "Training in one process" in said[0]


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_worker_makes_its_gpu_the_current_one_before_it_loads_anything(monkeypatch, device) -> None:
    """Else it would open the first GPU too, which takes memory there, where something names no device."""
    order: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: order.append(device))
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)
    sent: list[object] = []
    nothing = SimpleNamespace(recv_bytes=lambda: order.append("load") or b"damaged", send=sent.append)
    _serve(nothing, device)  # type: ignore[arg-type]
    assert order == [*([device] if device != "cpu" else []), "load"]
    assert isinstance(sent[0], ChildProcessError)


def test_the_threads_of_this_process_are_given_back(cell) -> None:
    before = torch.get_num_threads()
    with Pools(Executor({cell.cell_id: cell}, "cpu", None, math.inf), ["cpu"], print):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_one_pool_of_processes_serves_all_places(cell) -> None:
    """Tuning with three stacks, scoring with two, an extension of the grid with four."""
    pids: list[set[int]] = []
    with Pools(Executor({cell.cell_id: cell}, "cpu", None, math.inf), ["cpu"], print) as pools:
        three = pools.get(Place(3, are_processes=True))
        for count in (3, 2):
            assert pools.get(Place(count, are_processes=True)) is three
            assert three.count == count
            listener, together = Listener(), set()

            def emit(event, listener=listener, together=together) -> None:
                listener.emit(event)
                together.add(len({e.stack_id for e in listener.events if isinstance(e, Started)}) - len(listener.done))

            three.run(iter(tasks_of(cell, *([seed] for seed in range(6)))), emit, listener.done.append)
            assert sorted(listener.results) == list(range(6))
            assert max(together) <= count
            pids.append({child.pid for child in multiprocessing.active_children()})
        assert pids[0] == pids[1]
        assert len(pids[0]) == 3
        four = pools.get(Place(4, are_processes=True))
        assert pids[0].isdisjoint(worker.process.pid for worker in four.workers)
        assert len(multiprocessing.active_children()) == 4
    assert not multiprocessing.active_children()


def test_cells_that_come_later_are_known_to_workers_that_start_then(cell, make_job) -> None:
    """Another launch has stored what asks more of a cell that had all it needed."""
    other, listener = make_job("init=xavier", "max_steps=4", "eval_every=2").cell, Listener()
    with Pools(Executor({cell.cell_id: cell}, "cpu", None, math.inf), ["cpu"], print) as pools:
        first = pools.get(PROCESSES)
        pools.learn({cell.cell_id: cell})
        assert pools.get(PROCESSES) is first
        pools.learn({other.cell_id: other})
        assert not any(worker.process.is_alive() for worker in first.workers)
        pools.get(PROCESSES).run(iter(tasks_of(other, [0], [1])), listener.emit, listener.done.append)
    assert {result.status for result in listener.results.values()} == {Status.DONE}
    assert sorted(listener.results) == [0, 1]
