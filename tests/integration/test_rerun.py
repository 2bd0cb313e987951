"""A command whose trials are all stored: it says so without making a model or reading a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from torch import nn

from initsuite.config import workload as workloads
from initsuite.config.build import Job
from initsuite.config.sweep import Built, build_jobs, compose_sweep, raise_if_illegal
from initsuite.data import digits
from initsuite.errors import ConfigError
from initsuite.models.describe import describe
from initsuite.results.parts import new_name, write_parts
from initsuite.results.store import load_results
from initsuite.spec import Ended, News, Stage, Trial
from initsuite.train import launch as launches
from initsuite.train.launch import Inventory, Outcome, run_cells

SMALL = ("protocol=smoke", "max_steps=2", "eval_every=1", "optimizer.lr_grid=[0.01,0.1]", "tracking=disabled")
SWEEP = ("init=he,xavier", "activation=relu,tanh", "model.depth=1,2")
WORKLOADS = 4

Launch = Callable[..., tuple[Built, Outcome]]


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """What the launcher does with the overrides of a sweep."""

    def run(*overrides: str) -> tuple[Built, Outcome]:
        inventory = Inventory()
        jobs = compose_sweep([*SMALL, *overrides, f"results_dir={tmp_path / 'store'}"])
        built = build_jobs(jobs, finished=inventory.finished)
        raise_if_illegal(built)
        return built, run_cells(built.jobs, built.settings, inventory.store)

    return run


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often models are made, recorded and run, data sets read, and W&B started."""
    found: Counter[str] = Counter()

    def count(where: Any, name: str) -> None:
        function = getattr(where, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            found[name] += 1
            return function(*args, **kwargs)

        counting.is_fixed_by_options = getattr(function, "is_fixed_by_options", False)  # type: ignore[attr-defined]
        counting.__module__ = function.__module__
        monkeypatch.setattr(where, name, counting)

    for where, name in (
        (workloads, "built"),
        (describe, "record"),
        (nn.Module, "__call__"),
        (digits, "digits"),
        (launches, "wandb_sink"),
    ):
        count(where, name)
    return found


def test_a_rerun_that_finds_everything_stored_makes_records_and_runs_no_model(
    launch: Launch, work: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, first = launch(*SWEEP)
    assert work["built"] == work["record"] == WORKLOADS, "once for a workload, whatever its initializers"
    assert work["digits"] == work["wandb_sink"] == 1
    assert work["__call__"] > WORKLOADS
    work.clear()
    built, again = launch(*SWEEP)
    assert not work
    assert again.scores == first.scores
    assert len(built.jobs) == 2 * WORKLOADS
    said = capsys.readouterr().out
    shown = said.partition("Every trial of this command is already stored.")[2]
    assert shown.count("validation accuracy (mean, range)") == WORKLOADS, "the results again, by workload"
    assert all(f"\n{init} " in shown for init in ("he", "xavier"))


def test_inside_an_agent_a_command_whose_trials_are_stored_reports_their_score(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the agent waits for a run that nobody writes, and the sweep takes the command for a failure."""
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    news: list[News] = []

    class Recording:
        def take(self, one: News) -> None:
            news.append(one)

        def close(self) -> list[str]:
            return []

    monkeypatch.setattr(launches, "wandb_sink", lambda tracking: Recording())
    _, first = launch("init=he")
    assert news[-1] == Ended(first.scores)
    assert len(news) > 1
    news.clear()
    launch("init=he")
    assert news == [Ended(first.scores)]


def test_only_what_has_something_to_train_is_built(launch: Launch, work: Counter[str], tmp_path: Path) -> None:
    launch(*SWEEP)
    before = set(load_results(tmp_path / "store").trials.cell_id)
    work.clear()
    launch("init=he,xavier", "activation=relu,tanh", "model.depth=1,2,3")
    assert work["built"] == work["record"] == 2, "depth 3, with each activation"
    work.clear()
    launch("init=he,xavier,zero", "activation=relu", "model.depth=1,2")
    assert work["built"] == work["record"] == 2
    assert len(set(load_results(tmp_path / "store").trials.cell_id) - before) == 4 + 2


def test_a_law_whose_version_depends_on_the_model_has_it_made_and_not_recorded(
    launch: Launch, work: Counter[str]
) -> None:
    launch("init=torch_default")
    work.clear()
    launch("init=torch_default")
    assert work["built"] == 1
    assert not work["record"]


def test_what_cannot_be_trained_is_refused_beside_what_is_stored(launch: Launch, work: Counter[str]) -> None:
    """With the words it has where nothing is stored, and before anything else is trained."""
    refused = ("init=he,fixup", "model.depth=1,2")
    with pytest.raises(ConfigError) as fresh:
        launch(*refused)
    launch("init=he", "model.depth=1,2")
    work.clear()
    with pytest.raises(ConfigError) as later:
        launch(*refused)
    assert str(later.value) == str(fresh.value)
    assert "2 of 4 combinations cannot be trained" in str(later.value)
    assert not work["__call__"]


def test_a_missing_trial_has_all_cells_of_its_context_built(launch: Launch, tmp_path: Path) -> None:
    """It may move the grid of learning rates, and then all of them have something to train."""
    sweep = ("init=he,xavier", "activation=relu,tanh")
    built, _ = launch(*sweep)
    he_relu = built.jobs[0]
    lost = Trial(he_relu.cell_id, 0.01, 10_000, Stage.TUNE).trial_id
    for part in (tmp_path / "store" / "trials").iterdir():
        table = pq.read_table(part)
        if lost in table["trial_id"].to_pylist():
            kept = table.filter(pc.not_equal(table["trial_id"], lost))
            part.unlink()
            write_parts(tmp_path / "store", new_name(), {"trials": kept})
    jobs = compose_sweep([*SMALL, *sweep, f"results_dir={tmp_path / 'store'}"])
    found = build_jobs(jobs, finished=Inventory().finished).jobs
    assert [job.cell_id for job in found] == [job.cell_id for job in built.jobs]
    is_built = {job.cell_id: isinstance(job, Job) for job in found}
    assert {job.context_id for job in found if is_built[job.cell_id]} == {he_relu.context_id}
    assert sum(is_built.values()) == 2
