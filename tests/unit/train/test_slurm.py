"""What is made of SLURM's answers; a real SLURM is in integration/test_clusters.py."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from initsuite.config.cluster import Slurm
from initsuite.errors import ClusterError, ConfigError
from initsuite.train.cluster import slurm
from initsuite.train.cluster.slurm import Task, _parameters, last_words, wait_for


def answer(text: str = "", code: int = 0, error: str = "") -> SimpleNamespace:
    return SimpleNamespace(stdout=text, returncode=code, stderr=error)


FORGOTTEN = answer(code=1, error="slurm_load_jobs error: Invalid job id specified")
UNREACHABLE = answer(code=1, error="slurm_load_jobs error: Unable to contact slurm controller")


@pytest.fixture
def tasks(tmp_path) -> list[Task]:
    return [Task(f"7_{index}", tmp_path / f"7_{index}.pkl", tmp_path / f"7_{index}.out") for index in range(3)]


@pytest.fixture
def says(monkeypatch) -> Callable[..., list[Sequence[str]]]:
    """`says(answer, ...)`: what `squeue` answers in turn, the last one for ever; returns the commands that are run."""

    def prepare(*answers: SimpleNamespace, state: str = "NODE_FAIL") -> list[Sequence[str]]:
        left, asked = list(answers), []

        def run(command: Sequence[str], **options: object) -> SimpleNamespace:
            asked.append(command)
            if command[0] == "squeue":
                return left.pop(0) if len(left) > 1 else left[0]
            return answer(f"JobId=7 JobState={state} Reason=None" if state else "")

        monkeypatch.setattr(subprocess, "run", run)
        monkeypatch.setattr(slurm, "POLL_S", 0.0)
        return asked

    return prepare


def test_a_task_that_is_gone_without_a_result_is_dead(tasks, says) -> None:
    tasks[0].result.touch()
    said: list[str] = []
    says(answer("7_0 RUNNING\n7_1 RUNNING\n7_2 PENDING\n"), UNREACHABLE, answer("7_2 RUNNING\n"), answer())
    assert wait_for(tasks, lambda: False, said.append) == {"7_1": "NODE_FAIL", "7_2": "NODE_FAIL"}
    assert said == ["Tasks of SLURM: 1 pending and 2 running.", "Tasks of SLURM: 1 running."]
    says(FORGOTTEN, state="")
    assert wait_for(tasks, lambda: False, said.append) == {"7_1": "gone", "7_2": "gone"}


@pytest.mark.parametrize("is_complete", [True, False])
def test_tasks_that_have_nothing_left_to_do_are_cancelled(tasks, says, is_complete) -> None:
    """One that was queued again may wait for two minutes. It has not died of that."""
    tasks[0].result.touch()
    asked = says(answer("7_1 RUNNING\n7_2 PENDING\n"), answer("7_2 PENDING\n"), answer())
    ended = wait_for(tasks, lambda: is_complete, lambda line: None)
    assert (["scancel", "7"] in asked) == is_complete
    assert ended.keys() == ({"7_1"} if is_complete else {"7_1", "7_2"})


def test_a_controller_that_never_answers_is_not_waited_for_for_ever(tasks, says, monkeypatch) -> None:
    says(UNREACHABLE)
    monkeypatch.setattr(slurm, "PATIENCE_S", 0.01)
    with pytest.raises(ClusterError, match="the same command goes on from there"):
        wait_for(tasks, lambda: False, lambda line: None)


def test_the_last_words_of_tasks_are_not_repeated(tasks) -> None:
    for task, text in zip(tasks, ["a\nno memory\n", "no memory\n", ""], strict=True):
        task.log.write_text(text)
    assert last_words(tasks) == ["no memory"]


def test_what_sbatch_is_asked_for() -> None:
    asked = _parameters(Slurm(tasks=6, at_once=2, cpus=3, memory_gb=1.5, minutes=90, sbatch={"account": "ml"}))
    expected = {"time": 90, "cpus_per_task": 3, "array_parallelism": 2, "mem": "1536M", "signal_delay_s": 90}
    assert expected.items() <= asked.items()
    assert asked["additional_parameters"] == {"account": "ml"}
    assert not {"partition", "gpus_per_node", "setup"} & asked.keys()
    with pytest.raises(ConfigError, match="options of sbatch that the suite does not set itself"):
        _parameters(Slurm(sbatch={"array": "0-3"}))


def test_a_task_that_is_told_to_stop_waits_for_its_launch_and_is_queued_again(monkeypatch, tmp_path: Path) -> None:
    """Read back as a node reads it. What has no checkpoint ends at its time limit for good."""
    utils = pytest.importorskip("submitit.core.utils")
    for name, text in (("sbatch", "echo Submitted batch job 7"), ("srun", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("initsuite.config.cluster._check_installed", lambda name, package: None)
    mark = tmp_path / "listens"
    launch = f"trap 'sleep 0.2; exit 130' TERM; echo > {mark}; while :; do sleep 0.05; done"
    submitted = slurm.submit(Slurm(tasks=2), tmp_path, ["sh", "-c", launch])
    assert [task.job_id for task in submitted] == ["7_0", "7_1"]
    delayed = utils.DelayedSubmission.load(tmp_path / "slurm" / "7_1_submitted.pkl")
    task = delayed.function
    task.process = subprocess.Popen(task.command)
    while not mark.exists():
        time.sleep(0.01)
    again = delayed._checkpoint_function()
    assert task.process.poll() == 130, "it still stops"
    assert again.function.command == ["sh", "-c", launch]


def test_no_slurm_here(monkeypatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="Start this command on a login node of the cluster"):
        slurm.submit(Slurm(), tmp_path, ["true"])
