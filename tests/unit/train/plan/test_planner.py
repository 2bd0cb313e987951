"""What a launch plans: by earlier plans, by what is known of this machine, by what the user pins."""

import math
import platform
from dataclasses import replace
from types import SimpleNamespace

import pytest

from initsuite.results.leases import Leases
from initsuite.results.store import Store
from initsuite.spec import Stage
from initsuite.train.executor import Executor
from initsuite.train.plan.composition import groups_of
from initsuite.train.plan.planner import Planner
from initsuite.train.plan.stored import Plans
from initsuite.train.runner import Runner
from initsuite.train.task import Stack, Task
from initsuite.train.workers import Pools, Workers


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
        return Planner(settings, Plans(settings.results_dir), pools), timed

    return make


def group_of(planner: Planner, num_trials: int):
    (cell,) = planner.pools.here.executor.cells.values()
    return groups_of((cell, cell.trial(0.1, seed, Stage.SCORE)) for seed in range(num_trials))[0]


def rehearsed(planner: Planner, timed: list[int], num_trials: int):
    """A group whose rehearsal is over; what is timed from now on is measured."""
    group = group_of(planner, num_trials)
    assert planner.rehearse(group).error is None
    timed.clear()
    return group


def plan(planner: Planner, num_trials: int) -> list[Stack]:
    (draft,) = planner.plan([group_of(planner, num_trials)])
    assert draft.error is None
    return list(draft.stacks)


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
    again.plan([rehearsed(again, timed, 500)])
    assert timed == [], "what is known is not timed again"


def test_a_rerun_chooses_as_the_first_run_did_whatever_the_machine_does_meanwhile(planner) -> None:
    first, _ = planner(overhead)
    stacks = plan(first, 200)
    slow, timed = planner(lambda width: 1.0 * width)
    group = rehearsed(slow, timed, 200)
    assert list(slow.plan([group])[0].stacks) == stacks
    assert timed == []


@pytest.mark.parametrize("what", ["machine", "pins"])
def test_speeds_of_another_machine_and_under_other_pins_are_not_used(planner, monkeypatch, what) -> None:
    first, _ = planner(lambda width: 1.0 * width)
    assert {len(stack.trial_ids) for stack in plan(first, 64)} == {1}
    other, timed = planner(overhead, *(["max_stack=64"] if what == "pins" else []))
    if what == "machine":
        monkeypatch.setattr(platform, "node", lambda: "another")
    (draft,) = other.plan([rehearsed(other, timed, 128)])
    assert [len(stack.trial_ids) for stack in draft.kept] == [1] * 64
    assert [len(stack.trial_ids) for stack in draft.new] == [64]
    assert 64 in timed


def test_a_preview_times_no_longer_than_it_may_and_stores_nothing(planner) -> None:
    made, timed = planner(overhead)
    group = rehearsed(made, timed, 100)
    (draft,) = made.plan([group], timing_s=0.0, is_stored=False)
    assert timed == []
    assert math.isnan(draft.seconds)
    assert draft.lines() == ["1 stack of up to 100 trials, 1 process of 1 thread (too little work to measure)"]
    (draft,) = made.plan([group], is_stored=False)
    assert timed
    assert draft.seconds == pytest.approx(600 * overhead(100))
    assert made.plans.read() == ([], {})


def test_a_rerun_says_which_stacks_are_as_they_were(planner) -> None:
    first, _ = planner(overhead)
    stacks = plan(first, 30)
    (draft,) = planner(overhead)[0].plan([group_of(first, 40)])
    assert list(draft.kept) == stacks
    assert [len(stack.trial_ids) for stack in draft.new] == [10]
    assert draft.lines()[0] == "1 stack as an earlier launch planned"
    assert draft.lines()[1].startswith("1 stack of up to 10 trials, 1 process of 1 thread (measured: ")


def test_a_workload_that_breaks_has_an_error_and_no_stacks(planner) -> None:
    def broken(width: int) -> float:
        raise ArithmeticError("the planted defect")

    made, _ = planner(broken)
    group = group_of(made, 3)
    rehearsal = made.rehearse(group)
    assert rehearsal.cell is group.cell
    assert rehearsal.error is not None
    assert "ArithmeticError: the planted defect" in rehearsal.error
    (draft,) = made.plan([group])
    assert (draft.error, draft.stacks, draft.lines()) == (rehearsal.error, (), [])
    assert made.plans.read() == ([], {})


def test_where_no_initializer_works_the_trials_are_planned_and_nothing_is_timed(planner, monkeypatch) -> None:
    made, timed = planner(overhead)
    monkeypatch.setattr(made.pools.here.executor, "member", lambda cell: 1 / 0)
    (draft,) = made.plan([group_of(made, 3)])
    assert [len(stack.trial_ids) for stack in draft.new] == [3]
    assert timed == []


def test_pinned_workers_and_widths_hold_for_stored_plans_too(planner) -> None:
    free, _ = planner(overhead)
    assert [len(stack.trial_ids) for stack in plan(free, 100)] == [100]
    narrow, _ = planner(overhead, "max_stack=30")
    assert max(len(stack.trial_ids) for stack in plan(narrow, 100)) <= 30
    many, _ = planner(overhead, "workers=3")
    assert {stack.workers for stack in plan(many, 100)} == {3}


class FastWorkers(Workers):
    """Processes that cost nothing, and step as fast as this one."""

    def __init__(self, step_s) -> None:
        self.timed, self.cost_s = [], step_s

    def step_s(self, cell, width: int, num_steps: int, threads: int) -> float:
        self.timed.append((width, threads))
        return self.cost_s(width)


def test_worker_processes_are_timed_where_they_may_pay(planner, monkeypatch) -> None:
    def each(width: int) -> float:
        return 1e-2 * width

    made, _ = planner(each)
    fast = FastWorkers(each)
    monkeypatch.setattr(made.pools, "threads", 2)
    monkeypatch.setattr(made.pools, "get", lambda num_workers: fast)
    assert {stack.workers for stack in plan(made, 10)} == {1}
    assert fast.timed == [], "a minute of work is not worth their start"
    (draft,) = made.plan([group_of(made, 100)], is_stored=False)
    assert {(stack.workers, stack.threads) for stack in draft.new} == {(2, 1)}
    assert set(fast.timed) == {(1, 1)}


def test_several_gpus_are_one_worker_each(planner) -> None:
    made, _ = planner(overhead, devices=("cuda:0", "cuda:1"))
    assert made.workers == 2
    pinned, _ = planner(overhead, "workers=4", devices=("cuda:0", "cuda:1"))
    assert pinned.workers == 4


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
        leases.release(left[0].lease)
        assert not list(leases.directory.iterdir())


def test_parts_of_a_task_keep_its_lease(make_job) -> None:
    cell = make_job("init=he").cell
    trials = tuple(cell.trial(0.1, seed, Stage.SCORE) for seed in range(4))
    task = Task(Stack(tuple(trial.trial_id for trial in trials), 2, 1, "cpu"), trials, lease="root")
    part = task.part(trials[:2])
    assert part == replace(task, stack=replace(task.stack, trial_ids=task.stack.trial_ids[:2]), trials=trials[:2])
