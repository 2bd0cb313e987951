"""The plan of a launch, and of its rerun."""

import math
from dataclasses import replace

import pytest
from rich.console import Console

import initsuite
from initsuite.errors import ConfigError
from initsuite.train.executor import Executor
from initsuite.train.launch import plan_cells, run_cells
from initsuite.train.plan.placement import Place
from initsuite.train.plan.planner import Planner
from initsuite.train.plan.preview import COLUMNS, print_plan
from initsuite.wording import format_duration

SMALL = ("max_steps=20", "eval_every=10", "optimizer.lr_grid=[0.01,0.0316,0.1]", "tracking=disabled", "protocol=smoke")


@pytest.fixture
def launch(build_job, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(*overrides: str, inits=("he", "zero")):
        built = [build_job(f"init={init}", f"results_dir={tmp_path / 'results'}", *SMALL, *overrides) for init in inits]
        return [job for job, _ in built], built[0][1]

    return make


def test_a_plan_counts_what_a_launch_trains_and_makes_no_folder(launch) -> None:
    jobs, settings = launch()
    plan = plan_cells(jobs, settings)
    assert list(plan.columns) == COLUMNS
    assert plan.stage.tolist() == ["tune", "score"]
    assert plan.cells.tolist() == [2, 2]
    assert plan.trials.tolist() == [6, 2]
    assert plan.done.tolist() == [0, 0]
    assert (plan.stacks * plan.width >= plan.trials).all()
    assert (plan.memory_mb > 0).all()
    assert plan.illegal.isna().all()
    assert not settings.results_dir.exists()


def test_what_is_stored_is_done(launch) -> None:
    run_cells(*launch())
    plan = plan_cells(*launch())
    assert plan.done.tolist() == plan.trials.tolist()
    assert plan.stacks.tolist() == [0, 0]
    assert plan.expected_s.tolist() == [0.0, 0.0]
    more = plan_cells(*launch("seeds=3"))
    assert (more.trials - more.done).tolist() == [0, 4]


def test_pinned_width_and_workers_are_planned(launch) -> None:
    jobs, settings = launch("max_stack=4", "workers=2")
    plan = plan_cells(jobs, settings)
    assert plan.workers.tolist() == [2, 1], "six trials are two stacks, two are one"
    assert (plan.width <= 4).all()


def test_a_plan_says_that_there_are_not_so_many_cores(launch, capsys) -> None:
    plan_cells(*launch("workers=1000"))
    assert capsys.readouterr().out.count("workers=1000 is more than the") == 1


def test_the_expected_time_grows_with_the_work(launch, monkeypatch) -> None:
    monkeypatch.setattr(
        "initsuite.train.executor.Executor.pace", lambda self, member, seeds, manner: (0.001 * len(seeds), 0.0)
    )
    jobs, settings = launch("max_steps=2000", "eval_every=2000")
    one, two = plan_cells(jobs[:1], settings), plan_cells(jobs, settings)
    assert one.expected_s.sum() == pytest.approx(0.001 * one.trials.sum() * 2000)
    assert two.expected_s.sum() == pytest.approx(2 * one.expected_s.sum())
    assert two.trials.sum() == 2 * one.trials.sum()


def test_a_workload_that_was_not_timed_is_estimated_from_one_that_was(launch, monkeypatch) -> None:
    monkeypatch.setattr("initsuite.train.plan.planner.TIMING_S", 0.0)
    small, settings = launch("max_steps=2000", "eval_every=2000", inits=("he",))
    nothing_timed = plan_cells(small, settings)
    assert nothing_timed.expected_s.isna().all()
    monkeypatch.undo()
    plan_cells(small, settings)  # its speed is remembered
    monkeypatch.setattr("initsuite.train.plan.planner.TIMING_S", 0.0)
    large, _ = launch("max_steps=2000", "eval_every=2000", "model.depth=4", inits=("he",))
    plan = plan_cells([*small, *large], settings)
    assert plan.expected_s.notna().all()
    estimated = plan[plan.why.str.contains("estimated")]
    assert set(estimated.model) == {"mlp-4x64"}


def test_the_total_is_that_of_workloads_that_train_side_by_side(launch, monkeypatch) -> None:
    """Three workloads with one stack each in tuning and one in scoring, a minute each, on four cores."""
    monkeypatch.setattr(Executor, "pace", lambda executor, member, seeds, manner: (0.0, 30.0))
    monkeypatch.setattr(Planner, "place", lambda planner, drafts: Place(workers[0]))
    workers = [1]
    built = [launch(f"model.depth={depth}", inits=("he",)) for depth in (1, 2, 3)]
    jobs, settings = [job for jobs, _ in built for job in jobs], built[0][1]
    for workers[0], total_s in ((4, 120.0), (2, 180.0), (1, 360.0)):
        plan = plan_cells(jobs, settings)
        assert plan.stacks.tolist() == [1] * 6
        assert plan.expected_s.tolist() == [60.0] * 6
        assert plan.attrs["expected_s"] == total_s
        console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        print_plan(plan, settings, console)
        assert f"stacks: {format_duration(total_s)} on cpu" in console.export_text()


def test_illegal_combinations_and_broken_workloads_are_shown_with_their_reason(launch, monkeypatch) -> None:
    jobs, settings = launch(inits=("he",))
    reason = "Mlp: bad value `depth`=0. Expected a whole number from 1."
    plan = plan_cells(jobs, settings, [("model.depth=0", reason)])
    assert plan.illegal.dropna().tolist() == [reason]

    def broken(outputs, targets):
        raise RuntimeError("this loss is broken")

    workload = replace(jobs[0].cell.workload, workload_id="broken", loss=broken)
    job = replace(jobs[0], cell=replace(jobs[0].cell, workload=workload))
    plan = plan_cells([job], settings)
    assert plan.illegal.tolist() == ["RuntimeError: this loss is broken"] * 2


def test_a_plan_is_printed_with_units_and_totals(launch) -> None:
    jobs, settings = launch()
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_plan(plan_cells(jobs, settings, [("model.depth=0", "no such depth")]), settings, console)
    text = console.export_text()
    assert "digits/mlp-2x64/relu/sgd" in text
    assert "2 cells, 8 trials, 0 of them done; 8 to train in" in text
    assert "illegal: model.depth=0: no such depth" in text
    assert "MB" in text


def test_a_plan_of_nothing_but_illegal_combinations_can_be_printed(launch) -> None:
    _, settings = launch()
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    plan = plan_cells([], settings, [("model.depth=0", "no such depth")])
    print_plan(plan, settings, console)
    assert "no such depth" in console.export_text()
    assert math.isnan(plan.expected_s.iloc[0])


@pytest.mark.slow
def test_the_python_call_plans_a_sweep_with_its_illegal_combinations(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shared = ("init=he,xavier", f"results_dir={tmp_path / 'results'}", *SMALL)
    plan = initsuite.plan(*shared, "model.depth=0,1,2")
    legal = plan[plan.illegal.isna()]
    assert set(legal.model) == {"mlp-1x64", "mlp-2x64"}
    assert set(legal.cells) == {2}
    refused = plan[plan.illegal.notna()]
    assert len(refused) == 2
    assert refused.illegal.str.contains("Expected a whole number from 1").all()
    with pytest.raises(ConfigError, match="Expected a whole number from 1"):
        initsuite.plan(*shared, "model.depth=0")


def test_why_trials_are_trained_by_themselves_is_said_once(launch) -> None:
    """The digits have two rows, of tuning and scoring, and one model; a model that is stacked has no such line."""
    jobs, settings = launch("model.depth=1", inits=("he",))
    plan = plan_cells(jobs, settings)
    assert plan.unstacked.tolist() == ["", ""]
    for count, shown in ((0, plan), (1, plan.assign(unstacked="it calls .item()"))):
        console = Console(width=200, record=True)
        print_plan(shown, settings, console)
        line = f"unstacked: {jobs[0].cell.axes['model']}: it calls .item()"
        assert console.export_text().count(line) == count


def test_what_a_model_keeps_is_said_in_the_plan_and_at_the_launch(launch, capsys) -> None:
    jobs, settings = launch("activation=prelu", "model.depth=1", inits=("he",))
    plan = plan_cells(jobs, settings)
    slopes = jobs[0].cell.workload.kept
    assert slopes
    assert plan.kept.tolist() == [", ".join(slopes)] * 2
    console = Console(width=200, record=True)
    print_plan(plan, settings, console)
    line = f"kept: {jobs[0].cell.axes['model']}: {slopes[0]}: the model's own values; no initializer draws them"
    assert console.export_text().count(line) == 1
    capsys.readouterr()
    run_cells(jobs, settings)
    assert line in capsys.readouterr().out
    jobs, settings = launch(inits=("he",))
    assert plan_cells(jobs, settings).kept.tolist() == ["", ""]
