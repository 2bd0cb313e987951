"""`python -m initsuite.sync` against a loopback stand-in for the server."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from initsuite.results.columns import TRIALS
from initsuite.results.leases import Leases
from initsuite.results.store import Store
from initsuite.spec import Curve, Stage, Status, Trial
from initsuite.sync import main
from initsuite.tracking import confirm, upload
from initsuite.tracking.upload import GRACE_S
from initsuite.tracking.uploads import Uploads
from initsuite.train.launch import run_cells

LIMIT_S = 4.0
NUM_TRIALS = 90
"""More than are uploaded at once."""
START_S = 30.0
"""What a process that imports W&B, its service included, may take to start and end on a busy machine."""

AXES = {"dataset": "digits", "model": "mlp-2x64", "activation": "relu", "init": "he", "optimizer": "sgd"}
CONFIG = {"max_steps": 40, "dataset": {"metric": "accuracy"}, "model": {"depth": 2, "widths": [64, 64]}}
STEPS = (0, 20, 40)


def trial(seed: int, stage: Stage = Stage.SCORE) -> Trial:
    return Trial("c0ffee", 0.1, seed, stage)


def store(directory: Path, trials: Sequence[Trial], status: Status = Status.DONE) -> list[str]:
    """A results store with these trials; the values of a curve tell the trial, exactly."""
    Store(directory).append([row(trial, status) for trial in trials], {t.trial_id: curve(t) for t in trials})
    return [trial.trial_id for trial in trials]


def row(trial: Trial, status: Status) -> dict[str, Any]:
    error = "Traceback ...\nRuntimeError: planted" if status == Status.FAILED else ""
    known = {
        "trial_id": trial.trial_id,
        "cell_id": trial.cell_id,
        **AXES,
        "lr": trial.lr,
        "seed": trial.seed,
        "stage": str(trial.stage),
        "status": str(status),
        "error": error,
        "protocol": "standard",
        **{
            "steps_to_target": 20.0,
            "metric": "accuracy",
            "test_score": 0.875,
            "experiment": "demo",
            "config": json.dumps(CONFIG),
        },
    }
    return {**dict.fromkeys(TRIALS.names), **known}


def curve(trial: Trial) -> Curve:
    steps = np.array(STEPS)
    values = trial.seed + steps / 64  # exact in binary: comparisons are for equality
    train_loss = np.where(steps == 0, math.nan, values)
    return Curve(steps, train_loss, values + 0.25, values + 0.5)


def expected_history(trial: Trial) -> list[dict[str, float]]:
    history = []
    for step in STEPS:
        value = trial.seed + step / 64
        losses = {"train/loss": value} if step else {}
        history.append({"step": step, "val/loss": value + 0.25, "val/accuracy": value + 0.5, **losses})
    return history


def history_of(run: Any) -> list[dict[str, float]]:
    return [{key: value for key, value in item.items() if not key.startswith("_")} for item in run.history]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "initsuite.sync", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool]) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < START_S
        time.sleep(0.02)


@pytest.mark.slow
def test_exactly_what_is_missing_is_uploaded_once(wandb_server, tmp_path, capfd) -> None:
    trials = [trial(seed) for seed in range(5)]
    ids = store(tmp_path, trials)
    store(tmp_path, [trial(9, Stage.TUNE)])
    Uploads(tmp_path).add(ids[0])
    assert main([str(tmp_path)]) == 0
    output, errors = capfd.readouterr()
    assert f"4 uploaded, 1 already there, 0 failed, at {wandb_server.url}/someone/initsuite" in output
    assert errors == ""
    assert wandb_server.runs.keys() == set(ids[1:])
    for one in trials[1:]:
        run = wandb_server.runs[one.trial_id]
        made = run.made[0]
        assert (made["displayName"], made["groupName"]) == (
            f"digits-mlp-2x64-relu-sgd-he-s{one.seed}",
            "digits/mlp-2x64/relu/sgd/he",
        )
        assert (made["jobType"], made["tags"], made["project"]) == ("train", ["demo"], "initsuite")
        axes = {**AXES, "lr": 0.1, "seed": one.seed, "stage": "score", "cell_id": "c0ffee", "protocol": "standard"}
        assert run.config == {**axes, "depth": 2, "width": [64, 64], "config": CONFIG}
        assert history_of(run) == expected_history(one)
        assert run.summary["result/test_accuracy"] == 0.875
        assert run.exit_code == 0
    assert Uploads(tmp_path).ids() == set(ids)
    made = {run_id: len(run.made) for run_id, run in wandb_server.runs.items()}
    assert main([str(tmp_path)]) == 0
    assert "0 uploaded, 5 already there, 0 failed" in capfd.readouterr().out
    assert {run_id: len(run.made) for run_id, run in wandb_server.runs.items()} == made


def test_a_run_that_is_partly_there_is_completed(wandb_server, tmp_path, capfd) -> None:
    one = trial(3)
    assert main([str(tmp_path)]) == 2
    store(tmp_path, [one], Status.FAILED)
    assert main([str(tmp_path)]) == 0
    run = wandb_server.runs[one.trial_id]
    assert run.exit_code == 1
    assert run.summary["result/error"] == "RuntimeError: planted"
    assert Uploads(tmp_path).ids() == set()
    assert Uploads(tmp_path).ids(is_failed=True) == {one.trial_id}
    assert main([str(tmp_path)]) == 0, "a failure is uploaded once, too"
    assert len(run.made) == len(wandb_server.runs[one.trial_id].made)
    # as if the trial had failed after its second evaluation
    history = run.files["wandb-history.jsonl"]
    del history[2]
    [(line, summary)] = run.files["wandb-summary.json"].items()
    run.files["wandb-summary.json"] = {line: json.dumps({**json.loads(summary), "_step": STEPS[1]})}
    store(tmp_path, [one])
    before = dict(history)
    assert main([str(tmp_path)]) == 0
    assert history_of(run) == expected_history(one)
    assert {line: history[line] for line in before} == before, "what was there is not written again"
    assert run.exit_code == 0
    assert "result/error" not in run.summary
    assert run.summary["result/diverged"] is False
    assert run.config["config"] == CONFIG
    assert Uploads(tmp_path).ids() == {one.trial_id}
    assert "0 failed" in capfd.readouterr().out


@pytest.mark.slow
def test_a_server_that_answers_500_leaves_runs_missing_until_a_later_call(wandb_server, tmp_path, capfd) -> None:
    ids = store(tmp_path, [trial(seed) for seed in range(3)])
    wandb_server.broken = {ids[1]}
    assert main([str(tmp_path), "--limit-s", f"{LIMIT_S}"]) == 1
    output = capfd.readouterr().out
    assert "he lr 0.1 seed 1 (mlp-2x64, digits): TimeoutError" in output
    assert "2 uploaded, 0 already there, 1 failed" in output
    assert "the same command uploads what is missing" in output
    assert Uploads(tmp_path).ids() == {ids[0], ids[2]}
    wandb_server.broken = set()
    assert main([str(tmp_path)]) == 0
    assert "1 uploaded, 2 already there, 0 failed" in capfd.readouterr().out
    assert Uploads(tmp_path).ids() == set(ids)
    assert history_of(wandb_server.runs[ids[1]]) == expected_history(trial(1))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "hang"])
def test_a_server_that_dies_midway_ends_the_call_in_bounded_time(wandb_server, tmp_path, fault) -> None:
    store(tmp_path, [trial(seed) for seed in range(NUM_TRIALS)])
    wandb_server.fault, wandb_server.faulty_after = fault, 20
    limit_s = 3 * LIMIT_S + GRACE_S + START_S
    output, _ = start(str(tmp_path), "--limit-s", f"{LIMIT_S}").communicate(timeout=limit_s)
    assert "runs in a row failed" in output
    assert "not tried" in output
    complete = {run_id for run_id, run in wandb_server.runs.items() if run.exit_code == 0}
    assert Uploads(tmp_path).ids() <= complete, "only what the server has whole is remembered"
    assert len(complete) < NUM_TRIALS
    wandb_server.ending.set()
    wandb_server.fault = ""
    assert main([str(tmp_path)]) == 0
    for seed in range(NUM_TRIALS):
        assert history_of(wandb_server.runs[trial(seed).trial_id]) == expected_history(trial(seed))


def test_a_refusal_that_wandb_keeps_to_itself_is_a_failure(wandb_server, tmp_path, capfd) -> None:
    ids = store(tmp_path, [trial(0)])
    wandb_server.broken, wandb_server.broken_status = set(ids), 404
    assert main([str(tmp_path)]) == 1
    assert "404 Not Found" in capfd.readouterr().out
    assert Uploads(tmp_path).ids() == set()


@pytest.mark.slow
def test_what_the_server_took_and_lost_is_sent_again(wandb_server, tmp_path, capfd, monkeypatch) -> None:
    """An answer of 200 says little: what counts is what the server has."""
    monkeypatch.setattr(confirm, "LAG_S", 0.5)
    monkeypatch.setattr(upload, "MAX_IN_A_ROW", 9)
    ids = store(tmp_path, [trial(seed) for seed in range(5)])
    wandb_server.lost = dict(zip(ids, (b"", b'{"exit', b"<html>Welcome</html>"), strict=False))
    wandb_server.swallowed = {ids[3]}
    assert main([str(tmp_path)]) == 1
    output = capfd.readouterr().out
    assert "the server took the run, but lacks 3 of 3 points of it" in output
    assert "2 uploaded, 0 already there, 3 failed" in output
    assert Uploads(tmp_path).ids() == {ids[3], ids[4]}
    assert history_of(wandb_server.runs[ids[3]]) == expected_history(trial(3)), "written over where a part was lost"
    wandb_server.lost = {}
    assert main([str(tmp_path)]) == 0
    assert "3 uploaded, 2 already there, 0 failed" in capfd.readouterr().out
    for seed, trial_id in enumerate(ids):
        assert history_of(wandb_server.runs[trial_id]) == expected_history(trial(seed))
        assert wandb_server.runs[trial_id].summary["result/test_accuracy"] == 0.875


@pytest.mark.slow
def test_ctrl_c_ends_a_call_that_waits_for_a_server(wandb_server, tmp_path) -> None:
    ids = store(tmp_path, [trial(seed) for seed in range(3)])
    wandb_server.fault, wandb_server.faulty_after = "hang", 2
    process = start(str(tmp_path), "--limit-s", "600")
    wait_for(lambda: len(wandb_server.runs) >= 2)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=START_S)
    assert process.returncode == 130
    assert f"To go on: python -m initsuite.sync {tmp_path}" in errors
    assert Uploads(tmp_path).ids() <= set(ids)
    with Leases(tmp_path) as leases:
        assert leases.take("sync"), "an interrupted call holds nothing"


def test_two_syncs_at_once_do_not_double(wandb_server, tmp_path, capfd) -> None:
    store(tmp_path, [trial(0)])
    with Leases(tmp_path) as leases:
        assert leases.take("sync")
        assert main([str(tmp_path)]) == 2
    assert "another sync of " in (errors := capfd.readouterr().err)
    assert "Wait until it has ended" in errors
    assert wandb_server.runs == {}


def test_tuning_trials_are_uploaded_on_request(wandb_server, tmp_path, capfd) -> None:
    store(tmp_path, [trial(0)])
    [tuning] = store(tmp_path, [trial(7, Stage.TUNE)])
    assert main([str(tmp_path), "--stages", "tune,score", "--project", "other", "--entity", "team"]) == 0
    made = wandb_server.runs[tuning].made[0]
    assert (made["displayName"], made["jobType"], made["project"]) == (
        "digits-mlp-2x64-relu-sgd-he-lr0.1-s7",
        "tune",
        "other",
    )
    assert made["entity"] == "team"
    assert "2 uploaded" in capfd.readouterr().out


def test_a_diverged_trial_is_uploaded_as_a_result(wandb_server, tmp_path) -> None:
    one = trial(0)
    broken = Curve(np.array(STEPS), *(np.array([0.5, math.nan, math.nan]) for _ in range(3)))
    Store(tmp_path).append([row(one, Status.DIVERGED)], {one.trial_id: broken})
    assert main([str(tmp_path)]) == 0
    run = wandb_server.runs[one.trial_id]
    values = {"val/loss": 0.5, "val/accuracy": 0.5, "train/loss": 0.5}
    assert history_of(run) == [{"step": 0, **values}, {"step": 20}, {"step": 40}]
    assert run.summary["result/diverged"] is True
    assert run.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "load_results: no results store at .*Make one with: python -m initsuite.train"),
        (["--limit-s", "0"], "sync: bad value `limit_s`=0.0. Expected a finite number above 0"),
        (["--stages", "scores"], "unknown `stages`='scores'. Expected one of: tune, score"),
        (["--project", "a/b"], "bad value `project`='a/b'. Expected a name without any of /"),
    ],
)
def test_bad_input_is_refused_with_a_reason(isolated_wandb, tmp_path, capfd, arguments, message) -> None:
    assert main([str(tmp_path / "nowhere"), *arguments]) == 2
    assert re.search(message, capfd.readouterr().err)
    assert not (tmp_path / "nowhere").exists()


def test_no_key_and_no_server_are_said(wandb_server, tmp_path, capfd, monkeypatch) -> None:
    import wandb

    store(tmp_path, [trial(0)])
    wandb_server.fault = "500"
    assert main([str(tmp_path)]) == 2
    said = capfd.readouterr().err
    assert f"sync: cannot upload: {wandb_server.url.removeprefix('http://')} did not answer" in said
    assert "Look at your network and at WANDB_BASE_URL" in said
    monkeypatch.delenv("WANDB_API_KEY")
    wandb.teardown()  # W&B reads its environment once
    assert main([str(tmp_path)]) == 2
    assert "no API key can be used. Expected a configured one. Run `wandb login`" in capfd.readouterr().err
    assert Uploads(tmp_path).ids() == set()


@pytest.mark.parametrize("way", ["environment", "settings file"])
def test_a_habit_of_offline_does_not_stop_an_upload(wandb_server, isolated_wandb, tmp_path, monkeypatch, way) -> None:
    """It is how many sweeps come to need this door."""
    import wandb

    if way == "environment":
        monkeypatch.setenv("WANDB_MODE", "offline")
    else:
        (isolated_wandb / "config").mkdir()
        (isolated_wandb / "config" / "settings").write_text("[default]\nmode = offline\n")
        assert wandb.setup().settings.mode == "offline"
        wandb.teardown()
    [trial_id] = store(tmp_path, [trial(0)])
    assert main([str(tmp_path)]) == 0
    assert history_of(wandb_server.runs[trial_id]) == expected_history(trial(0))


@pytest.mark.slow
def test_a_synced_run_is_what_the_live_sink_writes(
    wandb_server, build_job, read_wandb_runs, tmp_path, monkeypatch
) -> None:
    """Two ways to the same runs: written offline while training, and built from the store afterwards."""
    small = ("max_steps=40", "eval_every=10", "optimizer.lr_grid=[0.1]", "protocol=smoke", "seeds=2")
    sinks = ("tracking.mode=offline", "tracking.stages=[tune,score]", "experiment_name=quickstart")
    built = [build_job(f"init={init}", *small, *sinks, f"results_dir={tmp_path}") for init in ("he", "zero")]
    run_cells([job for job, _ in built], built[0][1])
    live = read_wandb_runs(tmp_path / "wandb")
    assert len(live) > 2
    assert main([str(tmp_path), "--stages", "tune,score"]) == 0
    assert wandb_server.runs.keys() == live.keys()
    for run_id, run in wandb_server.runs.items():
        made, other = run.made[0], live[run_id]
        names = ("displayName", "groupName", "jobType", "tags", "project")
        assert [made[name] for name in names] == [
            other[name] for name in ("name", "group", "job_type", "tags", "project")
        ]
        assert run.config == other["config"]
        assert history_of(run) == other["history"]
        results = {key: value for key, value in other["summary"].items() if key.startswith("result/")}
        assert {key: value for key, value in run.summary.items() if key.startswith("result/")} == results
        assert run.exit_code == other["exit_code"]
