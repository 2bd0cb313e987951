"""What a command does whose trials an array trains, here of a stand-in for SLURM; a real one: test_clusters.py."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from initsuite.config.build import Draft
from initsuite.config.cluster import Slurm
from initsuite.config.settings import Settings
from initsuite.errors import ClusterError, ConfigError
from initsuite.protocol.tuning import Protocol
from initsuite.protocol.yardstick import yardstick_of
from initsuite.results.store import Store
from initsuite.spec import Stage, Status, Trial
from initsuite.tracking.settings import Tracking
from initsuite.train.cluster import launching, slurm
from initsuite.train.launch import run_cells
from support.small_store import DATASET, stored_curve, stored_row

COMMAND = ["initsuite", "train"]
Look = tuple[str, Callable[[], None]] | str
"""What squeue says, and what the tasks do before."""


class FakeSlurm:
    """Takes arrays of two tasks, of which the first ends well, and answers squeue.

    Attributes:
        arrays: for each array that is queued, what squeue finds, one look after another; then it is gone.
        cancelled: arrays, in the order of scancel.
    """

    def __init__(self) -> None:
        self.arrays: list[list[Look]] = []
        self.num_queued = 0
        self.cancelled: list[str] = []

    def submit(self, cluster: Slurm, folder: Path, command: Sequence[str]) -> list[slurm.Task]:
        assert command == COMMAND
        self.num_queued += 1
        names = [f"{self.num_queued}_{index}" for index in range(2)]
        (folder / f"{names[0]}.pkl").touch()
        return [slurm.Task(name, folder / f"{name}.pkl", folder / f"{name}.out") for name in names]

    def run(self, command: Sequence[str], **options: object) -> SimpleNamespace:
        if command[0] == "scancel":
            self.cancelled.append(command[1])
        looks = self.arrays[self.num_queued - 1]
        found = looks.pop(0) if command[0] == "squeue" and looks and str(self.num_queued) not in self.cancelled else ""
        text, act = (found, lambda: None) if isinstance(found, str) else found
        act()
        return SimpleNamespace(stdout=text, returncode=0, stderr="")


@pytest.fixture
def cluster(monkeypatch) -> FakeSlurm:
    made = FakeSlurm()
    monkeypatch.setattr(subprocess, "run", made.run)
    monkeypatch.setattr(slurm, "submit", made.submit)
    monkeypatch.setattr(slurm, "POLL_S", 0.0)
    monkeypatch.setattr("initsuite.config.cluster._check_installed", lambda name, package: None)
    for name in ("_queued", "_failed_before"):  # this process is another command
        monkeypatch.setattr(launching, name, {})
    return made


@pytest.fixture
def settings(tmp_path, cluster) -> Settings:
    tracking = Tracking(dir=str(tmp_path), mode="disabled")
    return Settings(tmp_path, "cpu", None, tracking, cluster=Slurm(tasks=2))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def job(arm: str) -> Draft:
    """One scoring trial."""
    protocol = Protocol("fixed", tuning_seeds=0, scoring_seeds=1, lr=0.1)
    return Draft(arm, "c0", yardstick_of(DATASET), (0.1,), protocol, lambda draft: pytest.fail("it is trained here"))


def stores(store: Store, arm: str, status: Status = Status.DONE) -> Callable[[], None]:
    """What a task does."""
    trial = Trial(arm, 0.1, 0, Stage.SCORE)
    row = stored_row(trial, "he", best_val_score=0.8, status=str(status))
    return lambda: store.append([row], {trial.trial_id: stored_curve("he")})


def test_trials_that_have_failed_are_tried_again(cluster, settings, store, capsys) -> None:
    """Though all is stored or failed from the start, the array is not cancelled before they were tried."""
    fails = stores(store, "a", Status.FAILED)
    fails()
    stores(store, "b")()
    cluster.arrays = [["1_0 PENDING\n1_1 PENDING", ("1_0 RUNNING\n1_1 PENDING", fails), "1_1 PENDING"]]
    jobs = [job("a"), job("b")]
    queued = run_cells(jobs, replace(settings, cluster=Slurm(wait=False)), store, COMMAND)
    assert queued.failed.empty, "it is to be tried again"
    outcome = run_cells(jobs, settings, store, COMMAND)
    assert (len(outcome.failed), outcome.scores[1]) == (1, 0.8)
    assert (cluster.num_queued, cluster.cancelled, cluster.arrays) == (1, ["1"], [[]])
    run_cells(jobs, settings, store, COMMAND)
    assert cluster.num_queued == 1, "once a command is enough"
    assert "Ended without a result" not in capsys.readouterr().out


def test_a_batch_after_an_array_that_was_cancelled_queues_another(cluster, settings, store) -> None:
    """As other sweepers ask: the tasks still had the trials of the second batch to train."""
    cluster.arrays = [[("1_0 PENDING\n1_1 PENDING", stores(store, "a"))], [("2_1 RUNNING", stores(store, "b"))]]
    assert [run_cells([job(arm)], settings, store, COMMAND).scores for arm in ("a", "b")] == [[0.8], [0.8]]
    assert (cluster.num_queued, cluster.cancelled) == (2, ["1"])


def test_a_batch_that_the_tasks_have_left_unfinished_is_an_error(cluster, settings, store) -> None:
    cluster.arrays = [[("1_0 RUNNING", stores(store, "a"))], ["2_0 RUNNING"]]
    run_cells([job("a")], settings, store, COMMAND)
    with pytest.raises(ClusterError, match=r"1 trial or more are missing.*Ended without a result: 2_1 \(gone\)"):
        run_cells([job("b")], settings, store, COMMAND)


def test_one_array_for_all_batches_where_nobody_waits(cluster, settings, store) -> None:
    for arm in ("a", "b"):
        run_cells([job(arm)], replace(settings, cluster=Slurm(wait=False)), store, COMMAND)
    assert cluster.num_queued == 1


def test_a_door_without_a_command_that_tasks_could_run_queues_nothing(cluster, settings, store) -> None:
    with pytest.raises(ConfigError, match="Start the command itself in each task of an array"):
        run_cells([job("a")], settings, store)
    assert cluster.num_queued == 0
