"""Online runs of the real package against a loopback stand-in for the server, with a made-up key."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from initsuite.spec import Announced, Evaluated, Evaluation, Stage, Stored, Trial, TrialInfo
from initsuite.tracking.process import wandb_sink
from initsuite.tracking.settings import Tracking
from initsuite.tracking.uploads import Uploads

SWEEP_FILE = Path(__file__).parents[2] / "docs/examples/sweep.yaml"
FINISH_S = 6.0
START_S = 60.0
"""What the child, or the server's view of it, may take to start on a busy machine."""
SLACK_S = 10.0
"""Added to the sink's limit on finishing, for a busy machine; W&B itself would wait forever."""

ROW = {"status": "done", "metric": "accuracy", "error": "", "steps_to_target": 20.0, "test_score": 0.875}


def infos(number: int) -> list[TrialInfo]:
    axes = {"dataset": "digits", "model": "mlp-2x64", "activation": "relu", "init": "he", "optimizer": "sgd"}
    return [
        TrialInfo(
            Trial("c0ffee", 0.1, seed, Stage.SCORE),
            axes,
            {"max_steps": 40, "dataset": {"metric": "accuracy"}},
            "standard",
            ("demo",),
        )
        for seed in range(number)
    ]


def evaluation(step: int, number: int) -> Evaluation:
    values = np.arange(number) + step / 64  # exact in binary: the comparison below is for equality
    return Evaluation(step, values, values + 0.25, values + 0.5)


@pytest.mark.slow
def test_online_runs_reach_the_server(wandb_server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sink = wandb_sink(Tracking(dir=str(tmp_path)))
    assert sink is not None
    trials = infos(5)
    sink.take(Announced("stack", trials))
    for step in (0, 20, 40):
        sink.take(Evaluated("stack", evaluation(step, 5)))
    sink.take(Stored("stack", [ROW] * 5))
    assert sink.close() == [f"W&B: 5 runs at {wandb_server.url}/someone/initsuite"]
    assert capfd.readouterr() == ("", "")
    for place, info in enumerate(trials):
        run = wandb_server.runs[info.trial.trial_id]
        made = run.made[0]
        assert (made["displayName"], made["groupName"]) == (
            f"digits-mlp-2x64-relu-sgd-he-s{place}",
            "digits/mlp-2x64/relu/sgd/he",
        )
        assert (made["jobType"], made["tags"], made["project"]) == ("train", ["demo"], "initsuite")
        assert run.config["init"] == "he"
        assert [(item["step"], item["val/loss"]) for item in run.history] == [
            (step, place + step / 64 + 0.25) for step in (0, 20, 40)
        ]
        assert (run.summary["result/test_accuracy"], run.summary["result/diverged"]) == (0.875, False)
        assert run.exit_code == 0


def wait_for(condition: Callable[[], bool]) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < START_S
        time.sleep(0.02)


@pytest.mark.slow
def test_a_server_that_goes_down_delays_the_end_within_bounds(
    wandb_server: Any, tmp_path: Path, read_wandb_runs: Callable[[Path], dict[str, dict[str, Any]]]
) -> None:
    sink = wandb_sink(Tracking(dir=str(tmp_path), finish_timeout_s=FINISH_S))
    assert sink is not None
    sink.take(Announced("stack", infos(2)))
    wait_for(lambda: len(wandb_server.runs) == 2)
    wandb_server.fault = "500"
    sink.take(Evaluated("stack", evaluation(0, 2)))
    sink.take(Stored("stack", [ROW] * 2))
    start = time.perf_counter()
    lines = sink.close()
    assert time.perf_counter() - start < FINISH_S + SLACK_S
    assert f"  upload: python -m initsuite.sync {tmp_path}" in lines
    assert lines[0].startswith("W&B: 2 runs written offline (the server stopped answering: TimeoutError")
    assert not Uploads(tmp_path).ids()
    for folder in (tmp_path / "wandb").glob("run-*"):  # what the server had of them
        shutil.rmtree(folder)
    runs = read_wandb_runs(tmp_path / "wandb")
    assert len(runs) == 2
    for run in runs.values():
        assert [item["step"] for item in run["history"]] == [0], "whole: what was logged online is there too"
        assert (run["summary"]["result/test_accuracy"], run["exit_code"]) == (0.875, 0)


@pytest.mark.slow
def test_after_a_server_has_gone_down_runs_go_offline_without_waiting(wandb_server: Any, tmp_path: Path) -> None:
    sink = wandb_sink(Tracking(dir=str(tmp_path), finish_timeout_s=FINISH_S))
    assert sink is not None
    first, second = infos(2)
    sink.take(Announced("first", [first]))
    wait_for(lambda: len(wandb_server.runs) == 1)
    wandb_server.fault = "500"
    sink.take(Stored("first", [ROW]))
    sink.take(Announced("second", [second]))
    sink.take(Evaluated("second", evaluation(0, 1)))
    sink.take(Stored("second", [ROW]))
    lines = sink.close()
    assert lines[0].startswith("W&B: 2 runs written offline (the server stopped answering")
    assert not any("incomplete" in line for line in lines)
    files = {file.stem.removeprefix("run-") for file in (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")}
    assert files == {first.trial.trial_id, second.trial.trial_id}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["hang", "500"])
def test_a_server_that_takes_no_run_costs_no_run(wandb_server: Any, tmp_path: Path, fault: str) -> None:
    """It answered the probe. W&B then refuses ids that it has tried online, unless its process is replaced."""
    sink = wandb_sink(Tracking(dir=str(tmp_path), finish_timeout_s=FINISH_S))
    assert sink is not None
    sink.take(Announced("good", infos(1)))
    wait_for(lambda: len(wandb_server.runs) == 1)
    wandb_server.fault = fault
    trials = infos(6)[1:]
    sink.take(Announced("bad", trials))
    sink.take(Evaluated("bad", evaluation(0, 5)))
    sink.take(Stored("bad", [ROW] * 5))
    sink.take(Stored("good", [ROW]))
    start = time.perf_counter()
    lines = sink.close()
    assert time.perf_counter() - start < FINISH_S + SLACK_S
    assert lines[0].startswith("W&B: 6 runs written offline (the server stopped answering"), lines
    assert not any("warning" in line for line in lines)


@pytest.mark.slow
def test_open_runs_of_several_stacks_wait_once_for_a_server_that_hangs(wandb_server: Any, tmp_path: Path) -> None:
    """One wait for all: W&B ends its hanging streams one at a time, about 2 s each, which would be a minute here."""
    sink = wandb_sink(Tracking(dir=str(tmp_path), finish_timeout_s=FINISH_S))
    assert sink is not None
    trials = infos(32)
    for number in range(2):
        sink.take(Announced(str(number), trials[16 * number : 16 * (number + 1)]))
    wait_for(lambda: len(wandb_server.runs) == 32)
    wandb_server.fault = "hang"
    for number in range(2):
        sink.take(Stored(str(number), [ROW] * 16))
    start = time.perf_counter()
    lines = sink.close()
    assert time.perf_counter() - start < FINISH_S + SLACK_S
    assert lines[0].startswith("W&B: 32 runs written offline")


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 404])
def test_a_refused_run_is_incomplete_and_uploaded_later(wandb_server: Any, tmp_path: Path, status: int) -> None:
    refused, taken = infos(2)
    wandb_server.broken, wandb_server.broken_status = {refused.trial.trial_id}, status
    sink = wandb_sink(Tracking(dir=str(tmp_path)))
    assert sink is not None
    sink.take(Announced("stack", [refused, taken]))
    sink.take(Evaluated("stack", evaluation(0, 2)))
    sink.take(Stored("stack", [ROW] * 2))
    lines = sink.close()
    assert "1 run incomplete (digits-mlp-2x64-relu-sgd-he-s0)" in lines[-1]
    assert f"{status} " in lines[-1]
    assert Uploads(tmp_path).ids() == {taken.trial.trial_id}


