"""The W&B sink beside a made-up wandb package that records calls and breaks on demand; no process is started."""

from __future__ import annotations

import functools
import http.server
import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from initsuite.config.sweep import compose_sweep
from initsuite.errors import ConfigError
from initsuite.spec import Abandoned, Announced, Ended, Evaluated, Evaluation, Stage, Stored, Trial, TrialInfo
from initsuite.tracking.agent import SCORE, AgentRun
from initsuite.tracking.labels import rest_of, run_config, run_group, run_name, run_rest, run_summary
from initsuite.tracking.process import wandb_sink
from initsuite.tracking.read_offline import RunContent, as_trial, is_trial
from initsuite.tracking.service import HANDLES_KEPT_FREE, HANDLES_PER_RUN, affordable_runs
from initsuite.tracking.settings import Choice, Tracking, choose_mode, require_online, server_answers
from initsuite.tracking.sink import WandbSink, upload_line
from initsuite.tracking.uploads import Uploads

API_KEY = "0" * 40
PROBE_S = 0.5
SLACK_S = 1.5
"""Added to the probe's limit for a busy machine; a probe that hangs would take a minute."""

AXES = {"dataset": "digits", "model": "mlp-2x64", "activation": "relu", "init": "he", "optimizer": "sgd"}


WITH_TARGET = json.dumps({"dataset": {"levels": {"primary": 0.5}}, "max_steps": 600})


def info(seed: int = 2, stage: Stage = Stage.SCORE) -> TrialInfo:
    return TrialInfo(
        Trial("c0ffee", 0.1, seed, stage),
        AXES,
        {"model": {"depth": 2}, "dataset": {"metric": "accuracy"}},
        "standard",
        ("demo",),
    )


def evaluation(step: int, size: int, **fields: Any) -> Evaluation:
    values = {name: np.arange(size) + step + 0.25 for name in ("train_loss", "val_loss", "val_score")}
    return Evaluation(step, **{**values, **fields})


class FakeRun:
    """The part of a W&B run that the sink uses; `breaks` names the methods that raise."""

    def __init__(self, package: FakeWandb, settings: SimpleNamespace, config: dict[str, Any]) -> None:
        self.package, self.settings, self.config = package, settings, config
        self.id, self.offline = settings.run_id, settings.mode == "offline"
        self.entity, self.project = "someone", settings.project
        self.project_url = f"https://wandb.example/{settings.project}"
        self.history: list[tuple[int, dict[str, Any]]] = []
        self.summary: dict[str, Any] = {}
        self.exit_code: int | None = None
        folder = Path(settings.root_dir) / "wandb" / f"{settings.mode}-run-{settings.run_id}"
        settings.log_internal = str(folder / "debug-internal.log")
        self.dir = str(folder / "files")
        if "file" not in package.breaks:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"run-{settings.run_id}.wandb").write_text("records")
            (folder / "debug-internal.log").write_text(package.log)

    def define_metric(self, name: str, **options: Any) -> None: ...

    def log(self, data: dict[str, Any], *, step: int, commit: bool) -> None:
        self.package.fail_if("log")
        assert commit
        self.history.append((step, data))

    def finish(self, exit_code: int) -> None:
        self.package.finishing.append(self.id)
        self.package.fail_if("finish")
        self.package.fail_if(f"finish {self.settings.mode}")
        self.exit_code = exit_code
        self.package.open -= 1


