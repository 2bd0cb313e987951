"""What a launch plans: by earlier plans, by the shapes of the trials, by what the user pins."""

import math
import os
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from initsuite.engine import memory
from initsuite.engine.manner import STACKED
from initsuite.engine.memory import bytes_a_trial
from initsuite.files import read_sealed
from initsuite.results.leases import Leases
from initsuite.results.store import Store
from initsuite.spec import Stage
from initsuite.train import executor as executor_module
from initsuite.train import pools as pools_module
from initsuite.train.events import Finished
from initsuite.train.executor import Executor
from initsuite.train.launch import _pools
from initsuite.train.plan import planner as planner_module
from initsuite.train.plan.composition import groups_of
from initsuite.train.plan.placement import PROCESSES_FROM_S, Place
from initsuite.train.plan.planner import Planner
from initsuite.train.plan.stored import Plans
from initsuite.train.pools import Pools
from initsuite.train.runner import Runner
from initsuite.train.task import Stack, Task
from initsuite.wording import format_bytes
from support.stubborn import Dropout, Item, workload_of


@pytest.fixture
def planner(build_job, tmp_path, monkeypatch):
    """`planner(step_s, *overrides)` plans digits trials on a machine whose steps take step_s(width) seconds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(step_s, *overrides: str, devices=("cpu",), threads=1) -> tuple[Planner, list[int]]:
        job, settings = build_job("init=he", f"results_dir={tmp_path / 'results'}", *overrides)
        Store(settings.results_dir)
        executor = Executor({job.cell.cell_id: job.cell}, "cpu", None, math.inf)
        timed: list[int] = []

        def pace(member, seeds, manner):
            timed.append(len(seeds))
            return step_s(len(seeds)), 0.0

        monkeypatch.setattr(executor, "pace", pace)
        pools = Pools(executor, devices, print)
        monkeypatch.setattr(pools, "threads", threads)
        return Planner(settings, Plans(settings.results_dir), pools), timed

    return make


def group_of(planner: Planner, num_trials: int, lrs: int = 1):
    (cell,) = planner.pools.here.executor.cells.values()
    trials = [cell.trial(0.1 * (i + 1), seed, Stage.SCORE) for seed in range(num_trials) for i in range(lrs)]
    return groups_of((cell, trial) for trial in trials)[0]


def plan(planner: Planner, num_trials: int) -> list[Stack]:
    (draft,) = planner.plan([group_of(planner, num_trials)])
    assert draft.error is None
    return list(draft.stacks)


def sizes(stacks) -> list[int]:
    return [len(stack.trial_ids) for stack in stacks]


def overhead(width: int) -> float:
    return 1e-3 + 1e-5 * width


@pytest.mark.parametrize("step_s", [overhead, lambda width: 1.0 * width, lambda width: 1000.0])
@pytest.mark.parametrize("threads", [1, 2, 64])
@pytest.mark.parametrize("workers", [None, 4])
def test_neither_timings_nor_cores_nor_workers_change_a_stack(planner, step_s, threads, workers) -> None:
    asked = [] if workers is None else [f"workers={workers}"]
    made, _ = planner(step_s, *asked, threads=threads)
    assert sizes(plan(made, 100)) == [50, 50]
    assert plan(made, 100) == plan(planner(overhead)[0], 100)


def test_a_timing_is_remembered_by_the_next_launch_until_it_is_told_to_measure_again(planner) -> None:
    first, timed = planner(overhead)
    (draft,) = first.plan([group_of(first, 100)], is_stored=False)
    assert timed == [50]
    assert draft.seconds == pytest.approx(2 * 600 * overhead(50))
    assert draft.lines() == ["100 trials in 2 stacks, up to 50 trained together (0.03 ms per step and trial, measured)"]
    again, timed = planner(lambda width: 5.0)
    (draft,) = again.plan([group_of(again, 100)], is_stored=False)
    assert timed == []
    assert "remembered from" in draft.lines()[0]
    assert "replan=true measures again" in draft.lines()[0]
    told, timed = planner(lambda width: 5.0, "replan=true")
    (draft,) = told.plan([group_of(told, 100)], is_stored=False)
    assert timed == [50]
    assert draft.seconds == pytest.approx(2 * 600 * 5.0)


@pytest.mark.parametrize(
    ("num_seeds", "lrs", "seeds"), [(6, 1, [0, 1, 2, 3, 4, 5]), (2, 3, [0, 0, 0, 1, 1, 1]), (1, 4, [0] * 4)]
)
def test_what_is_timed_shares_its_batches_as_the_stack_does(planner, monkeypatch, num_seeds, lrs, seeds) -> None:
    """Trials of one seed share the product of the first layer; a timing of copies with one seed would promise that."""
    made, _ = planner(overhead)
    executor, found = made.pools.here.executor, []
    monkeypatch.setattr(executor, "pace", lambda *given: Executor.pace(executor, *given))
    monkeypatch.setattr(executor_module, "pace", lambda members, **how: found.extend(members) or (1e-3, 0.0))
    made.plan([group_of(made, num_seeds, lrs)], is_stored=False)
    assert [member.trial.seed for member in found] == seeds


def test_a_timing_that_promised_too_much_is_forgotten(planner, monkeypatch) -> None:
    alone, beside, apart = Place(1), Place(2), Place(2, are_processes=True)
    for place, slower, is_known in (
        (alone, 1.9, True),
        (alone, 2.1, False),
        (beside, 3.9, True),  # threads wait for each other
        (beside, 4.1, False),
        (apart, 1.9, True),
        (apart, 2.1, False),
    ):
        made, _ = planner(lambda width: 1e-3)
        (draft,) = made.plan([group_of(made, 4)])
        monkeypatch.setattr(planner_module, "place_for", lambda *arguments, place=place: place)
        assert made.place([draft]) == place
        took = SimpleNamespace(wall_s=slower * draft.stack_s / 4)
        made.check(Finished(draft.stacks[0].stack_id, [took] * 4))  # type: ignore[list-item]
        later, timed = planner(lambda width: 1e-3)
        later.plan([group_of(later, 4)], is_stored=False)
        assert (timed == []) == is_known


def test_a_plan_times_no_longer_than_it_may_and_a_preview_stores_nothing(planner, monkeypatch) -> None:
    """For a launch too: it holds the planning lease meanwhile."""
    made, timed = planner(overhead)
    group = group_of(made, 60)
    with monkeypatch.context() as patch:
        patch.setattr(planner_module, "TIMING_S", 0.0)
        (draft,) = made.plan([group], is_stored=False)
    assert timed == []
    assert math.isnan(draft.seconds)
    assert draft.lines() == ["60 trials in 2 stacks, up to 30 trained together"]
    (draft,) = made.plan([group], is_stored=False)
    assert draft.seconds == pytest.approx(2 * 600 * overhead(30))
    assert made.plans.read() == []


def test_a_rerun_says_which_stacks_are_as_they_were(planner) -> None:
    first, _ = planner(overhead)
    stacks = plan(first, 30)
    made = planner(overhead)[0]
    (draft,) = made.plan([group_of(made, 40)])
    assert list(draft.kept) == stacks
    assert sizes(draft.new) == [10]
    assert draft.lines()[0] == "2 stacks as an earlier launch planned"
    assert draft.lines()[1].startswith("10 trials in 1 stack, up to 10 trained together (")


def test_pinned_widths_hold_for_stored_plans_too(planner) -> None:
    free, _ = planner(overhead)
    assert sizes(plan(free, 60)) == [30, 30]
    narrow, _ = planner(overhead, "max_stack=20")
    assert sizes(plan(narrow, 60)) == [20, 20, 20]
    wide, _ = planner(overhead, "max_stack=100")
    assert sizes(plan(wide, 150)) == [20, 20, 20, 45, 45]


def test_a_workload_that_breaks_has_an_error_and_no_stacks(planner, monkeypatch) -> None:
    def broken(member) -> None:
        raise ArithmeticError("the planted defect")

    made, _ = planner(overhead)
    monkeypatch.setattr(made.pools.here.executor, "rehearse", broken)
    group = group_of(made, 3)
    rehearsal = made.rehearse(group)
    assert rehearsal.cell is group.cell
    assert rehearsal.error is not None
    assert "ArithmeticError: the planted defect" in rehearsal.error
    (draft,) = made.plan([group])
    assert (draft.error, draft.stacks, draft.lines()) == (rehearsal.error, (), [])
    assert made.plans.read() == []


@pytest.mark.parametrize(("build", "why"), [(Item, "calling .item() on a Tensor"), (Dropout, "")])
def test_what_cannot_be_mapped_is_planned_and_trained_one_trial_at_a_time(planner, build, why: str) -> None:
    """The plan says why, in a line; a network that draws random numbers is stacked like others."""
    made, _ = planner(overhead)
    executor = made.pools.here.executor
    (cell,) = executor.cells.values()
    own = replace(cell, workload=workload_of(SimpleNamespace(cell=cell), build))
    executor.cells = {own.cell_id: own}
    group = group_of(made, 3)
    (draft,) = made.plan([group])
    assert (len(draft.stacks), draft.width) == ((3, 1) if why else (1, 3))
    assert sum("each trial is trained by itself" in line for line in draft.lines()) == bool(why)
    assert why in draft.lines()[-1]
    trials, events = {trial.trial_id: trial for trial in group.trials}, []
    for stack in draft.stacks:
        executor.run(Task(stack, tuple(trials[name] for name in stack.trial_ids), "", draft.manner), events.append)
    results = [result for event in events if isinstance(event, Finished) for result in event.results]
    assert [(result.trial, result.error) for result in results] == [(trial, "") for trial in group.trials]


def test_a_model_that_memory_cannot_hold_is_refused_before_its_first_step(planner, monkeypatch) -> None:
    made, timed = planner(overhead)
    monkeypatch.setattr(memory, "least_free", lambda devices: (2000, "cpu"))
    monkeypatch.setattr(made.pools.here.executor, "rehearse", lambda member: pytest.fail("a step"))
    (draft,) = made.plan([group_of(made, 3)])
    assert timed == []
    assert draft.stacks == ()
    workload = group_of(made, 1).cell.workload
    needed = format_bytes(bytes_a_trial(workload) + 16 * sum(each.numel() for each in workload.model.parameters()))
    assert f"Got about {needed} to train a trial at batch_size=64. Expected at most the 2 kB that are" in draft.error
    assert "Use a narrower model" in draft.error


def test_little_memory_splits_a_stack_and_the_plan_says_so(planner, monkeypatch) -> None:
    made, _ = planner(overhead)
    monkeypatch.setattr(planner_module, "widest", lambda devices, bytes_each: 16)
    (draft,) = made.plan([group_of(made, 60)])
    assert sizes(draft.new) == [15] * 4
    assert ", in place of up to 64: there is no memory for more" in draft.lines()[0]
    (stored,) = made.plans.directory.iterdir()
    assert "no memory for more" in read_sealed(stored)["notes"][0]


def test_a_stored_plan_that_needs_more_memory_than_there_is_now_is_not_repeated(planner, monkeypatch) -> None:
    """A launch in a container with less memory would be killed, as would every one after it."""
    made, _ = planner(overhead)
    assert sizes(plan(made, 60)) == [30, 30]
    monkeypatch.setattr(planner_module, "widest", lambda devices, bytes_each: 16)
    (planned,) = planner(overhead)[0].plan([group_of(made, 60)])
    assert sizes(planned.stacks) == [15] * 4
    assert "no memory for more" in planned.lines()[0]


def test_where_no_initializer_works_the_trials_are_planned_and_nothing_is_timed(planner, monkeypatch) -> None:
    made, timed = planner(overhead)
    monkeypatch.setattr(made.pools.here.executor, "member", lambda cell: 1 / 0)
    (draft,) = made.plan([group_of(made, 3)])
    assert sizes(draft.new) == [3]
    assert timed == []


@pytest.mark.parametrize("is_drawn", [True, False])
def test_whether_a_model_can_be_copied_is_known_before_threads_exist(planner, monkeypatch, is_drawn) -> None:
    """Found out while another thread draws, a copy might fail, or hold what that thread lends the model."""
    made, _ = planner(overhead)
    group = group_of(made, 3)
    asked: list[bool] = []
    monkeypatch.setattr(type(group.cell.workload), "can_be_shared", property(lambda workload: asked.append(True)))
    if not is_drawn:
        monkeypatch.setattr(made.pools.here.executor, "member", lambda cell: 1 / 0)
    made.rehearse(group)
    assert asked


def test_stacks_are_trained_on_as_many_cores_as_there_are(planner) -> None:
    made, _ = planner(overhead, threads=2)
    drafts = made.plan([group_of(made, 100)], is_stored=False)
    assert made.place(drafts) == Place(2)
    slow, _ = planner(lambda width: 1.0, "replan=true", threads=2)
    assert slow.place(slow.plan([group_of(slow, 100)], is_stored=False)) == Place(2, are_processes=True)


def test_a_workload_of_unknown_speed_does_not_hide_what_is_known_of_the_others(planner) -> None:
    made, _ = planner(lambda width: 1.0, threads=2)
    (known,) = made.plan([group_of(made, 100)], is_stored=False)
    unknown = replace(known, speed=None)
    assert made.place([known, unknown]) == made.place([unknown, known]) == Place(2, are_processes=True)
    third = replace(known, speed=replace(known.speed, step_s=PROCESSES_FROM_S / 3 / 600, evaluation_s=0.0))
    stack, stacks = replace(third, new=third.new[:1]), replace(third, speed=None)
    assert stack.seconds < PROCESSES_FROM_S / 2
    assert made.place([stack, replace(stack, speed=None)]) == Place(2)
    assert made.place([stack, stacks, stacks]) == Place(2, are_processes=True), "five thirds of what processes need"
    assert made.place([unknown]) == made.place([unknown, replace(known, new=(), speed=None)]) == Place(2)


def test_more_workers_than_cores_are_capped_and_that_is_said_once(planner, capsys) -> None:
    made, _ = planner(overhead, "workers=1000")
    drafts = made.plan([group_of(made, 6400)], is_stored=False)
    cores = len(os.sched_getaffinity(0))
    assert made.place(drafts).workers == made.place(drafts).workers == cores
    said = capsys.readouterr().out
    assert said.count("workers=1000 is more than the") == 1
    assert f"{cores} {'is' if cores == 1 else 'are'} used" in said


@pytest.fixture
def gpus(monkeypatch) -> list[int]:
    """A machine with as many GPUs as there are numbers put into this list: the free memory of each, in bytes."""
    free: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(free))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "planted")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.index], 1 << 40))
    return free


def on_gpus(planner, monkeypatch, *overrides: str) -> Planner:
    """As a launch makes it, with the GPUs that it finds; nothing is computed on them."""
    made, _ = planner(overhead, "device=cuda", *overrides)
    jobs = [SimpleNamespace(cell=cell, cell_id=cell.cell_id) for cell in made.pools.here.executor.cells.values()]
    made.pools = _pools(jobs, made.settings, print)  # type: ignore[arg-type]
    executor = made.pools.here.executor
    monkeypatch.setattr(executor, "rehearse", lambda member: STACKED)
    monkeypatch.setattr(executor, "pace", lambda member, seeds, manner: (overhead(len(seeds)), 0.0))
    return made


@pytest.mark.parametrize(
    ("words", "workers", "devices"),
    [
        ([], 3, ["cuda:0", "cuda:1", "cuda:2"]),
        (["workers=2"], 2, ["cuda:0", "cuda:1"]),
        (["workers=9"], 3, ["cuda:0", "cuda:1", "cuda:2"]),
        (["device=cuda:1"], 1, ["cuda:1"]),
        (["device=cuda:1", "workers=2"], 1, ["cuda:1"]),
    ],
)
def test_each_gpu_has_one_worker_on_a_device_of_its_own(planner, gpus, monkeypatch, capsys, words, workers, devices):
    gpus += [1 << 34] * 3
    started: list[list[str]] = []
    monkeypatch.setattr(pools_module, "Workers", lambda executor, devices: started.append(list(devices)))
    made = on_gpus(planner, monkeypatch, *words)
    place = made.place(made.plan([group_of(made, 5000)], is_stored=False))
    assert place == Place(workers, are_processes=workers > 1, are_on_gpus=True)
    made.pools.get(place)
    assert started == ([devices] if workers > 1 else [])
    assert made.pools.devices == devices
    assert made.pools.here.executor.device == devices[0]
    said = capsys.readouterr().out
    assert ("workers=9 is more than the 3 GPUs" in said) == ("workers=9" in words)
    assert ("workers=2 is more than the 1 GPU of" in said) == (words == ["device=cuda:1", "workers=2"])


def test_a_stack_fits_into_the_gpu_with_the_least_memory(planner, gpus, monkeypatch) -> None:
    gpus += [1 << 40, 1 << 40]
    made = on_gpus(planner, monkeypatch)
    each = bytes_a_trial(group_of(made, 1).cell.workload)
    gpus[1] = 2 * 17 * each
    (draft,) = made.plan([group_of(made, 600)], is_stored=False)
    assert draft.width <= 16
    gpus[1] = 1 << 40
    (draft,) = made.plan([group_of(made, 600)], is_stored=False)
    assert draft.width == 300
    gpus[0] = 1000
    refused = on_gpus(planner, monkeypatch)
    (draft,) = refused.plan([group_of(refused, 3)], is_stored=False)
    assert "1 kB" in draft.error
    assert "cuda:0" in draft.error


def test_a_gpu_need_not_hold_what_a_model_takes_of_the_cpu_to_be_set_up(planner, gpus, monkeypatch) -> None:
    gpus.append(1 << 40)
    made = on_gpus(planner, monkeypatch)
    workload = group_of(made, 1).cell.workload
    each, set_up = bytes_a_trial(workload), memory.set_up_bytes(workload.model)
    machine = SimpleNamespace(available=1 << 40)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: machine)
    for gpus[0], machine.available, lacking in (
        (each, set_up, None),
        (each - 1, set_up, "to train a trial at batch_size=64. Expected at most the .* free on cuda:0"),
        (each, set_up - 1, "to make and draw them. Expected at most the .* free on cpu"),
    ):
        refused = on_gpus(planner, monkeypatch).rehearse(group_of(made, 1)).error
        assert bool(refused) == bool(lacking)
        assert lacking is None or re.search(lacking, refused)


def test_what_another_launch_stored_of_a_stack_is_not_trained_again(make_job, tmp_path, monkeypatch) -> None:
    cell = make_job("init=he").cell
    trials = tuple(cell.trial(0.1, seed, Stage.SCORE) for seed in range(3))
    ids = tuple(trial.trial_id for trial in trials)
    tasks = [Task(Stack(ids, "cpu"), trials, lease="a"), Task(Stack(ids[:1], "cpu"), trials[:1], lease="b")]
    store, found = Store(tmp_path), []
    progress = SimpleNamespace(found=found.extend)
    monkeypatch.setattr(store, "stored", lambda: {ids[0]})
    with Leases(tmp_path) as leases:
        runner = Runner(store, leases, None, None, None, progress)  # type: ignore[arg-type]
        left = list(runner._leased(tasks, []))
        assert [task.trials for task in left] == [trials[1:]]
        assert found == [ids[0], ids[0]]
        assert sorted(path.stem for path in leases.directory.iterdir()) == ["a"]
        leases.release(left[0].lease)
        assert not list(leases.directory.iterdir())


def test_parts_of_a_task_keep_its_lease(make_job) -> None:
    cell = make_job("init=he").cell
    trials = tuple(cell.trial(0.1, seed, Stage.SCORE) for seed in range(4))
    task = Task(Stack(tuple(trial.trial_id for trial in trials), "cpu"), trials, lease="root")
    part = task.part(trials[:2])
    assert part == replace(task, stack=replace(task.stack, trial_ids=task.stack.trial_ids[:2]), trials=trials[:2])
