"""How many stacks are trained at the same time, and where."""

import math

import pytest

from initsuite.train.plan.placement import PROCESSES_FROM_S, Place, Room, place_for

SHORT, LONG = PROCESSES_FROM_S / 2, PROCESSES_FROM_S * 2


@pytest.mark.parametrize(
    ("room", "num_stacks", "seconds", "expected"),
    [
        (Room(2), 5, SHORT, Place(2)),
        (Room(8), 3, SHORT, Place(3)),
        (Room(8), 1, LONG, Place(1)),
        (Room(2), 5, LONG, Place(2, are_processes=True)),
        (Room(2), 5, math.nan, Place(2)),
        (Room(2, asked=1000), 5, SHORT, Place(2, are_processes=True)),
        (Room(8, asked=3), 5, SHORT, Place(3, are_processes=True)),
        (Room(1), 5, LONG, Place(1)),
        (Room(1, are_gpus=True), 5, LONG, Place(1, are_on_gpus=True)),
        (Room(4, are_gpus=True), 5, SHORT, Place(4, are_processes=True, are_on_gpus=True)),
        (Room(4, are_gpus=True), 3, SHORT, Place(3, are_processes=True, are_on_gpus=True)),
        (Room(4, are_gpus=True, asked=3), 5, SHORT, Place(3, are_processes=True, are_on_gpus=True)),
        (Room(2, are_gpus=True, asked=3), 5, SHORT, Place(2, are_processes=True, are_on_gpus=True)),
        (Room(1, are_gpus=True, asked=3), 5, SHORT, Place(1, are_on_gpus=True)),
    ],
)
def test_short_work_in_threads_long_work_in_processes_and_no_more_than_there_is(
    room, num_stacks, seconds, expected
) -> None:
    assert place_for(room, num_stacks, seconds, stack_bytes=1) == expected


def test_memory_decides_how_many_stacks_there_are_at_a_time() -> None:
    for memory, workers in ((1000, 4), (250, 2), (99, 1)):
        assert place_for(Room(4, memory=memory), 9, SHORT, stack_bytes=100).workers == workers


@pytest.mark.parametrize(
    ("memory", "seconds", "expected"),
    [
        (2000, LONG, Place(4, are_processes=True)),
        (1200, LONG, Place(3, are_processes=True)),  # each takes 100 for its stack and 300 for itself
        (799, LONG, Place(4)),  # one process fits, and four threads
        (1200, SHORT, Place(4)),
        (199, LONG, Place(1)),
    ],
)
def test_processes_take_memory_of_their_own(memory, seconds, expected) -> None:
    room = Room(4, memory=memory, process_bytes=lambda: 300)
    assert place_for(room, 9, seconds, stack_bytes=100) == expected


def test_what_is_said() -> None:
    assert Place().line() == "one stack at a time, on one thread"
    assert Place(1, are_on_gpus=True).line() == "one stack at a time, on one GPU"
    both = Place(2, are_processes=True, are_on_gpus=True)
    assert both.line() == "2 stacks at a time, each on a GPU and in a process of its own"
    assert Place(3, are_processes=True).line() == "3 stacks at a time, each in a process of its own"