class FakeWandb:
    Settings = SimpleNamespace

    def __init__(self, *breaks: str, has_key: bool = False) -> None:
        self.breaks, self.has_key = set(breaks), has_key
        self.meeting: threading.Barrier | None = None
        self.runs: list[FakeRun] = []
        self.open = self.most_open = self.num_replaced = 0
        self.finishing: list[str] = []
        self.log = "all is well\n"
        self.global_settings = SimpleNamespace(mode="online", base_url="http://127.0.0.1:9")

    def Api(self, timeout: int) -> FakeWandb:  # a name of W&B
        assert timeout > 0
        return self

    def run(self, path: str) -> SimpleNamespace:
        """What the server has: all that was sent, unless it is told to lose it."""
        found = [run for run in self.runs if path == f"{run.entity}/{run.project}/{run.id}"][-1]
        points = 0 if "memory" in self.breaks else len(found.history)
        shown = {"historyLineCount": points, "summary_metrics": found.summary, "dir": found.dir}
        return SimpleNamespace(**shown, load=lambda force: None)

    def lose_runs(self) -> None:
        """The end of W&B's process."""
        self.num_replaced += 1
        self.open = 0

    def fail_if(self, what: str) -> None:
        if what in self.breaks:
            raise RuntimeError(f"{what} broke\nsecond line")

    def setup(self, settings: SimpleNamespace) -> SimpleNamespace:
        self.fail_if("setup")
        assert settings.silent
        return SimpleNamespace(settings=self.global_settings)

    def login(self, *, prompt: bool, verify: bool) -> bool:
        assert not prompt
        assert not verify
        self.fail_if("login")
        return self.has_key

    def init(self, settings: SimpleNamespace, config: dict[str, Any]) -> FakeRun:
        if settings.mode == "online" and self.meeting:
            self.meeting.wait(timeout=10)
        self.fail_if("init")
        self.fail_if(f"init {settings.mode}")
        self.runs.append(FakeRun(self, settings, config))
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        return self.runs[-1]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeWandb]:
    monkeypatch.delenv("WANDB_MODE", raising=False)

    def install(*breaks: str, has_key: bool = False) -> FakeWandb:
        package = FakeWandb(*breaks, has_key=has_key)
        monkeypatch.setitem(sys.modules, "wandb", package)  # type: ignore[arg-type]
        monkeypatch.setattr("initsuite.tracking.runs.replace_service", lambda wandb: package.lose_runs())
        return package

    return install


