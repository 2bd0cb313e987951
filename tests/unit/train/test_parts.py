"""What becomes of a task whose process has ended; nothing is trained."""

from __future__ import annotations

import pytest

from initsuite.spec import Abandoned, Stage, Status, Trial
from initsuite.train.events import Finished, Lost, Note, Started
from initsuite.train.parts import Part, Parts
from initsuite.train.task import Stack, Task


@pytest.fixture
def task() -> Task:
    trials = tuple(Trial("cell", 0.1, seed, Stage.SCORE) for seed in range(3))
    return Task(Stack(tuple(trial.trial_id for trial in trials), "cpu"), trials, "lease")


class Launch:
    def __init__(self, *tasks: Task) -> None:
        self.events, self.done = [], []
        self.parts = Parts(iter(tasks), self.events.append, self.done.append)

    def start(self) -> Part:
        part = self.parts.next()
        assert part is not None
        part.note(Started(part.task.stack.stack_id, part.task.trials))
        return part

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def test_a_stack_is_tried_again_as_a_whole_and_then_in_halves(task) -> None:
    launch = Launch(task)
    launch.parts.lose(launch.start(), "It ended.", "cpu")
    assert launch.of(Lost) == [Lost(task.stack.stack_id)]  # its checkpoint stays
    again = launch.start()
    assert again.task == task
    launch.parts.lose(again, "It ended.", "cpu")
    assert launch.of(Abandoned) == [Abandoned(task.stack.stack_id)]
    assert [note.line for note in launch.of(Note)] == [
        "It ended. Its 3 trials are tried again.",
        "It ended. Its 3 trials are tried again in halves.",
    ]
    first, second = launch.start(), launch.start()
    assert (*first.task.trials, *second.task.trials) == task.trials
    assert launch.parts.next() is None
    launch.parts.end(first)
    assert launch.done == []
    launch.parts.end(second)
    assert launch.done == [task]


def test_a_trial_that_ends_two_processes_by_itself_has_failed(task) -> None:
    alone = task.part(task.trials[:1])
    launch = Launch(alone)
    for _ in range(2):
        launch.parts.lose(launch.start(), "It ended.", "cpu")
    (finished,) = launch.of(Finished)
    assert [(result.status, result.error) for result in finished.results] == [(Status.FAILED, "It ended.")]
    assert launch.done == [alone]


def test_a_stack_that_lost_its_machine_is_never_halved(task) -> None:
    launch = Launch(task)
    for _ in range(5):
        part = launch.start()
        assert part.task == task
        launch.parts.lose(part, "The machine is gone.", "cpu", is_to_blame=False)
    assert launch.done == []
    assert not launch.of(Abandoned)


def test_what_has_ended_is_not_tried_again(task) -> None:
    launch, (one, *rest) = Launch(task), task.trials
    part = launch.start()
    part.finished.add(one.trial_id)
    launch.parts.lose(part, "It ended.", "cpu")
    left = launch.start()
    assert left.task.trials == tuple(rest)
    left.finished |= {trial.trial_id for trial in rest}
    launch.parts.lose(left, "It ended.", "cpu")
    assert launch.done == [task]
    assert launch.parts.next() is None
