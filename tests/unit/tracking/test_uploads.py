"""The memory of what the server has, and what is missing by it."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from initsuite.errors import StoreError
from initsuite.results.columns import TRIALS
from initsuite.results.store import Store, load_results
from initsuite.spec import Curve, Stage, Status, Trial
from initsuite.tracking import upload as uploader_module
from initsuite.tracking.process import _log, wandb_sink
from initsuite.tracking.runs import refusal
from initsuite.tracking.settings import Tracking
from initsuite.tracking.sink import WandbSink
from initsuite.tracking.upload import MAX_IN_A_ROW, Uploader
from initsuite.tracking.uploads import StoredTrial, Uploads, missing_trials


def test_what_is_added_is_remembered_by_every_reader(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    assert uploads.ids() == set()
    assert not uploads.directory.exists(), "a reader makes no folder"
    uploads.add("b")
    uploads.add("a")
    uploads.add("a")
    assert Uploads(str(tmp_path)).ids() == {"a", "b"}
    assert sorted(path.name for path in (tmp_path / "wandb" / "uploaded").iterdir()) == ["a", "b"]


def test_links_planted_in_a_shared_folder_are_not_followed(tmp_path: Path) -> None:
    home, results = tmp_path / "home", tmp_path / "results"
    (results / "wandb" / "uploaded").mkdir(parents=True)
    home.mkdir()
    (home / "mine").write_text("kept")
    for name in ("uploaded/a", "writer.log"):
        (results / "wandb" / name).symlink_to(home / "mine")
    with _log(Tracking(dir=str(results)).folder) as log:
        log.write(b"a complaint")
    Uploads(results).add("a", url="https://wandb.ai/a")
    assert (results / "wandb" / "uploaded" / "a").read_text() == "https://wandb.ai/a"
    (results / "wandb").rename(results / "before")
    (results / "wandb").symlink_to(home)
    for write in (wandb_sink, WandbSink, lambda tracking: Uploads(tracking.dir).add("b")):
        with pytest.raises(StoreError, match=r"wandb.*a link that leads out"):
            write(Tracking(dir=str(results), mode="offline"))
    assert [(path.name, path.read_text()) for path in home.iterdir()] == [("mine", "kept")]


def test_a_failure_is_no_completed_trial(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.add("a", is_failed=True)
    assert uploads.ids() == set()
    assert uploads.ids(is_failed=True) == {"a"}
    uploads.add("a")
    assert uploads.ids() == {"a"}


def test_the_address_of_a_run_is_known_to_whoever_reads_the_store(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    row = {**dict.fromkeys(TRIALS.names), "status": "done"}
    nothing = Curve(np.array([0]), *(np.array([0.5]) for _ in range(3)))
    Store(tmp_path).append([{**row, "trial_id": name} for name in names], dict.fromkeys(names, nothing))
    uploads = Uploads(tmp_path)
    uploads.add("a", is_failed=True, url="https://wandb.example/old")
    uploads.add("a", url="https://wandb.example/a")
    uploads.add("b")
    uploads.add("c", is_failed=True, url="https://wandb.example/c")
    uploads.add("elsewhere", url="https://wandb.example/elsewhere")
    expected = {"a": "https://wandb.example/a", "c": "https://wandb.example/c"}
    assert load_results(tmp_path).links == expected
    uploads.add("a")
    assert load_results(tmp_path).links == expected, "an address is not forgotten"


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    code = "import sys; from initsuite.tracking.uploads import Uploads; Uploads(sys.argv[1]).add(sys.argv[2])"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: Uploads(tmp_path).add(str(name)), range(100)))
        processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "abcd"]
    assert [process.wait() for process in processes] == [0] * 4
    assert Uploads(tmp_path).ids() == {*map(str, range(100)), *"abcd"}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "wandb").write_text("in the way")
    with pytest.raises(OSError, match="wandb"):
        Uploads(tmp_path).add("a")


@pytest.mark.parametrize("module", ["initsuite.tracking.uploads", "initsuite.sync"])
def test_neither_torch_nor_wandb_is_imported(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def stored(directory: Path, lr: float, status: Status, stage: Stage = Stage.SCORE) -> str:
    trial = Trial("c0ffee", lr, 3, stage)
    known = {"trial_id": trial.trial_id, "cell_id": "c0ffee", "lr": lr, "seed": 3, "stage": str(stage)}
    axes = dict.fromkeys(("dataset", "model", "activation", "init", "optimizer"), "x")
    row = {**dict.fromkeys(TRIALS.names), **known, **axes, "status": str(status), "protocol": "quick", "config": "{}"}
    curve = Curve(np.array([20, 0]), *(np.array([2.0, 1.0]) for _ in range(3)))
    Store(directory).append([row], {trial.trial_id: curve})
    return trial.trial_id


def missing(directory: Path, *stages: str) -> list[str]:
    results = Store(directory).read()
    found = missing_trials(results.trials, results.curves, Uploads(directory), stages or ("score",))
    return [stored.row["trial_id"] for stored in found]


def test_missing_is_what_the_server_lacks(tmp_path: Path) -> None:
    done, diverged, failed, twice = (
        stored(tmp_path, lr, status)
        for lr, status in ((0.1, Status.DONE), (1.0, Status.DIVERGED), (2.0, Status.FAILED), (3.0, Status.FAILED))
    )
    tuning = stored(tmp_path, 0.1, Status.DONE, Stage.TUNE)
    assert missing(tmp_path) == [done, diverged, failed, twice]
    assert missing(tmp_path, "tune", "score") == [done, diverged, failed, twice, tuning]
    uploads = Uploads(tmp_path)
    uploads.add(done)
    for trial_id in (failed, twice):
        uploads.add(trial_id, is_failed=True)
    assert missing(tmp_path) == [diverged]
    stored(tmp_path, 3.0, Status.DONE)  # a rerun that succeeds
    assert missing(tmp_path) == [diverged, twice]


@pytest.mark.parametrize("lr", [0.1, 1 / 3, 1e-7, 3.1622776601683795])
def test_a_stored_trial_keeps_its_identity_and_the_order_of_its_curve(tmp_path: Path, lr: float) -> None:
    trial_id = stored(tmp_path, lr, Status.DONE)
    results = Store(tmp_path).read()
    [found] = missing_trials(results.trials, results.curves, Uploads(tmp_path), ["score"])
    assert found.info.trial.trial_id == trial_id
    assert found.info.tags == ()
    assert [(evaluation.step, evaluation.val_loss.tolist()) for evaluation in found.evaluations] == [
        (0, [1]),
        (20, [2]),
    ]


def test_a_trial_without_a_curve_has_no_evaluations(tmp_path: Path) -> None:
    trial_id = stored(tmp_path, 0.1, Status.FAILED)
    results = Store(tmp_path).read()
    empty: pd.DataFrame = results.curves.iloc[:0]
    [found] = missing_trials(results.trials, empty, Uploads(tmp_path), ["score"])
    assert found.row["trial_id"] == trial_id
    assert list(found.evaluations) == []


def test_a_refusal_is_found_in_a_log(tmp_path: Path) -> None:
    log = tmp_path / "debug-internal.log"
    log.write_text('{"level":"INFO","msg":"filestream: request sent","status":"200 OK"}\n')
    assert refusal(log) == ""
    with log.open("a") as file:
        file.write('{"level":"ERROR+4","msg":"filestream: fatal error: failed to upload: 404 Not Found: {}"}\n')
    assert refusal(log) == "failed to upload: 404 Not Found: {}"


class FakeUploader(Uploader):
    """Uploads nothing, one trial at a time; `outcomes` says by seed whether it works, fails or hangs."""

    def __init__(self, outcomes: str) -> None:
        self._max_open_runs = 1
        self.outcomes = outcomes
        self.tracking = Tracking(dir="nowhere", finish_timeout_s=0.2)

    def upload(self, stored: StoredTrial) -> None:
        seed = stored.row["seed"]
        time.sleep(0.01)
        if self.outcomes[seed] == "f":
            raise TimeoutError("planted\nsecond line")
        if self.outcomes[seed] == "h":
            threading.Event().wait()


def upload_all(outcomes: str) -> list[tuple[str, str]]:
    trials = [StoredTrial({"trial_id": str(seed), "seed": seed}, pd.DataFrame()) for seed in range(len(outcomes))]
    return list(FakeUploader(outcomes).upload_all(trials))


def expected(outcomes: str) -> list[tuple[str, str]]:
    return [(str(seed), "TimeoutError: planted" if outcome == "f" else "") for seed, outcome in enumerate(outcomes)]


def test_failures_that_are_not_in_a_row_stop_nothing() -> None:
    assert upload_all("ffoffoff") == expected("ffoffoff")


def test_failures_in_a_row_stop_the_rest() -> None:
    outcomes = "o" + "f" * MAX_IN_A_ROW + "o" * 200
    found = upload_all(outcomes)
    assert found == expected(outcomes)[: len(found)]
    assert MAX_IN_A_ROW < len(found) < len(outcomes) / 2, "what was in flight is answered, the rest is not begun"


def test_a_run_that_hangs_for_ever_does_not_hold_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploader_module, "GRACE_S", 0.2)
    assert upload_all("ooho") == expected("oo")