def run_stack(sink: WandbSink, trials: list[TrialInfo], status: str = "done", evaluations: int = 4) -> list[str]:
    sink.take(Announced("stack", trials))
    for step in range(evaluations):
        sink.take(Evaluated("stack", evaluation(20 * step, len(trials))))
    sink.take(
        Stored(
            "stack",
            [{"status": status, "metric": "accuracy", "error": "a\nValueError: b", "test_score": 0.5} for _ in trials],
        )
    )
    return sink.close()


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "ofline"}, r"Expected one of: auto, online, offline, disabled. Did you mean `offline`\?"),
        ({"project": ""}, "Expected a name of 1 to 128 characters"),
        ({"project": "a/b"}, "Expected a name without any of"),
        ({"entity": " "}, "null for the account's default"),
        ({"stages": ()}, "For no runs: tracking=disabled"),
        ({"stages": "score"}, r"a list such as \[score\] or \[tune,score\]"),
        ({"stages": ["scores"]}, "Expected one of: tune, score. Did you mean `score`"),
        ({"tags": "night"}, r"`tags`='night'. Expected a list of names of 1 to 64 characters, such as \[night,wide\]"),
        ({"tags": ["night", 3]}, "a list of names"),
        ({"tags": ["x" * 65]}, "1 to 64 characters"),
        ({"max_open_runs": 0}, "a whole number from 1"),
        ({"max_open_runs": True}, "a whole number from 1"),
        ({"finish_timeout_s": 0}, "bad value `finish_timeout_s`=0. Expected a finite number above 0"),
        ({"probe_timeout_s": 0}, "a finite number above 0"),
        ({"probe_timeout_s": math.nan}, "a finite number above 0"),
        ({"dir": ""}, "Set results_dir=DIR"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tracking(**{"dir": "results", **options})


def test_settings_from_a_config_file() -> None:
    assert Tracking(dir="results", stages=["tune", "score"]).stages == ("tune", "score")  # type: ignore[arg-type]


# ---- what a run shows -----------------------------------------------------------------------------------------------


def test_labels() -> None:
    assert run_name(info()) == "digits-mlp-2x64-relu-sgd-he-s2"
    assert run_name(info(10_000, Stage.TUNE)) == "digits-mlp-2x64-relu-sgd-he-lr0.1-s10000"
    assert run_group(info()) == "digits/mlp-2x64/relu/sgd/he"
    flat = {"lr": 0.1, "seed": 2, "stage": "score", "cell_id": "c0ffee", "protocol": "standard", "depth": 2}
    assert run_config(info()) == {**AXES, **flat, "config": {"model": {"depth": 2}, "dataset": {"metric": "accuracy"}}}


def test_names_hold_what_the_data_set_does_not_set_by_default() -> None:
    default = {"batch_size": 64, "max_steps": 600, "eval_every": 20}
    config = {"dataset": {"metric": "accuracy", **default}, **default, "model": {"width": 32, "norm": "batch"}}
    plain = replace(info(), config={**config, "network": {"hidden_layers": 3}})
    assert run_name(plain) == "digits-mlp-2x64-relu-sgd-he-s2"
    shape = {key: run_config(plain)[key] for key in ("depth", "width", "norm")}
    assert shape == {"depth": 3, "width": 32, "norm": "batch"}
    larger = replace(plain, config={**config, "batch_size": 128, "max_steps": 50})
    assert run_name(larger) == "digits-mlp-2x64-relu-sgd-he-batch_size=128-max_steps=50-s2"
    assert run_name(replace(plain, protocol="fixed")) == "digits-mlp-2x64-relu-sgd-he-lr0.1-s2"


def test_what_a_run_says_of_a_missed_target_is_read_back_as_a_miss() -> None:
    row = {"status": "done", "metric": "accuracy", "steps_to_target": None, "config": WITH_TARGET, "epochs": 3}
    summary = {**run_summary(row), **run_rest(row)}
    content = RunContent("id", "train", "", {}, dict(summary))
    assert is_trial(content)
    assert as_trial(content).row["steps_to_target"] is None
    assert as_trial(content).row["config"] == WITH_TARGET
    assert as_trial(content).row["epochs"] == 3
    reached = {**run_summary({**row, "steps_to_target": 600.0}), **run_rest(row)}
    assert as_trial(RunContent("id", "train", "", {}, reached)).row["steps_to_target"] == 600.0
    former = {"result/reached_target": 0, "initsuite": {"metric": "accuracy", "config": WITH_TARGET}}
    assert as_trial(RunContent("id", "train", "", {}, former)).row["steps_to_target"] is None
    former = {"result/reached_target": 1, "result/steps_to_target": 40.0, "initsuite": {"metric": "accuracy"}}
    assert as_trial(RunContent("id", "train", "", {}, former)).row["steps_to_target"] == 40.0


def test_the_variables_of_wandb_are_used_or_named(monkeypatch, fake, tmp_path) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_ENTITY", "team")
    monkeypatch.setenv("WANDB_TAGS", "night, two")
    monkeypatch.setenv("WANDB_NAME", "one for all")
    monkeypatch.setenv("WANDB_RUN_GROUP", "g")
    tracking = Tracking(dir=str(tmp_path))
    assert (tracking.project, tracking.entity, tracking.tags) == ("mine", "team", ("night", "two"))
    assert Tracking(dir="r", project="given", entity="me").project == "given"
    assert Tracking(dir="r", tags=("wide", "two")).tags == ("wide", "two", "night")
    package = fake()
    lines = run_stack(WandbSink(tracking), [info()])
    assert package.runs[0].settings.run_tags == ("demo", "night", "two")
    assert package.runs[0].settings.run_name == run_name(info())
    assert lines[0].startswith("W&B: WANDB_NAME and WANDB_RUN_GROUP are not used")
    assert "WANDB_TAGS is" in lines[0]


def test_inside_an_agent_each_trial_has_a_run_beside_the_agents(monkeypatch, fake, tmp_path) -> None:
    """The agent's variables would make every run of the process that one run."""
    given = {"WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": "agents", "WANDB_SWEEP_PARAM_PATH": "p.yaml"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    package, infos = fake(), [info(seed) for seed in range(2)]
    sink = WandbSink(Tracking(dir=str(tmp_path)))
    assert not given.keys() & os.environ.keys()
    sink.take(Announced("stack", infos))
    common = {"status": "done", "metric": "accuracy", "stage": "score", "config": WITH_TARGET}
    sink.take(Stored("stack", [{**common, "best_val_score": score} for score in (0.5, 0.7)]))
    sink.take(Ended([0.4, 0.8]))  # of the whole command: one job was stored before
    sink.close()
    *trials, agents = package.runs
    assert [run.settings.run_id for run in trials] == [info.trial.trial_id for info in infos]
    assert not any(hasattr(run.settings, "sweep_id") for run in trials)
    assert (agents.settings.run_id, agents.settings.sweep_id) == ("agents", "sweep")
    assert agents.summary == {"score": pytest.approx(0.6)}


def test_the_sweep_file_of_the_docs_is_a_sweep_of_this_suite() -> None:
    """Its command, with the words of W&B that stand for the Python and for `key=value` of each parameter."""
    path = Path(__file__).parents[3] / "docs" / "examples" / "sweep.yaml"
    sweep = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert sweep["metric"] == {"name": SCORE, "goal": "maximize"}
    start, options = sweep["command"][:4], sweep["command"][4:]
    assert start == ["${env}", "python", "-m", "initsuite.train"]
    assert options[-1] == "${args_no_hyphens}"
    for number in range(max(len(given["values"]) for given in sweep["parameters"].values())):
        chosen = {
            key: {"value": given["values"][number % len(given["values"])]} for key, given in sweep["parameters"].items()
        }
        made = create_sweep_command_args({"args": chosen})["args_no_hyphens"]
        assert made == [f"{key}={given['value']}" for key, given in chosen.items()]
        (job,) = compose_sweep([*options[:-1], *made])
        assert job.tree is not None


def test_a_job_whose_trials_all_failed_has_no_part_in_the_score_of_the_agent() -> None:
    agent = AgentRun("id", "sweep", "")
    agent.take([-0.5, math.nan, -1.5])
    assert agent.score == -1.0
    agent.take([math.nan])
    assert math.isnan(agent.score)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {
                "status": "done",
                "metric": "accuracy",
                "steps_to_target": 40.0,
                "loss_auc": math.nan,
                "test_score": None,
                "lr": 0.1,
            },
            {"result/steps_to_target": 40.0, "result/diverged": False},
        ),
        (
            {"status": "diverged", "metric": "mse", "loss_auc": 2.5, "diverged_at": 7.0},
            {"result/loss_auc": 2.5, "result/diverged_at": 7.0, "result/diverged": True},
        ),
        (
            {"status": "done", "metric": "mse", "steps_to_target": None, "config": WITH_TARGET},
            {"result/steps_to_target": 600.0, "result/reached": 0, "result/diverged": False},
        ),
        (
            {"status": "done", "metric": "mse", "steps_to_target": 40.0, "config": WITH_TARGET},
            {"result/steps_to_target": 40.0, "result/reached": 1, "result/diverged": False},
        ),
        (
            {"status": "failed", "metric": "mse", "error": "Traceback\nValueError: b\n"},
            {"result/error": "ValueError: b"},
        ),
        ({"status": "failed", "metric": "mse", "error": None}, {"result/error": ""}),
        (
            {"status": "done", "metric": "mse", "final_val_score": 0.5, "test_score": 0.25},
            {"result/final_val_mse": 0.5, "result/test_mse": 0.25, "result/diverged": False},
        ),
        (
            {
                "status": "done",
                "metric": "mse",
                "signal_q_ratio": 0.5,
                "signal_dead": math.nan,
                "signal_verdict": "dead",
            },
            {"signal/q_ratio": 0.5, "signal/verdict": "dead", "result/diverged": False},
        ),
    ],
)
def test_summary(row: dict[str, Any], expected: dict[str, Any]) -> None:
    assert run_summary(row) == expected


