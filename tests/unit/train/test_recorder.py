"""on_error, sinks that break, and the terminal with several stacks at once."""

import pickle
import pickletools
from dataclasses import replace
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from rich.console import Console

from initsuite.engine.checkpoint import Checkpoint
from initsuite.errors import ConfigError
from initsuite.results.leases import Leases
from initsuite.results.store import Store
from initsuite.spec import PROTOCOL_VERSION, Announced, Evaluation, Stage, Stored
from initsuite.train.events import Abandoned, Evaluated, Event, Finished, Lost, Note, Started, StopLaunch
from initsuite.train.launch import TrialsFailed, raise_if_failed, run_cells
from initsuite.train.progress import Progress
from initsuite.train.recorder import Recorder
from initsuite.train.task import Stack, checkpoint_path, failure, identity_of
from initsuite.train.trials import grids_of, tuning_pairs

SMALL = ("max_steps=4", "eval_every=2", "tracking=disabled", "protocol=smoke", "optimizer.lr_grid=[0.01,0.1]")


@pytest.fixture
def recorder(build_job, tmp_path):
    def make(*overrides: str):
        job, settings = build_job("init=he", f"results_dir={tmp_path / 'results'}", *SMALL, *overrides)
        progress = Progress(Console(width=200, record=True, quiet=True))
        return job, Recorder(Store(settings.results_dir), settings, [job], [progress], progress.say)

    return make


def fail(job, recorder, seed: int) -> None:
    trial = job.cell.trial(0.1, seed, Stage.SCORE)
    recorder.take(Started(str(seed), [trial]))
    recorder.take(Finished(str(seed), [failure(trial, "Traceback\nValueError: no", 1, "cpu")]))


def test_a_launch_goes_on_after_failures_unless_it_is_told_to_stop(recorder) -> None:
    job, patient = recorder()
    for seed in range(5):
        fail(job, patient, seed)
    job, strict = recorder("on_error=stop")
    with pytest.raises(StopLaunch):
        fail(job, strict, 0)
    job, third = recorder("on_error=stop_after:3")
    fail(job, third, 0)
    fail(job, third, 1)
    with pytest.raises(StopLaunch):
        fail(job, third, 2)
    assert (third.store.trials().status == "failed").all(), "the failure that stops the launch is stored as well"


def test_what_sinks_are_told_loads_without_torch(recorder) -> None:
    """W&B's process gets it pickled, and torch's version is a class of torch: two seconds of import."""
    told = []

    job, mine = recorder()
    mine.sinks.append(SimpleNamespace(take=told.append))
    fail(job, mine, 0)
    assert [type(news) for news in told] == [Announced, Stored]
    assert not [name for name in pickle_globals(told) if name.startswith("torch")]


def pickle_globals(news) -> list[str]:
    """Module and name of everything that reading it back imports."""
    operations = pickletools.genops(pickle.dumps(news, protocol=0))
    return [str(argument) for operation, argument, _ in operations if operation.name == "GLOBAL"]


def test_every_event_survives_the_pipe_and_is_acted_on_in_order(recorder) -> None:
    """As it comes from a worker: pickled, without its cell. What the sinks are told, and when, is fixed."""
    job, mine = recorder()
    told, said = [], []
    mine.sinks, mine.say = [SimpleNamespace(take=told.append)], said.append
    trials = [job.cell.trial(0.1, seed, Stage.SCORE) for seed in (0, 1)]
    events = [
        Started("wide", trials),
        Evaluated("wide", evaluation(2, 0.5, 0.6)),
        Lost("wide"),
        Started("wide", trials),
        Abandoned("wide"),
        Note("trying its halves"),
        Started("narrow", trials[:1]),
        Finished("narrow", [failure(trials[0], "Traceback\nValueError: no", 1, "cpu")]),
    ]
    assert {type(event) for event in events} == set(get_args(Event)), "a new kind of event belongs in this test"
    assert not [name for name in pickle_globals(events) if name.startswith(("torch", "initsuite.engine"))]
    kept = checkpoint_path(mine.settings.checkpoints, "wide")
    kept.parent.mkdir()
    kept.touch()
    for index, event in enumerate(events):
        mine.take(pickle.loads(pickle.dumps(event)))
        assert kept.exists() or index >= 4, "who loses a process goes on from its checkpoint"
    assert not kept.exists()
    assert [type(news) for news in told] == [Announced, Evaluated, Abandoned, Announced, Abandoned, Announced, Stored]
    assert [news.stack_id for news in told] == ["wide"] * 5 + ["narrow"] * 2
    assert [info.trial for info in told[0].trials] == trials
    assert (told[1].evaluation.val_score == [0.5, 0.6]).all()
    assert [row["trial_id"] for row in told[6].rows] == [trials[0].trial_id]
    assert said == ["trying its halves"]


