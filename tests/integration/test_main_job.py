"""Launches on real digits, small: what is trained, stored, left out, and what a rerun adds."""

import math
from dataclasses import dataclass, replace

import pandas as pd
import pytest
import torch
from torch import nn

import initsuite
from initsuite.config.build import Job
from initsuite.spec import PROTOCOL_VERSION
from initsuite.train.launch import TrialsFailed, raise_if_failed, run_cells
from initsuite.train.plan.stored import Plans

SMALL = ("max_steps=40", "eval_every=20", "optimizer.lr_grid=[0.01,0.0316,0.1]", "tracking=disabled")


def launch(jobs_and_settings) -> pd.DataFrame:
    jobs = [job for job, _ in jobs_and_settings]
    settings = jobs_and_settings[0][1]
    run_cells(jobs, settings)
    return initsuite.load_results(settings.results_dir).trials


@pytest.fixture
def sweep(build_job, tmp_path):
    def make(*overrides: str, inits=("he", "zero"), results="results"):
        return [build_job(f"init={init}", f"results_dir={tmp_path / results}", *SMALL, *overrides) for init in inits]

    return make


def test_a_tuned_launch_stores_every_trial_with_its_facts(sweep) -> None:
    trials = launch(sweep("protocol=smoke"))
    tune, score = trials[trials.stage == "tune"], trials[trials.stage == "score"]
    assert sorted(tune[tune.init == "zero"].lr) == sorted(tune[tune.init == "he"].lr)
    assert set(tune.seed) == {10_000}
    assert (score.groupby("init").size() == 1).all()
    assert set(score.seed) == {0}
    assert tune.test_score.isna().all()
    assert score.test_score.notna().all()
    assert set(trials.status) == {"done"}
    assert set(trials.model) == {"mlp-2x64"}
    assert set(trials.protocol_version) == {PROTOCOL_VERSION}
    assert trials.trial_id.is_unique
    assert trials.cell_id.nunique() == 2
    assert trials.context_id.nunique() == 1
    he = score[score.init == "he"].iloc[0]
    assert he.lr == tune[tune.init == "he"].sort_values("final_val_score").lr.iloc[-1]
    assert he.epochs_to_easy == pytest.approx(he.steps_to_easy / (1197 / 64), nan_ok=True)


def test_the_edge_of_the_grid_is_extended_for_the_whole_context(sweep) -> None:
    trials = launch(sweep("protocol=smoke", "optimizer.lr_grid=[0.0001,0.001]"))
    tune = trials[trials.stage == "tune"]
    for init in ("he", "zero"):
        assert sorted(tune[tune.init == init].lr) == [0.0001, 0.001, 0.01, 0.1]


def test_a_rerun_trains_nothing_and_more_seeds_only_add(sweep) -> None:
    first = launch(sweep("protocol=smoke"))
    assert launch(sweep("protocol=smoke")).equals(first)
    more = launch(sweep("protocol=smoke", "seeds=3"))
    assert set(first.trial_id) < set(more.trial_id)
    assert more[more.trial_id.isin(first.trial_id)].written_at.equals(first.written_at)
    assert len(more) == len(first) + 2 * 2


def test_checkpoints_of_stored_stacks_are_removed_by_the_next_launch(sweep) -> None:
    jobs = sweep("protocol=smoke")
    launch(jobs)
    settings = jobs[0][1]
    stacks = Plans(settings.results_dir).read()
    settings.checkpoints.mkdir(exist_ok=True)
    left = [settings.checkpoints / f"{stack.stack_id}.pt" for stack in stacks]
    damaged = settings.checkpoints / "ffffffffffffffff.pt"
    for path in (*left, damaged):
        path.touch()
    launch(jobs)
    assert left
    assert not list(settings.checkpoints.iterdir())


@pytest.mark.slow
def test_a_stronger_protocol_only_adds(sweep) -> None:
    smoke = launch(sweep("protocol=smoke"))
    quick = launch(sweep("protocol=quick", "seeds=2"))
    assert set(smoke.trial_id) <= set(quick.trial_id)


@pytest.mark.slow
def test_the_same_command_in_a_new_store_gives_the_same_numbers(sweep) -> None:
    numbers = ["trial_id", "loss_auc", "final_val_score", "best_val_score", "test_score"]
    a, b = (launch(sweep("protocol=smoke", results=name))[numbers] for name in ("a", "b"))
    pd.testing.assert_frame_equal(
        a.sort_values("trial_id", ignore_index=True), b.sort_values("trial_id", ignore_index=True), check_exact=True
    )