def test_the_rest_of_a_row_is_what_nothing_else_shows() -> None:
    row = {"trial_id": "t", "lr": 0.1, "test_score": 0.5, "error": "", "wall_s": math.nan, "device": None}
    rest = {"commit": "c0ffee", "dirty": False, "config": '{"gain": 1.0}'}
    assert json.loads(run_rest({**row, **rest})["initsuite"]) == rest
    assert rest_of(run_rest({**row, **rest})) == rest_of({"initsuite": rest}) == rest, "also as it was written before"


# ---- the choice of the mode -----------------------------------------------------------------------------------------


@contextmanager
def serving(status: int) -> Iterator[str]:
    """A loopback server that answers everything with one status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def listening(drip: bytes = b"") -> Iterator[str]:
    """A loopback server that accepts and never answers, or answers with `drip` again and again, too slowly to end."""
    stop = threading.Event()

    def accept() -> None:
        connection, _ = server.accept()
        with connection:
            while not stop.wait(0.1):
                connection.sendall(drip)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        stop.set()


@pytest.mark.parametrize(("status", "expected"), [(200, True), (401, True), (404, True), (500, False), (503, False)])
def test_any_answer_below_500_counts(status: int, expected: bool) -> None:
    with serving(status) as url:
        assert server_answers(url, 5.0) is expected


@pytest.mark.parametrize("drip", [b"", b"x"])
def test_a_silent_or_dripping_server_is_left_in_time(drip: bytes) -> None:
    with listening(drip) as url:
        start = time.perf_counter()
        assert not server_answers(url, PROBE_S)
        assert time.perf_counter() - start < PROBE_S + SLACK_S


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense"])
def test_nobody_there(url: str) -> None:
    assert not server_answers(url, 5.0)


def test_auto_is_offline_without_a_key(fake: Callable[..., FakeWandb]) -> None:
    assert choose_mode(Tracking(dir="r"), fake()) == Choice("offline", "no API key is configured")


def test_auto_is_offline_with_a_key_that_is_refused(fake: Callable[..., FakeWandb]) -> None:
    choice = choose_mode(Tracking(dir="r"), fake("login"))
    assert choice.mode == "offline"
    assert "login broke" in choice.why


def test_a_password_in_the_address_is_not_shown_and_a_key_may_end_its_line(
    fake: Callable[..., FakeWandb], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = fake(has_key=True)
    package.global_settings.base_url = "http://me:secret@127.0.0.1:9"
    monkeypatch.setenv("WANDB_API_KEY", "0123abcd\n")
    assert choose_mode(Tracking(dir="r"), package).why == "127.0.0.1:9 did not answer within 3 s"
    assert os.environ["WANDB_API_KEY"] == "0123abcd"


def test_variables_that_wandb_would_refuse_are_written_as_it_takes_them(
    fake: Callable[..., FakeWandb], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WANDB_MODE": " Offline", "WANDB_TAGS": " ", "WANDB_NOTES": " a b "}.items():
        monkeypatch.setenv(name, value)
    assert choose_mode(Tracking(dir="r"), fake()) == Choice("offline")
    assert (os.environ["WANDB_MODE"], os.environ["WANDB_NOTES"], os.environ.get("WANDB_TAGS")) == (
        "offline",
        "a b",
        None,
    )


def test_a_setting_that_wandb_refuses_is_said_in_a_line(
    fake: Callable[..., FakeWandb], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(settings: SimpleNamespace) -> None:
        raise ValueError("1 validation error for Settings\nsilent\n  Should be a boolean [type=bool_parsing, input]")

    package = fake()
    monkeypatch.setattr(package, "setup", refuse)
    monkeypatch.setenv("WANDB_SILENT", "maybe")
    for ask in (choose_mode, functools.partial(require_online, "sync")):
        with pytest.raises(ConfigError, match=r"W&B refuses a setting: silent: Should be a boolean\. .*WANDB_SILENT"):
            ask(Tracking(dir="r"), package)


@pytest.mark.parametrize("mode", ["auto", "online"])
def test_online_needs_an_answer(fake: Callable[..., FakeWandb], mode: str) -> None:
    package = fake(has_key=True)
    choice = choose_mode(Tracking(dir="r", mode=mode), package)
    assert choice == Choice("offline", "127.0.0.1:9 did not answer within 3 s")
    with serving(404) as package.global_settings.base_url:
        assert choose_mode(Tracking(dir="r", mode=mode), package) == Choice("online")


def test_online_without_a_key_is_an_error(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    fake()
    with pytest.raises(ConfigError, match=r"Run `wandb login`, set WANDB_API_KEY, or choose tracking\.mode=offline"):
        wandb_sink(Tracking(dir=str(tmp_path), mode="online"))


def test_the_environment_decides_for_auto_alone(
    fake: Callable[..., FakeWandb], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = fake(has_key=True)
    with serving(200) as package.global_settings.base_url:
        monkeypatch.setenv("WANDB_MODE", "dryrun")
        assert choose_mode(Tracking(dir="r"), package) == Choice("offline")
        assert choose_mode(Tracking(dir="r", mode="online"), package) == Choice("online")
        monkeypatch.delenv("WANDB_MODE")
        package.global_settings.mode = "offline"  # what `wandb offline` leaves in a settings file
        assert choose_mode(Tracking(dir="r"), package) == Choice("offline")


def test_unknown_word_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "of")
    with pytest.raises(ConfigError, match=r"unknown `WANDB_MODE`='of'. Expected one of: online, .*Unset it"):
        wandb_sink(Tracking(dir="r"))


def test_disabled_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from initsuite.tracking.process import Tracking, wandb_sink;"
        "assert wandb_sink(Tracking(dir='r', mode='disabled')) is None;"
        "assert not {'wandb', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_sink(Tracking(dir="r")) is None


# ---- never in the way -----------------------------------------------------------------------------------------------


def test_runs_beyond_the_cap_are_written_when_the_stack_ends(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake()
    lines = run_stack(WandbSink(Tracking(dir=str(tmp_path), max_open_runs=2)), [info(seed) for seed in range(5)])
    assert package.most_open == 2
    assert package.open == 0
    assert [run.settings.run_name for run in package.runs] == [
        f"digits-mlp-2x64-relu-sgd-he-s{seed}" for seed in range(5)
    ]
    for place, run in enumerate(package.runs):
        assert [step for step, _ in run.history] == [0, 20, 40, 60]
        assert [data["val/loss"] for _, data in run.history] == [step + place + 0.25 for step in (0, 20, 40, 60)]
        results = {key: value for key, value in run.summary.items() if key.startswith("result/")}
        assert results == {"result/test_accuracy": 0.5, "result/diverged": False}
    assert lines[0] == "W&B: 5 runs written offline (no API key is configured)"


def test_each_run_has_settings_of_its_own(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake()
    run_stack(WandbSink(Tracking(dir=str(tmp_path))), [info(0), info(1)])
    first, second = (run.settings for run in package.runs)
    assert first is not second
    assert (first.run_id, first.reinit, first.run_tags) == (info(0).trial.trial_id, "create_new", ("demo",))


def test_only_the_stages_asked_for(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    trials = [info(10_000, Stage.TUNE), info(0)]
    package = fake()
    run_stack(WandbSink(Tracking(dir=str(tmp_path))), trials)
    assert [run.settings.run_job_type for run in package.runs] == ["train"]
    assert package.runs[0].history[0][1]["val/loss"] == 1.25, "its place in the stack, not among the runs"
    package = fake()
    run_stack(WandbSink(Tracking(dir=str(tmp_path), stages=("tune", "score"))), trials)
    assert [run.settings.run_job_type for run in package.runs] == ["tune", "train"]


def test_what_is_not_finite_is_left_out(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake()
    sink = WandbSink(Tracking(dir=str(tmp_path)))
    sink.take(Announced("stack", [info()]))
    sink.take(Evaluated("stack", evaluation(20, 1, val_loss=np.array([np.inf]), train_loss=np.array([np.nan]))))
    assert package.runs[0].history == [(20, {"step": 20, "val/accuracy": 20.25})]


def test_a_failed_trial_is_a_failed_run(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake()
    run_stack(WandbSink(Tracking(dir=str(tmp_path))), [info()], status="failed")
    assert package.runs[0].exit_code == 1
    assert package.runs[0].summary["result/error"] == "ValueError: b"


@pytest.mark.parametrize("what", ["init", "log", "finish", "file"])
def test_a_broken_wandb_is_one_line_at_the_end(fake: Callable[..., FakeWandb], tmp_path: Path, what: str) -> None:
    fake(what)
    lines = run_stack(WandbSink(Tracking(dir=str(tmp_path))), [info(0), info(1)])
    (warning,) = [line for line in lines if "warning" in line]
    reason = f"RuntimeError: {what} broke" if what != "file" else "OSError: no run file at"
    named = "digits-mlp-2x64-relu-sgd-he-s0, digits-mlp-2x64-relu-sgd-he-s1"
    assert f"2 runs incomplete ({named}); training and the results store are not affected" in warning
    assert reason in warning
    assert "second line" not in warning


def test_a_package_that_cannot_start_is_one_line(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    fake("setup")
    (line,) = run_stack(WandbSink(Tracking(dir=str(tmp_path))), [info()])
    assert "it could not start" in line
    assert "setup broke" in line


def test_a_folder_that_cannot_be_written_is_one_line(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake()
    (tmp_path / "results").write_text("a file in the way")
    (line,) = run_stack(WandbSink(Tracking(dir=str(tmp_path / "results"))), [info()])
    assert "it could not start" in line
    assert not package.runs


def test_a_server_that_dies_sends_the_rest_offline(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake("init online", has_key=True)
    with serving(200) as package.global_settings.base_url:
        lines = run_stack(WandbSink(Tracking(dir=str(tmp_path))), [info(0), info(1), info(2)])
    assert [run.offline for run in package.runs] == [True] * 3
    assert lines[0].startswith("W&B: 3 runs written offline (the server stopped answering: RuntimeError: init online")
    assert not [line for line in lines if "warning" in line]


def test_runs_that_meet_a_dead_server_together_all_go_offline(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    """The first of them finds the server gone; the others, still in their attempt, find it too."""
    package = fake("init online", has_key=True)
    with serving(200) as package.global_settings.base_url:
        sink = WandbSink(Tracking(dir=str(tmp_path), max_open_runs=4))
        package.meeting = threading.Barrier(4)
        sink.take(Announced("stack", [info(seed) for seed in range(4)]))
    assert package.num_replaced == 1
    sink.take(Stored("stack", [{"status": "done", "metric": "accuracy"}] * 4))
    lines = sink.close()
    assert lines[0].startswith("W&B: 4 runs written offline")
    assert not [line for line in lines if "warning" in line]


def test_one_run_waits_for_a_dead_server_and_all_are_written_offline(
    fake: Callable[..., FakeWandb], tmp_path: Path
) -> None:
    package = fake("finish online", has_key=True)
    with serving(200) as package.global_settings.base_url:
        sink = WandbSink(Tracking(dir=str(tmp_path)))
        for seed in range(3):
            sink.take(Announced(str(seed), [info(seed)]))
    for seed in range(3):
        sink.take(Evaluated(str(seed), evaluation(20, 1)))
    for seed in range(3):
        sink.take(Stored(str(seed), [{"status": "done", "metric": "accuracy"}]))
    assert package.finishing == [info(seed).trial.trial_id for seed in (0, 0, 1, 2)], "the others do not wait"
    assert package.num_replaced == 1
    offline = [run for run in package.runs if run.offline]
    assert [(run.id, run.exit_code) for run in offline] == [(info(seed).trial.trial_id, 0) for seed in range(3)]
    assert all([step for step, _ in run.history] == [20] for run in offline), "whole, not from the failure on"
    assert Uploads(tmp_path).ids() == set()
    lines = sink.close()
    assert lines[0].startswith("W&B: 3 runs written offline (the server stopped answering: RuntimeError: finish online")
    assert not [line for line in lines if "warning" in line]


def test_runs_of_one_stack_do_not_wait_one_after_the_other(
    fake: Callable[..., FakeWandb], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("initsuite.tracking.sink.ONLINE_WORKERS", 1)
    package = fake("finish online", has_key=True)
    with serving(200) as package.global_settings.base_url:
        sink = WandbSink(Tracking(dir=str(tmp_path)))
        sink.take(Announced("stack", [info(seed) for seed in range(3)]))
    sink.take(Stored("stack", [{"status": "done", "metric": "accuracy"}] * 3))
    assert package.finishing == [info(seed).trial.trial_id for seed in (0, 0, 1, 2)], "one online, then all offline"


def test_a_refused_run_is_not_remembered_as_uploaded(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    """W&B's `finish` ends well although the server has nothing; an upload later must not take it for done."""
    package = fake(has_key=True)
    with serving(200) as package.global_settings.base_url:
        sink = WandbSink(Tracking(dir=str(tmp_path)))
        package.log = '{"msg":"filestream: fatal error: failed to upload: 404 Not Found: {}"}\n'
        sink.take(Announced("stack", [info(0)]))
        package.log = "all is well\n"
        sink.take(Announced("other", [info(1)]))
        sink.take(Stored("stack", [{"status": "done", "metric": "accuracy"}]))
        sink.take(Stored("other", [{"status": "done", "metric": "accuracy"}]))
    assert Uploads(tmp_path).ids() == {info(1).trial.trial_id}
    lines = sink.close()
    assert "1 run incomplete" in lines[-1]
    assert "404 Not Found" in lines[-1]


