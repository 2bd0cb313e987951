"""What the threads of a launch do when it stops. Their numbers are in `properties/test_threads.py`."""

import math
import threading
import time

import pytest

from initsuite.spec import Stage
from initsuite.train import executor as executor_module
from initsuite.train.events import Evaluated, Finished, Started
from initsuite.train.executor import Executor
from initsuite.train.task import Stack, Task
from initsuite.train.threads import Threads


class Late(Executor):
    """Waits with its results until the launch has been stopped."""

    is_stopped: threading.Event

    def _attempt(self, task, members, emit):
        def late(event) -> None:
            if isinstance(event, Finished):
                assert self.is_stopped.wait(60)
            emit(event)

        return super()._attempt(task, members, late)


@pytest.fixture
def cell(make_job):
    return make_job("init=he", "max_steps=4", "eval_every=2").cell


def task_of(cell, *seeds: int) -> Task:
    trials = tuple(cell.trial(0.05, seed, Stage.SCORE) for seed in seeds)
    return Task(Stack(tuple(trial.trial_id for trial in trials), "cpu"), trials)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_what_is_trained_when_a_launch_stops_is_emitted(cell, stop) -> None:
    executor, events = Late({cell.cell_id: cell}, "cpu", None, math.inf), []
    executor.is_stopped = threading.Event()

    def emit(event) -> None:
        events.append(event)
        if isinstance(event, Finished):
            raise OSError("the disk is still full")
        of_this = [type(each) for each in events if each.stack_id == event.stack_id]
        if of_this == [Started, Evaluated, Evaluated]:  # its results are to come
            executor.is_stopped.set()
            raise stop("planted")

    tasks = [task_of(cell, 0, 1), task_of(cell, 2), task_of(cell, 3)]
    with pytest.raises(stop, match="planted"):
        Threads(executor, 2).run(iter(tasks), emit, lambda task: None)
    finished = [event for event in events if isinstance(event, Finished)]
    assert finished
    for event in finished:
        of_stack = [type(each) for each in events if each.stack_id == event.stack_id]
        assert of_stack == [Started, Evaluated, Evaluated, Finished]


def test_a_thread_stops_between_two_draws(cell, monkeypatch) -> None:
    real, is_drawing, drawn = executor_module.start_of, threading.Event(), list[int]()

    def start_of(workload, initializer, seed):
        drawn.append(seed)
        is_drawing.set()
        time.sleep(0.1)
        return real(workload, initializer, seed)

    def tasks():
        yield task_of(cell, *range(40))
        assert is_drawing.wait(60)
        raise ArithmeticError("planted")

    monkeypatch.setattr(executor_module, "start_of", start_of)
    with pytest.raises(ArithmeticError, match="planted"):
        Threads(Executor({cell.cell_id: cell}, "cpu", None, math.inf), 2).run(tasks(), print, lambda task: None)
    assert len(drawn) < 20