def test_a_fixed_protocol_trains_one_lr(sweep) -> None:
    trials = launch(sweep("protocol=fixed", "optimizer.lr=0.05", "seeds=2"))
    assert set(trials.lr) == {0.05}
    assert set(trials.stage) == {"score"}
    assert len(trials) == 4


def test_zero_stays_at_chance(sweep) -> None:
    trials = launch(sweep("protocol=fixed", "optimizer.lr=0.1", "seeds=3", inits=("zero",)))
    assert (trials.best_val_score < 0.13).all()


@dataclass(frozen=True)
class Broken:
    """An initializer that raises for one seed."""

    def __call__(self, model, specs, *, seed, probe=None):
        raise ArithmeticError("the planted defect")


def test_an_initializer_that_raises_fails_its_own_trials_only(sweep) -> None:
    built = sweep("protocol=fixed", "optimizer.lr=0.1", "seeds=2", inits=("he", "xavier"))
    (he, settings), (xavier, _) = built
    broken = Job(replace(xavier.cell, initializer=Broken()), xavier.protocol)
    outcome = run_cells([he, broken], settings)
    trials = initsuite.load_results(settings.results_dir).trials
    assert dict(trials.groupby("init").status.first()) == {"he": "done", "xavier": "failed"}
    assert trials[trials.init == "xavier"].error.str.contains("the planted defect").all()
    assert trials[trials.init == "xavier"].error.str.contains("Traceback").all()
    assert math.isnan(outcome.scores[1])
    assert outcome.scores[0] > 0.5
    with pytest.raises(TrialsFailed, match="the same command tries the failed ones again"):
        raise_if_failed(outcome, settings)
    outcome = run_cells([he, xavier], settings)  # fixed: the rerun replaces the failed rows
    assert outcome.failed.empty
    assert set(initsuite.load_results(settings.results_dir).trials.status) == {"done"}


class Raises(nn.Module):
    def forward(self, x):
        raise RuntimeError("the planted model defect")


def test_a_model_that_raises_becomes_rows_and_the_rest_goes_on(sweep, build_job) -> None:
    (he, settings), (other, _) = sweep("protocol=fixed", "optimizer.lr=0.1", "seeds=1", inits=("he", "xavier"))
    workload = other.cell.workload
    model = Raises()
    for index, spec in enumerate(workload.specs):
        model.register_parameter(f"p{index}", nn.Parameter(torch.empty(spec.shape, device="meta")))
    specs = tuple(replace(spec, name=f"p{index}") for index, spec in enumerate(workload.specs))
    bad = replace(other.cell, workload=replace(workload, workload_id="bad", model=model, specs=specs))
    outcome = run_cells([Job(bad, other.protocol), he], settings)
    assert outcome.failed.error.str.contains("the planted model defect").all()
    assert len(outcome.failed) == 1
    assert outcome.scores[1] > 0.5


def test_hidden_units_of_zero_stay_identical(make_job) -> None:
    """The article's symmetry: with every weight and bias 0, ten steps change the head's bias and nothing else."""
    from initsuite.data.order import BatchOrder
    from initsuite.engine.stack import Member, stack_state, start_of
    from initsuite.engine.step import make_step
    from initsuite.spec import Stage

    cell = make_job("init=zero").cell
    train, names = cell.workload.dataset.train, [spec.name for spec in cell.workload.specs]
    member = Member(cell, cell.trial(0.1, 0, Stage.SCORE), *start_of(cell.workload, cell.initializer, 0))
    state = stack_state([member], torch.device("cpu"), torch.float32)
    step = make_step(cell.workload, cell.optimizer, state)
    order = BatchOrder(len(train), 64, seeds=[0])
    for number in range(10):
        step(train.inputs[order[number]], train.targets[order[number]])
    hidden = state.params[names[0]][0]
    assert (hidden == hidden[0]).all()
    changed = [name for name in names if state.params[name].any()]
    assert changed == [names[-1]]


@pytest.mark.slow
def test_a_sink_that_breaks_costs_no_result(sweep, monkeypatch, capsys) -> None:
    """Whatever the event, the sink is dropped and named, and every trial is stored."""
    from initsuite.spec import Announced, Evaluated, Stored
    from initsuite.train.progress import Progress

    for kind in (Announced, Evaluated, Stored):

        class Breaks(Progress):
            def take(self, news, kind=kind):
                if isinstance(news, kind):
                    raise ValueError("the planted sink defect")
                super().take(news)

        monkeypatch.setattr("initsuite.train.launch.Progress", Breaks)
        trials = launch(sweep("protocol=smoke", results=kind.__name__, inits=("he",)))
        assert set(trials.status) == {"done"}
        error = f"{kind.__name__.lower()}: ValueError('the planted sink defect')"
        assert f"Breaks: dropped in this launch after an error in {error}" in capsys.readouterr().out
