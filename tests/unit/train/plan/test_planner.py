"""What a launch plans: by earlier plans, by what is known of this machine, by what the user pins."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from initsuite.results.leases import Leases
from initsuite.results.store import Store
from initsuite.spec import Stage
from initsuite.train.executor import Executor
from initsuite.train.plan import planner as planning
from initsuite.train.plan import speeds
from initsuite.train.plan.planner import Planner, groups_of
from initsuite.train.plan.speeds import Measured, measured, recall, remember
from initsuite.train.plan.stored import Plans
from initsuite.train.plan.widths import Speed, choose
from initsuite.train.runner import Runner
from initsuite.train.task import Stack, Task
from initsuite.train.workers import Pools


@pytest.fixture
def planner(build_job, tmp_path, monkeypatch):
    """`planner(step_s, *overrides)` plans digits trials on a machine whose steps take step_s(width) seconds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(step_s, *overrides: str, devices=("cpu",)) -> tuple[Planner, list[int]]:
        job, settings = build_job("init=he", f"results_dir={tmp_path / 'results'}", *overrides)
        Store(settings.results_dir)
        executor = Executor({job.cell.cell_id: job.cell}, "cpu", None, math.inf)
        timed: list[int] = []

        def step(member, width, num_steps, threads):
            timed.append(width)
            return step_s(width)

        monkeypatch.setattr(executor, "step_s", step)
        pools = Pools(executor, devices, print)
        monkeypatch.setattr(pools, "threads", 1)
        return Planner(settings, Plans(settings.results_dir), executor, pools), timed

    return make


def group_of(planner: Planner, num_trials: int):
    (cell,) = planner.executor.cells.values()
    return groups_of((cell, cell.trial(0.1, seed, Stage.SCORE)) for seed in range(num_trials))[0]


def plan(planner: Planner, num_trials: int) -> list[Stack]:
    group = group_of(planner, num_trials)
    assert planner.broken([group]) == {}
    return planner.plan([group])[0]


def overhead(width: int) -> float:
    return 1e-3 + 1e-5 * width


def test_a_small_first_launch_does_not_limit_a_large_one(planner) -> None:
    small, _ = planner(overhead)
    assert [len(stack.trial_ids) for stack in plan(small, 4)] == [4]
    large, timed = planner(overhead)
    widths = [len(stack.trial_ids) for stack in plan(large, 1000)]
    assert max(widths) > 100
    assert 128 in timed
    again, timed = planner(overhead)
    group = group_of(again, 500)
    again.rehearsed[group.key] = ""
    again.plan([group])
    assert timed == [], "what is known is not timed again"


def test_a_rerun_chooses_as_the_first_run_did_whatever_the_machine_does_meanwhile(planner) -> None:
    first, _ = planner(overhead)
    stacks = plan(first, 200)
    slow, timed = planner(lambda width: 1.0 * width)
    group = group_of(slow, 200)
    slow.rehearsed[group.key] = ""
    assert slow.plan([group])[0] == stacks
    assert timed == []


def test_speeds_of_another_machine_and_under_other_pins_are_not_used(planner, monkeypatch) -> None:
    first, _ = planner(lambda width: 1.0 * width)
    assert {len(stack.trial_ids) for stack in plan(first, 64)} == {1}
    other, timed = planner(overhead)
    monkeypatch.setattr(planning, "machine", lambda device, threads: "another")
    group = group_of(other, 64)
    other.plans = Plans(other.settings.results_dir)
    draft = other.draft(group, [], other.plans.read()[1])
    assert draft.choice is not None
    assert timed == []  # it was not rehearsed, so nothing can be timed either
    assert draft.choice.why == "too little work to measure"


def test_pinned_workers_and_widths_hold_for_stored_plans_too(planner) -> None:
    free, _ = planner(overhead)
    assert [len(stack.trial_ids) for stack in plan(free, 100)] == [100]
    narrow, _ = planner(overhead, "max_stack=30")
    assert max(len(stack.trial_ids) for stack in plan(narrow, 100)) <= 30
    many, _ = planner(overhead, "workers=3")
    assert {stack.workers for stack in plan(many, 100)} == {3}


def test_several_gpus_are_one_worker_each(planner) -> None:
    made, _ = planner(overhead, devices=("cuda:0", "cuda:1"))
    assert made.workers == 2
    pinned, _ = planner(overhead, "workers=4", devices=("cuda:0", "cuda:1"))
    assert pinned.workers == 4


def test_processes_of_one_machine_share_its_memory() -> None:
    many = [Speed(width, 16, 1, 1e-3 + 1e-5 * width) for width in (1, 16, 128)]
    assert choose(many, 2000, 1000, max_width=128, is_shared=True).width <= 8
    assert choose(many, 2000, 1000, max_width=128).width > 100


def test_a_cache_of_another_shape_is_no_knowledge(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    known = Measured(7, (Speed(1, 1, 2, 0.5),))
    remember("good", known)
    assert recall("good") == known
    assert recall("unknown") is None
    assert [measured(plain) for plain in (None, [], {}, {"num_trials": 1, "speeds": [{"w": 1}]})] == [None] * 4
    monkeypatch.setattr(speeds, "KEPT_S", 0)
    assert recall("good") is None
    (tmp_path / "initsuite" / "speeds.json").write_text('{"good": [1, 2]}')
    assert recall("good") is None
    (tmp_path / "initsuite" / "speeds.json").write_text("no json")
    assert recall("good") is None


def test_what_another_launch_stored_of_a_stack_is_not_trained_again(make_job, tmp_path, monkeypatch) -> None:
    cell = make_job("init=he").cell
    trials = tuple(cell.trial(0.1, seed, Stage.SCORE) for seed in range(3))
    ids = tuple(trial.trial_id for trial in trials)
    tasks = [Task(Stack(ids, 1, 1, "cpu"), trials, lease="a"), Task(Stack(ids[:1], 1, 1, "cpu"), trials[:1], lease="b")]
    store, found = Store(tmp_path), []
    progress = SimpleNamespace(found=lambda steps, count: found.append(count))
    monkeypatch.setattr(store, "stored", lambda: {ids[0]})
    with Leases(tmp_path) as leases:
        runner = Runner(store, leases, None, None, None, progress)  # type: ignore[arg-type]
        left = list(runner._leased(tasks, [], {cell.cell_id: cell}))
        assert [task.trials for task in left] == [trials[1:]]
        assert found == [1, 1]
        assert sorted(path.stem for path in leases.directory.iterdir()) == ["a"]
        runner._done(left[0])
        assert not list(leases.directory.iterdir())


def test_parts_of_a_task_keep_its_lease(make_job) -> None:
    cell = make_job("init=he").cell
    trials = tuple(cell.trial(0.1, seed, Stage.SCORE) for seed in range(4))
    task = Task(Stack(tuple(trial.trial_id for trial in trials), 2, 1, "cpu"), trials, lease="root")
    part = task.part(trials[:2])
    assert part == replace(task, stack=replace(task.stack, trial_ids=task.stack.trial_ids[:2]), trials=trials[:2])
