"""What is measured on a machine, and what is remembered."""

import json
from itertools import product
from types import SimpleNamespace

import pytest

from initsuite.train.plan import speeds as module
from initsuite.train.plan.placement import Limits, Speed, choose
from initsuite.train.plan.speeds import MEASURING_SHARE, Speeds, measure, widths_for

WIDTHS = (1, 4, 16, 32, 64, 128)
GROUP = SimpleNamespace(key="workload-sgd", pairs=[None] * 7)
KNOWN = (Speed(1, 1, 2, 0.5), Speed(4, 1, 2, 0.75))


def speeds_of_a_launch(planned=None) -> Speeds:
    return Speeds(None, "machine/max_stack=None/workers=None", planned or {})  # type: ignore[arg-type]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "initsuite" / "speeds.json"


def test_speeds_are_remembered_for_the_next_plan_and_for_later_launches(cache) -> None:
    first = speeds_of_a_launch()
    assert first.recall(GROUP) is None
    first.remember(GROUP, KNOWN)
    assert list(first.planned) == ["workload-sgd/machine/max_stack=None/workers=None"]
    assert speeds_of_a_launch(first.planned).recall(GROUP) == KNOWN
    later = speeds_of_a_launch()
    assert later.recall(GROUP) == KNOWN
    assert later.planned == first.planned, "what a plan rests on is stored with it"
    assert later.recall(GROUP, 14) == KNOWN
    assert later.recall(GROUP, 15) is None, "many more trials are worth the timing of wider stacks"


def test_a_plan_remembers_that_there_was_too_little_work_and_the_machine_does_not(cache) -> None:
    first = speeds_of_a_launch()
    first.remember(GROUP, ())
    assert first.recall(GROUP) == ()
    assert speeds_of_a_launch().recall(GROUP) is None


def test_what_a_former_version_wrote_is_understood(cache) -> None:
    key = "workload-sgd/machine/max_stack=None/workers=None"
    plain = {"num_trials": 7, "speeds": [{"width": 1, "workers": 1, "threads": 2, "step_s": 0.5}]}
    assert speeds_of_a_launch({key: plain}).recall(GROUP) == KNOWN[:1]
    first = speeds_of_a_launch()
    first.remember(GROUP, KNOWN[:1])
    assert first.planned == {key: plain}


def test_entries_of_another_shape_are_ignored(cache, monkeypatch) -> None:
    key = "workload-sgd/machine/max_stack=None/workers=None"
    for plain in (None, [], {}, {"num_trials": 1, "speeds": [{"w": 1}]}):
        assert speeds_of_a_launch({key: plain}).recall(GROUP) is None
    speeds_of_a_launch().remember(GROUP, KNOWN)
    assert speeds_of_a_launch().recall(GROUP) == KNOWN
    with monkeypatch.context() as patch:
        patch.setattr(module, "KEPT_S", 0)
        assert speeds_of_a_launch().recall(GROUP) is None
    for text in (json.dumps({key: [1, 2]}), "no json"):
        cache.write_text(text)
        assert speeds_of_a_launch().recall(GROUP) is None


def test_no_width_is_timed_twice() -> None:
    assert widths_for("cpu", 1000, 1000) == list(WIDTHS)
    assert widths_for("cpu", 20, 1000) == [1, 4, 16, 20]
    assert widths_for("cpu", 1000, 16) == [1, 4, 16]
    assert widths_for("cuda", 1, 1000) == [1]


@pytest.mark.parametrize(("overhead", "each"), list(product((0.0, 1e-3, 1e-2), (1e-5, 1e-3, 1e-1))))
def test_measuring_included_it_is_never_much_slower_than_one_at_a_time(overhead, each) -> None:
    """From 200 steps on, whatever a step costs: the promise is 5 %."""
    spent = 0.0

    def step_s(width: int, steps: int) -> float:
        nonlocal spent
        spent += steps * (overhead + each * width)
        return overhead + each * width

    for num_trials in (2, 5, 30, 200):
        spent = 0.0
        seconds = measure(step_s, widths_for("cpu", num_trials, 1000), num_trials * 200)
        speeds = [Speed(width, 1, 2, each_s) for width, each_s in seconds.items()]
        group = SimpleNamespace(trial_ids=[str(index) for index in range(num_trials)], num_steps=200)
        chosen = choose(speeds, group, Limits("cpu", 2, 1000))  # type: ignore[arg-type]
        one_by_one = 200 * num_trials * (overhead + each)
        assert spent <= (MEASURING_SHARE + 3 / 200 / num_trials) * one_by_one
        width = max(len(stack.trial_ids) for stack in chosen.new)
        assert spent + len(chosen.new) * 200 * (overhead + each * width) <= 1.05 * one_by_one


def test_a_width_that_gets_worse_ends_the_search() -> None:
    seen = []

    def step_s(width: int, steps: int) -> float:
        seen.append(width)
        return width * (1.0 if width < 16 else 1.5)

    measure(step_s, WIDTHS, 10_000 * 1000)
    assert seen == [1, 4, 16]
