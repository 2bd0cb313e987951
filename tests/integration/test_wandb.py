"""Real offline runs, read back with W&B's own reader; and the choice of the mode in the real package."""

from __future__ import annotations

import builtins
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from initsuite.errors import ConfigError
from initsuite.spec import Announced, Evaluated, Evaluation, Stage, Stored, Trial, TrialInfo
from initsuite.tracking.process import wandb_sink
from initsuite.tracking.settings import Tracking
from initsuite.tracking.sink import WandbSink

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "conf"
STEPS = (0, 20, 40, 60)
PROBE_S = 0.5
SLACK_S = 20.0
"""Added to the probe's limit: the first use starts W&B's service process, on a machine that may be busy."""

ROWS = (
    {
        "status": "done",
        "metric": "accuracy",
        "error": "",
        "steps_to_target": 40.0,
        "loss_auc": 1.75,
        "final_val_score": 0.9,
        "best_val_score": 0.95,
        "test_score": 0.925,
    },
    {
        "status": "diverged",
        "metric": "accuracy",
        "error": "",
        "steps_to_target": None,
        "loss_auc": 2.25,
        "test_score": float("nan"),
    },
    {"status": "failed", "metric": "accuracy", "error": "Traceback\nValueError: planted"},
)


def infos() -> list[TrialInfo]:
    axes = {"dataset": "digits", "model": "mlp-2x64", "activation": "relu", "optimizer": "sgd"}
    config = {"model": {"widths": [64, 64], "batch_norm": False}, "max_steps": 600, "dataset": {"metric": "accuracy"}}
    return [
        TrialInfo(Trial("c0ffee", 0.1, seed, Stage.SCORE), {**axes, "init": init}, config, "standard", ("demo", "x"))
        for seed, init in enumerate(("he", "normal", "zero"))
    ]


def evaluations() -> list[Evaluation]:
    """[trial] = 3; the second trial diverges after step 20."""
    rng = np.random.default_rng(0)
    result = []
    for step in STEPS:
        fields = {name: rng.random(3).astype(np.float32) for name in ("train_loss", "val_loss", "val_score")}
        if step > 20:
            for values in fields.values():
                values[1] = np.nan
        result.append(Evaluation(step, **fields))
    return result


def expected_history(place: int) -> list[dict[str, Any]]:
    history = []
    for one in evaluations():
        values = {"val/accuracy": one.val_score, "val/loss": one.val_loss, "train/loss": one.train_loss}
        numbers = {key: float(value[place]) for key, value in values.items() if np.isfinite(value[place])}
        history.append({"step": one.step, **numbers})
    return history