@pytest.mark.slow
def test_training_never_waits(wandb_server: Any, tmp_path: Path) -> None:
    """The calls return at once, whatever the server does; and a child without a parent ends by itself."""
    wandb_server.fault = "500"
    sink = wandb_sink(Tracking(dir=str(tmp_path), finish_timeout_s=FINISH_S, probe_timeout_s=FINISH_S))
    assert sink is not None
    start = time.perf_counter()
    for number in range(50):
        sink.take(Announced(str(number), infos(40)))
        sink.take(Evaluated(str(number), evaluation(0, 40)))
    assert time.perf_counter() - start < 1.0
    sink._messages.put(None)  # what a parent that is killed leaves behind: the end of the pipe
    assert sink._child.wait(timeout=60) in (0, 1)


@pytest.mark.slow
def test_what_was_uploaded_is_remembered(wandb_server: Any, tmp_path: Path) -> None:
    sink = wandb_sink(Tracking(dir=str(tmp_path)))
    assert sink is not None
    done, failed = infos(2)
    sink.take(Announced("stack", [done, failed]))
    sink.take(Stored("stack", [ROW, {**ROW, "status": "failed", "error": "ValueError: no"}]))
    sink.close()
    assert Uploads(tmp_path).ids() == {done.trial.trial_id}
    assert Uploads(tmp_path).ids(is_failed=True) == {failed.trial.trial_id}


@pytest.mark.slow
def test_an_agent_of_a_sweep_gets_the_score_of_each_command(
    wandb_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wandb sweep` and `wandb agent` themselves, with the sweep file of the documentation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    swept = subprocess.run(["wandb", "sweep", str(SWEEP_FILE)], capture_output=True, text=True, timeout=120)
    assert "wandb agent someone/initsuite/grid" in swept.stderr, swept.stderr
    agent = ["wandb", "agent", "--count", "2", "someone/initsuite/grid"]
    ended = subprocess.run(agent, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert wandb_server.agents_runs == ["agents0", "agents1"], "the agent took the first for a success"
    trials = {name: run for name, run in wandb_server.runs.items() if name not in wandb_server.agents_runs}
    for run_id, depth in zip(wandb_server.agents_runs, (2, 8), strict=True):
        run = wandb_server.runs[run_id]
        best = [
            trial.summary["result/best_val_accuracy"] for trial in trials.values() if trial.config["depth"] == depth
        ]
        assert best
        assert run.summary["score"] == pytest.approx(fmean(best))
        assert run.exit_code == 0
        assert not run.history
