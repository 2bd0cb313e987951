"""`initsuite.load_results` finds the same trials in a store, in offline W&B runs and in a W&B project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import initsuite
from initsuite.errors import ConfigError, StoreError
from initsuite.report.verdicts.recommendations import arms_table, recommend_table
from initsuite.results.store import Results, Store
from initsuite.spec import Announced, Curve, Evaluated, Stage, Stored, Trial
from initsuite.sync import main as sync
from initsuite.tracking.read_offline import RunContent, as_trial, content_of, is_trial
from initsuite.tracking.settings import Tracking
from initsuite.tracking.sink import WandbSink
from initsuite.tracking.uploads import StoredTrial
from initsuite.train.launch import run_cells
from support.small_store import make_store, stored_curve, stored_row

SMALL = ("max_steps=40", "eval_every=10", "optimizer.lr_grid=[0.1,1.0]", "protocol=smoke", "seeds=2")
TRACKING = ("tracking.mode=offline", "tracking.stages=[tune,score]")
PROJECT = "wandb:someone/initsuite"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "initsuite" / "wandb"


def assert_same(found: Results, stored: Results) -> None:
    """The same trials and curves, to the last digit; only the moment of writing may differ."""
    for table, expected in ((found.trials, stored.trials), (found.curves, stored.curves)):
        keys = [name for name in ("trial_id", "step") if name in table]
        left, right = (
            one.sort_values(keys, ignore_index=True).drop(columns="written_at", errors="ignore")
            for one in (table, expected)
        )
        pd.testing.assert_frame_equal(left, right, check_exact=True)
    for make_table in (recommend_table, arms_table):
        pd.testing.assert_frame_equal(make_table(found), make_table(stored), check_exact=True)


@pytest.mark.slow
def test_a_sweep_is_read_back_from_all_three(build_job, wandb_server, cache, tmp_path) -> None:
    folder = tmp_path / "r"
    built = [build_job(f"init={init}", *SMALL, *TRACKING, f"results_dir={folder}") for init in ("he", "zero")]
    run_cells([job for job, _ in built], built[0][1])
    assert sync([str(folder), "--stages", "tune,score"]) == 0
    stored = initsuite.load_results(folder)
    assert set(stored.trials.stage) == {"tune", "score"}
    assert_same(initsuite.load_results(folder / "wandb"), stored)
    assert_same(initsuite.load_results(PROJECT), stored)


def write_offline(folder: Path, *rows: tuple[dict[str, Any], Curve]) -> None:
    sink = WandbSink(Tracking(dir=str(folder), mode="offline", stages=("tune", "score")))
    for row, curve in rows:
        stored = StoredTrial(row, pd.DataFrame({name: getattr(curve, name) for name in vars(curve)}))
        sink.take(Announced(row["trial_id"], [stored.info]))
        for evaluation in stored.evaluations:
            sink.take(Evaluated(row["trial_id"], evaluation))
        sink.take(Stored(row["trial_id"], [row]))
    sink.close()


@pytest.mark.slow
def test_offline_runs_are_read_whatever_the_trials_became(isolated_wandb, tmp_path) -> None:
    """Failed first and done later; diverged; failed for good; beside files that are damaged."""
    done, diverged, failed = (Trial("c", 0.1, seed, Stage.SCORE) for seed in range(3))
    traceback = "Traceback\n  line\nRuntimeError: planted\n"
    failure = {"status": "failed", "error": traceback, "steps_to_target": None, "test_score": None}
    nothing = Curve(*(np.array([], dtype=kind) for kind in (int, float, float, float)))
    broken = Curve(np.array([0, 20]), *(np.array([0.5, np.nan]) for _ in range(3)))
    rows = [
        (stored_row(done, "he", **failure), nothing),
        (stored_row(done, "he"), stored_curve("he")),
        (stored_row(diverged, "he", status="diverged", diverged_at=20.0, test_score=None), broken),
        (stored_row(failed, "he", **failure), nothing),
    ]
    store = Store(tmp_path / "store")
    for place, (row, curve) in enumerate(rows):
        write_offline(tmp_path / f"part{place}", (row, curve))
        for run in (tmp_path / f"part{place}" / "wandb").glob("offline-run-*"):
            run.rename(tmp_path / f"offline-run-{place}-{row['trial_id']}")
        store.append([row], {row["trial_id"]: curve})
    damaged = [tmp_path / f"offline-run-{place}-x" / "run-x.wandb" for place in (8, 9)]
    for path, content in zip(damaged, (b"", b"no records"), strict=True):
        path.parent.mkdir()
        path.write_bytes(content)
    results = initsuite.load_results(tmp_path)
    assert results.damaged == damaged
    assert results.links == {}
    stored = initsuite.load_results(tmp_path / "store")
    assert_same(Results(results.trials, results.curves), stored)
    assert results.trials.error.tolist().count(traceback) == 1


@pytest.mark.slow
def test_a_project_is_fetched_once(wandb_server, cache, tmp_path) -> None:
    folder = make_store(tmp_path / "r", seeds=1)
    assert sync([str(folder), "--stages", "tune,score"]) == 0
    stored = initsuite.load_results(folder)
    first = initsuite.load_results(PROJECT)
    assert_same(first, stored)
    assert first.links == {name: f"{wandb_server.url}/someone/initsuite/runs/{name}" for name in stored.trials.trial_id}
    assert stored.links == first.links, "the store knows them too: the upload remembered them"

    wandb_server.asked.clear()
    assert_same(initsuite.load_results(PROJECT), stored)
    assert fetched(wandb_server) == set()

    changed, deleted = stored.trials.trial_id[:2]
    wandb_server.runs[changed].heartbeat_at = "later"
    history = wandb_server.runs[changed].files["wandb-history.jsonl"]
    place, line = sorted(history.items())[-1]
    history[place] = json.dumps({**json.loads(line), "val/accuracy": 0.25})
    del wandb_server.runs[deleted]
    again = initsuite.load_results("wandb:initsuite")
    assert deleted not in set(again.trials.trial_id)
    assert changed in fetched(wandb_server)
    assert again.curves[again.curves.trial_id == changed].val_score.iloc[-1] == 0.25

    wandb_server.asked.clear()
    for part in cache.rglob("trials/*.parquet"):
        part.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="damaged part"):
        assert_same(initsuite.load_results(PROJECT), again)
    assert fetched(wandb_server) == set(again.trials.trial_id), "what the cache has lost is fetched again"


def fetched(server: Any) -> set[str]:
    return {variables["name"] for name, variables in server.asked if name == "Run"}


def test_runs_that_are_no_finished_trials_are_left_out(wandb_server, cache, tmp_path) -> None:
    folder = make_store(tmp_path / "r", seeds=1)
    assert sync([str(folder)]) == 0
    running, report, old, *rest = wandb_server.runs
    wandb_server.runs[running].exit_code = None
    wandb_server.runs[report].made[0]["jobType"] = "report"
    [(line, summary)] = wandb_server.runs[old].files["wandb-summary.json"].items()
    older = {key: value for key, value in json.loads(summary).items() if key != "initsuite"}
    wandb_server.runs[old].files["wandb-summary.json"] = {line: json.dumps(older)}
    with pytest.warns(UserWarning, match=r"1 runs of someone/initsuite are left out.*Where the results"):
        results = initsuite.load_results(PROJECT)
    assert set(results.trials.trial_id) == set(rest)


@pytest.mark.parametrize("source", ["wandb:", "wandb:a/b/c", "wandb:/p"])
def test_a_source_that_names_no_project_is_refused(isolated_wandb, source) -> None:
    with pytest.raises(ConfigError, match=r"load_results: bad value `source`=.*Expected wandb:ENTITY/PROJECT"):
        initsuite.load_results(source)


def test_without_a_key_a_project_cannot_be_read(isolated_wandb) -> None:
    with pytest.raises(ConfigError, match=r"load_results: cannot read W&B: no API key.*Run `wandb login`"):
        initsuite.load_results(PROJECT)


def test_a_server_that_does_not_answer_is_said(wandb_server) -> None:
    wandb_server.fault = "500"
    with pytest.raises(ConfigError, match=r"did not answer.*Look at your network"):
        initsuite.load_results(PROJECT)


def test_a_project_that_is_not_there_is_said(wandb_server, monkeypatch) -> None:
    monkeypatch.setattr(wandb_server, "listing", lambda: None)
    with pytest.raises(StoreError, match=r"cannot read `source`='wandb:someone/initsuite'.*wandb:ENTITY/PROJECT"):
        initsuite.load_results(PROJECT)


def test_a_folder_without_results_is_refused(tmp_path) -> None:
    with pytest.raises(StoreError, match=r"load_results: no results store at.*Make one with"):
        initsuite.load_results(tmp_path)


def test_wandb_without_its_program_is_said(isolated_wandb, tmp_path, monkeypatch) -> None:
    (tmp_path / "offline-run-1").mkdir()
    (tmp_path / "offline-run-1" / "run-1.wandb").touch()
    monkeypatch.setattr("wandb.util.get_core_path", lambda: (_ for _ in ()).throw(FileNotFoundError("wandb-core")))
    with pytest.raises(StoreError, match=r"wandb-core.*Install it again"):
        initsuite.load_results(tmp_path)


EVALUATIONS = ((0, 4), (10, 3), (10, 2))


def test_a_step_that_a_resumed_run_repeats_counts_once() -> None:
    records = [
        {"type": "run", "run": {"run_id": "a", "job_type": "train", "config": {"update": {"lr": 1}}}},
        *(
            {"type": "history", "history": {"item": {"step": step, "val/mse": value}}}
            for step, value in ((0, 4), (10, 3), (10, 2))
        ),
        {"type": "summary", "summary": {"update": {"initsuite": {"metric": "mse", "status": "done"}}}},
        {"type": "exit", "exit": {}},
    ]
    content = content_of(records)
    assert is_trial(content)
    trial = as_trial(content)
    assert trial.curve.step.tolist() == [0, 10]
    assert trial.curve.val_score.tolist() == [4, 3]
    assert np.isnan(trial.curve.val_loss).all()
    assert (trial.row["trial_id"], trial.row["lr"], trial.row["status"]) == ("a", 1, "done")
    assert not is_trial(RunContent("r", "report", summary=content.summary))