def test_an_event_that_nobody_knows_is_no_event(recorder) -> None:
    with pytest.raises(AssertionError, match="Expected code to be unreachable, but got: 'started'"):
        recorder()[1].take("started")


@pytest.mark.parametrize("word", ["ignore", "stop_after", "stop_after:0", "stop_after:x"])
def test_an_unknown_on_error_is_refused(build_job, word) -> None:
    with pytest.raises(ConfigError, match="continue, stop, stop_after:K with K from 1"):
        build_job(f"on_error='{word}'")


@pytest.mark.parametrize("override", ["checkpoint_every_s=-1", "checkpoint_every_s=nan"])
def test_a_negative_checkpoint_interval_is_refused(build_job, override) -> None:
    with pytest.raises(ConfigError, match=r"a finite number from 0\. `inf` writes none"):
        build_job(override)


def test_checkpoints_can_be_switched_off(build_job) -> None:
    assert build_job("checkpoint_every_s=inf")[1].checkpoint_every_s == float("inf")


def test_workers_are_a_whole_number(build_job) -> None:
    with pytest.raises(ConfigError, match="Expected a whole number from 1"):
        build_job("workers=0")


def test_a_launch_that_on_error_stops_says_so_and_keeps_the_rest(build_job, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    overrides = (f"results_dir={tmp_path / 'results'}", *SMALL, "on_error=stop", "max_stack=1")
    job, settings = build_job("init=he", *overrides)

    def broken(model, specs, *, seed, probe=None):
        raise RuntimeError("no law")

    bad = replace(job, cell=replace(job.cell, initializer=broken))
    outcome = run_cells([bad], settings)
    assert not outcome.is_complete
    assert len(outcome.failed) == 1
    with pytest.raises(TrialsFailed, match=r"1 trial failed\. The launch stopped there \(on_error\)"):
        raise_if_failed(outcome, settings)


def test_a_workload_that_cannot_take_a_step_fails_without_a_long_run(build_job, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    job, settings = build_job("init=he", f"results_dir={tmp_path / 'results'}", *SMALL)
    steps = []

    def broken(outputs, targets):
        steps.append(1)
        raise RuntimeError("this loss is broken")

    workload = replace(job.cell.workload, workload_id="broken", loss=broken)
    good = replace(job, cell=replace(job.cell, cell_id="good"))
    bad = replace(job, cell=replace(job.cell, workload=workload))
    outcome = run_cells([bad, good], settings)
    trials = Store(settings.results_dir).trials()
    assert set(trials.status[trials.cell_id == bad.cell.cell_id]) == {"failed"}
    assert trials.error[trials.cell_id == bad.cell.cell_id].str.contains("this loss is broken").all()
    assert set(trials.status[trials.cell_id == "good"]) == {"done"}
    assert len(steps) == 3, "one rehearsal, in each manner, and none of its trials was started"
    assert np.isnan(outcome.scores[0])
    assert outcome.scores[1] > 0


@pytest.fixture
def leftovers(build_job, tmp_path, monkeypatch):
    """A launch whose folder holds checkpoints of earlier ones, by name, and whether each is needed after it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    job, settings = build_job("init=he", f"results_dir={tmp_path / 'results'}", *SMALL)
    mine = Stack(tuple(trial.trial_id for _, trial in tuning_pairs([job], grids_of([job]))), "cpu")
    identities = {
        "stored": identity_of(mine),
        "partly": identity_of(Stack((mine.trial_ids[0], "elsewhere"), "cpu")),
        "older": {**identity_of(Stack(("elsewhere",), "cpu")), "protocol_version": str(PROTOCOL_VERSION - 1)},
        "bare": {"stack_id": "bare"},
        "waiting": identity_of(Stack(("elsewhere",), "cpu")),
        "newer": {**identity_of(mine), "protocol_version": str(PROTOCOL_VERSION + 1)},
    }
    for name, identity in identities.items():
        Checkpoint(checkpoint_path(settings.checkpoints, name), 0.0, identity).save([], dict)
    for name in ("cut.pt", ".gone.pt.0123.tmp", ".waiting.pt.4567.tmp"):
        (settings.checkpoints / name).write_bytes((settings.checkpoints / "stored.pt").read_bytes()[:-40])
    return job, settings


def names(settings) -> set[str]:
    return {path.name for path in settings.checkpoints.iterdir()}


def test_a_launch_that_ends_well_removes_the_checkpoints_that_nobody_will_continue(leftovers) -> None:
    job, settings = leftovers
    assert len(names(settings)) == 9
    results = settings.results_dir
    killed = [".writable-01ab", *(f"{kind}/.one.parquet.01ab.tmp" for kind in ("trials", "curves", "plans"))]
    pieces = [".planning.01ab", ".clock-01ab", "planning.01ab"]
    for name in [*killed, *(f"claims/{piece}" for piece in pieces)]:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("half")
    run_cells([job], settings)
    assert names(settings) == {"waiting.pt", "newer.pt"}
    assert not list((results / "claims").iterdir())
    assert not list(results.rglob(".*"))


def test_beside_another_launch_they_stay_until_the_last_one_ends(leftovers) -> None:
    job, settings = leftovers
    before = names(settings)
    Store(settings.results_dir)
    with Leases(settings.results_dir) as another:
        assert another.take("a stack")
        run_cells([job], settings)
        assert names(settings) == before
    run_cells([job], settings)  # which finds every trial stored
    assert names(settings) == {"waiting.pt", "newer.pt"}


def test_a_launch_that_is_stopped_leaves_them(leftovers) -> None:
    job, settings = leftovers

    def broken(model, specs, *, seed, probe=None):
        raise RuntimeError("no law")

    before = names(settings)
    bad = replace(job, cell=replace(job.cell, initializer=broken))
    assert not run_cells([bad], replace(settings, max_failures=1)).is_complete
    assert names(settings) == before


def evaluation(step: int, *accuracy: float) -> Evaluation:
    values = np.array(accuracy)
    return Evaluation(step, values, values, values)


def test_the_terminal_counts_several_stacks_and_takes_back_an_abandoned_one(recorder) -> None:
    job, recorder = recorder()
    (progress,) = recorder.sinks
    progress.planned(num_trials=4)
    for name, seeds in (("a", (0, 1)), ("b", (2, 3))):
        trials = [job.cell.trial(0.1, seed, Stage.SCORE) for seed in seeds]
        progress.forecast.expect({trial.trial_id: 10.0 for trial in trials}, at_a_time=2)
        recorder.take(Started(name, trials))
        recorder.take(Evaluated(name, evaluation(2, 0.5, 0.6)))
    assert progress.forecast.share == pytest.approx(0.5)
    assert "scoring 4 together, " in progress._status()
    recorder.take(Abandoned("b"))
    assert progress.forecast.share == pytest.approx(0.25)
    assert "scoring 2 together, step 2 of 4" in progress._status()
    progress.found([trial.trial_id for trial in trials])
    assert progress.forecast.share == pytest.approx(0.5)
    assert "0 of 2 trials" in progress._status()
