"""The same sweep on this machine, as an array of SLURM and on a Ray cluster, each of which loses something on the way.

A real SLURM of one node with two processors starts from Debian's packages: support/slurm. `python scripts/faults kills`
does this at random moments.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import kills

pytestmark = pytest.mark.slow
OPTIONS = ["tracking=disabled", "protocol=smoke", "seeds=2", "optimizer.lr_grid=[0.01,0.1,1.0]"]
PATIENCE_S = 1200.0
"""A busy machine may need minutes to start what a quiet one starts in seconds."""


class Tuned(kills.Sweep):
    """Ten trials in five stacks: those that are scored depend on those that are tuned."""

    @property
    def overrides(self) -> list[str]:
        return ["-m", "init=he,zero", f"max_steps={self.steps}", *OPTIONS, "eval_every=20", "max_stack=2", *self.more]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> kills.Sweep:
    made = Tuned(tmp_path_factory.mktemp("sweep"), 10, 800, ["checkpoint_every_s=0"])
    made.uninterrupted()
    return made


def finish(launch: subprocess.Popen[str], folder: Path, code: int = 0) -> str:
    found = launch.wait(PATIENCE_S)
    output = folder.with_suffix(".log").read_text()
    assert found == code, output
    return output


def wait_until(is_reached: Callable[[], object]) -> None:
    begin = time.monotonic()
    while not is_reached():
        assert time.monotonic() - begin < PATIENCE_S, "the moment never came"
        time.sleep(0.05)


def has_checkpoints(folder: Path, count: int) -> bool:
    return len(list((folder / "checkpoints").glob("*.pt"))) >= count


def test_an_array_whose_tasks_are_stopped_and_killed(sweep, tmp_path) -> None:
    """Of the first two, one is told to stop, as before its time limit, and the other one's launch is killed.

    One test: pytest might run two in two processes, and there can be one SLURM.
    """
    if why := kills.without("task"):
        pytest.skip(why)
    if not importlib.util.find_spec("submitit"):
        pytest.skip("submitit is not installed: pip install initsuite[slurm]")
    folder, mark = tmp_path / "results", "stopped"
    with kills.slurm_daemons(tmp_path / "slurm"):
        array = ["cluster=slurm", "cluster.tasks=3", "cluster.at_once=2", "cluster.wait=false"]
        queued = finish(sweep.start(folder, *array, mark=mark), folder)
        assert "Queued 3 tasks of SLURM" in queued
        assert "dry_run=true" in queued
        job_id = queued.partition("squeue -j ")[2].partition(";")[0]
        wait_until(lambda: len(kills.processes(mark, ["initsuite.train"])) == 2)
        wait_until(lambda: has_checkpoints(folder, 1))
        subprocess.run(["scancel", "--signal=USR2", f"{job_id}_0"], check=True, timeout=60)
        log = folder / "slurm" / f"{job_id}_0_0_log.out"
        wait_until(lambda: "Requeued job" in log.read_text())
        assert "To go on from there" in log.read_text()
        for pid in kills.processes(mark, ["initsuite.train"]):
            os.kill(pid, signal.SIGKILL)
        output = finish(sweep.start(folder, "cluster=slurm", "cluster.tasks=1", mark=mark), folder)
        assert "stored by 1 task" in output
        assert kills.differences(folder, sweep.uninterrupted()) == []
        wait_until(lambda: not kills.processes(mark))
        refused = tmp_path / "refused"
        output = finish(sweep.start(refused, "cluster=slurm", "cluster.partition=none"), refused, code=2)
        assert "sbatch refuses the array" in output
        assert "invalid partition" in output.lower()
        assert "Traceback" not in output


def test_two_machines_one_of_which_is_lost(sweep, tmp_path) -> None:
    if why := kills.without("node"):
        pytest.skip(why)
    folder = tmp_path / "results"
    with kills.ray_machines(1, head_cpus=1) as machines:
        launch = sweep.start(folder, "cluster=ray", f"cluster.address={machines.address}")
        wait_until(lambda: has_checkpoints(folder, 2) or launch.poll() is not None)
        machines.remove_node(next(iter(machines.worker_nodes)), allow_graceful=False)
        output = finish(launch, folder)
    assert "on a worker of the Ray cluster" in output
    assert "A worker of the Ray cluster has ended" in output
    assert "in halves" not in output
    assert kills.differences(folder, sweep.uninterrupted()) == []
    nowhere = tmp_path / "nowhere"
    output = finish(sweep.start(nowhere, "cluster=ray", "cluster.address=127.0.0.1:1"), nowhere, code=2)
    assert "no cluster at `cluster.address`='127.0.0.1:1'" in output
    assert "Traceback" not in output