def test_a_run_that_the_server_took_and_lost_is_not_remembered_as_uploaded(
    fake: Callable[..., FakeWandb], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("initsuite.tracking.confirm.LAG_S", 0.3)
    with serving(200) as fake("memory", has_key=True).global_settings.base_url:
        sink = WandbSink(Tracking(dir=str(tmp_path)))
        run_stack(sink, [info(0)], evaluations=3)
    assert Uploads(tmp_path).ids() == set()
    assert "the server took the run, but lacks 3 of 3 points of it" in sink.close()[-1]


def test_late_runs_stay_within_the_cap_online(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake(has_key=True)
    with serving(200) as package.global_settings.base_url:
        sink = WandbSink(Tracking(dir=str(tmp_path), max_open_runs=4))
        sink.take(Announced("live", [info(seed) for seed in range(3)]))
        sink.take(Announced("late", [info(seed) for seed in range(3, 20)]))
        assert package.open == 4
        sink.take(Stored("late", [{"status": "done", "metric": "accuracy"}] * 17))
        assert package.most_open <= 4
        sink.take(Stored("live", [{"status": "done", "metric": "accuracy"}] * 3))
    assert sink.close() == ["W&B: 20 runs at https://wandb.example/initsuite"]


def test_online_ends_with_the_address(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake(has_key=True)
    with serving(200) as package.global_settings.base_url:
        lines = run_stack(WandbSink(Tracking(dir=str(tmp_path))), [info(seed) for seed in range(20)])
    assert lines == ["W&B: 20 runs at https://wandb.example/initsuite"]


def test_a_stack_that_never_finished_is_closed_as_failed(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake()
    sink = WandbSink(Tracking(dir=str(tmp_path)))
    sink.take(Announced("a", [info(0)]))
    sink.take(Announced("b", [info(1)]))
    sink.close()
    assert [run.exit_code for run in package.runs] == [1, 1]


def test_the_runs_of_an_abandoned_stack_go_on_with_its_halves(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake()
    sink = WandbSink(Tracking(dir=str(tmp_path)))
    sink.take(Announced("whole", [info(0), info(1)]))
    sink.take(Evaluated("whole", evaluation(20, 2)))
    sink.take(Abandoned("whole"))
    sink.take(Announced("half", [info(1)]))
    sink.take(Evaluated("half", evaluation(40, 1)))
    sink.take(Stored("half", [{"status": "done", "metric": "accuracy"}]))
    assert [run.exit_code for run in package.runs] == [None, 0]
    assert [step for step, _ in package.runs[1].history] == [20, 40]
    assert package.runs[1].history[1][1]["val/loss"] == 40.25
    sink.close()
    assert [run.exit_code for run in package.runs] == [1, 0]


def test_several_stacks_share_the_cap_and_keep_their_own_values(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    package = fake()
    written = []
    sink = WandbSink(Tracking(dir=str(tmp_path), max_open_runs=3), on_written=written.append)
    sink.take(Announced("a", [info(0), info(1)]))
    sink.take(Announced("b", [info(2), info(3)]))
    assert package.open == 3
    sink.take(Evaluated("b", evaluation(20, 2)))
    sink.take(Evaluated("a", evaluation(40, 2)))
    for name in ("b", "a"):
        sink.take(Stored(name, [{"status": "done", "metric": "accuracy"}] * 2))
    steps = {run.config["seed"]: [step for step, _ in run.history] for run in package.runs}
    assert steps == {0: [40], 1: [40], 2: [20], 3: [20]}
    assert package.most_open <= 3
    assert written == [info(seed).trial.trial_id for seed in (2, 3, 0, 1)]


def test_the_paths_in_the_commands_are_quoted(fake: Callable[..., FakeWandb], tmp_path: Path) -> None:
    fake()
    lines = run_stack(WandbSink(Tracking(dir=str(tmp_path / "my results"))), [info()])
    folder = f"'{tmp_path}/my results/wandb'"
    assert lines[1].endswith(f"wandb leet {folder}")
    assert lines[2] == f"  upload: python -m initsuite.sync '{tmp_path}/my results'"


def test_the_upload_command_names_the_project_of_the_launch(tmp_path: Path) -> None:
    mine = Tracking(dir=str(tmp_path), project="my inits", entity="team")
    assert upload_line(mine) == f"  upload: python -m initsuite.sync {tmp_path} --project 'my inits' --entity team"


# ---- file handles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "refused", "granted"),
    [((1024, 4096), False, 4096), ((1024, 4096), True, 1024), ((1024, -1), False, 65_536), ((-1, -1), False, 65_536)],
)
def test_the_limit_is_raised_and_bounds_the_open_runs(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], refused: bool, granted: int
) -> None:
    resource = pytest.importorskip("resource")
    asked: list[tuple[int, int]] = []

    def setrlimit(kind: int, pair: tuple[int, int]) -> None:
        asked.append(pair)
        if refused:
            raise ValueError("not allowed")

    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert affordable_runs() == (granted - HANDLES_KEPT_FREE) // HANDLES_PER_RUN
    assert all(pair[1] == limits[1] for pair in asked), "the hard limit is left alone"


def test_a_tight_limit_still_allows_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, 64))
    assert affordable_runs() == 1