@pytest.mark.parametrize("max_open_runs", [64, 1])
def test_offline_runs_hold_what_was_logged(
    isolated_wandb: Path,
    tmp_path: Path,
    read_wandb_runs: Callable[[Path], dict[str, dict[str, Any]]],
    max_open_runs: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sink = wandb_sink(Tracking(dir=str(tmp_path / "my results"), mode="offline", max_open_runs=max_open_runs))
    assert sink is not None
    sink.take(Announced("stack", infos()))
    for one in evaluations():
        sink.take(Evaluated("stack", one))
    sink.take(Stored("stack", ROWS))
    lines = sink.close()
    assert capfd.readouterr() == ("", ""), "nothing is printed between the lines of the progress display"

    folder = tmp_path / "my results" / "wandb"
    assert lines[0] == "W&B: 3 runs written offline"
    assert len(lines) == 3, lines
    assert len(list(folder.glob("offline-run-*"))) == 3
    runs = read_wandb_runs(folder)
    assert set(runs) == {info.trial.trial_id for info in infos()}
    for place, (info, row) in enumerate(zip(infos(), ROWS, strict=True)):
        run = runs[info.trial.trial_id]
        init = info.axes["init"]
        assert (run["name"], run["group"]) == (
            f"digits-mlp-2x64-relu-sgd-{init}-s{place}",
            f"digits/mlp-2x64/relu/sgd/{init}",
        )
        assert (run["project"], run["job_type"], run["tags"]) == ("initsuite", "train", ["demo", "x"])
        flat = {"lr": 0.1, "seed": place, "stage": "score", "cell_id": "c0ffee", "protocol": "standard"}
        flat["width"] = [64, 64]
        assert run["config"] == {**info.axes, **flat, "config": info.config}
        assert run["history"] == expected_history(place)
        results = {key: value for key, value in run["summary"].items() if key.startswith("result/")}
        if row["status"] == "failed":
            assert results == {"result/error": "ValueError: planted"}
        else:
            measures = {
                f"result/{key.replace('score', 'accuracy')}": value
                for key, value in row.items()
                if key not in ("status", "metric", "error")
            }
            finite = {key: value for key, value in measures.items() if value is not None and np.isfinite(value)}
            assert results == {**finite, "result/diverged": row["status"] == "diverged"}
        assert run["exit_code"] == (1 if row["status"] == "failed" else 0)


def test_the_printed_commands_accept_the_folder(isolated_wandb: Path, tmp_path: Path) -> None:
    sink = WandbSink(Tracking(dir=str(tmp_path / "my results"), mode="offline"))
    sink.take(Announced("stack", infos()[:1]))
    sink.take(Stored("stack", ROWS[:1]))
    _, browse, upload = sink.close()
    assert upload == f"  upload: python -m initsuite.sync '{tmp_path}/my results'"
    browse = browse.partition("browse: ")[2].replace(" leet ", " leet inspect --summary --json ")
    shown = subprocess.run(browse, shell=True, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(shown.stdout)["name"] == "digits-mlp-2x64-relu-sgd-he-s0"


def test_tuning_trials_on_request(
    isolated_wandb: Path, tmp_path: Path, read_wandb_runs: Callable[[Path], dict[str, dict[str, Any]]]
) -> None:
    first = infos()[0]
    tuning = TrialInfo(Trial("c0ffee", 0.1, 10_000, Stage.TUNE), first.axes, first.config, "standard")
    sink = WandbSink(Tracking(dir=str(tmp_path), mode="offline", stages=("tune", "score")))
    sink.take(Announced("stack", [tuning]))
    sink.take(Stored("stack", ROWS[:1]))
    sink.close()
    (run,) = read_wandb_runs(tmp_path / "wandb").values()
    assert (run["name"], run["job_type"], run["config"]["stage"]) == (
        "digits-mlp-2x64-relu-sgd-he-lr0.1-s10000",
        "tune",
        "tune",
    )


# ---- the mode, with the real package --------------------------------------------------------------------------------


@pytest.fixture
def no_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal where any question is a failure."""

    def refuse(*args: object) -> str:
        raise AssertionError("a question was asked")

    monkeypatch.setattr(builtins, "input", refuse)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", refuse, raising=False)


def one_offline_run(tmp_path: Path) -> list[str]:
    """The lines after one trial in mode auto, which must end offline."""
    sink = wandb_sink(Tracking(dir=str(tmp_path), probe_timeout_s=PROBE_S))
    assert sink is not None
    sink.take(Announced("stack", infos()[:1]))
    sink.take(Evaluated("stack", evaluations()[0]))
    sink.take(Stored("stack", ROWS[:1]))
    lines = sink.close()
    assert len(list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))) == 1
    return lines


@pytest.mark.usefixtures("isolated_wandb", "no_questions")
def test_auto_without_a_key(tmp_path: Path) -> None:
    assert one_offline_run(tmp_path)[0] == "W&B: 1 run written offline (no API key is configured)"


@pytest.mark.usefixtures("isolated_wandb", "no_questions")
def test_auto_with_a_malformed_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    assert "the API key cannot be used" in one_offline_run(tmp_path)[0]


@pytest.mark.usefixtures("no_questions")
@pytest.mark.parametrize("source", ["environment", "netrc"])
def test_auto_with_a_key_and_nobody_listening(
    isolated_wandb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    if source == "environment":
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    else:
        (isolated_wandb / "netrc").write_text(f"machine 127.0.0.1:9\n  login user\n  password {'0' * 40}\n")
    assert "(127.0.0.1:9 did not answer" in one_offline_run(tmp_path)[0]


@pytest.mark.usefixtures("isolated_wandb", "no_questions")
def test_auto_with_a_key_and_a_silent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        start = time.perf_counter()
        assert "did not answer within 0.5 s" in one_offline_run(tmp_path)[0]
        assert time.perf_counter() - start < PROBE_S + SLACK_S


@pytest.mark.usefixtures("isolated_wandb", "no_questions")
def test_online_without_a_key_does_not_ask(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no API key is configured. .*wandb login"):
        wandb_sink(Tracking(dir=str(tmp_path), mode="online"))


# ---- configuration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "online", "offline", "disabled"])
def test_every_tracking_config_builds(mode: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        tracking = OmegaConf.to_container(compose(overrides=[f"+tracking={mode}"]).tracking)
    assert isinstance(tracking, dict)
    assert Tracking(dir="results", **{str(key): value for key, value in tracking.items()}) == Tracking(
        dir="results", mode=mode
    ), "the defaults are said twice, in the YAML and in the class, and must agree"
