"""The process beside the training: light, out of the way, and gone when it should be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from initsuite.errors import ConfigError
from initsuite.spec import Announced, Evaluation, Stage, Stored, Trial, TrialInfo
from initsuite.tracking import process as beside
from initsuite.tracking.process import WandbProcess, wandb_sink
from initsuite.tracking.service import NAME, NICENESS, within
from initsuite.tracking.settings import Tracking

pytestmark = pytest.mark.slow

START_S = 60.0
"""What a process that imports W&B may take to start, and to end, on a busy machine."""

LIMIT_S = 30.0
"""A limit of the sink that must not be reached."""

AXES = {"dataset": "digits", "model": "mlp-2x64", "activation": "relu", "init": "he", "optimizer": "sgd"}
ROW = {"status": "done", "metric": "accuracy", "error": "", "steps_to_target": 20.0, "test_score": 0.875}
PROC = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes through Linux's /proc")

PARENT = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[2])
from test_wandb_process import evaluation, infos, offline_sink, ROW
from initsuite.spec import Announced, Evaluated, Stored
sink = offline_sink(sys.argv[1])
print(sink._child.pid, flush=True)
sink.take(Announced("stack", infos(20)))
sink.take(Evaluated("stack", evaluation(0, 20)))
sink.take(Stored("stack", [ROW] * 20))
while not sink._messages.empty(): time.sleep(0.01)
time.sleep(0.2)  # the feeder may be at the last message
os.kill(os.getpid(), signal.SIGKILL)
"""


def infos(number: int, first: int = 0) -> list[TrialInfo]:
    seeds = range(first, first + number)
    return [
        TrialInfo(Trial("c0ffee", 0.1, seed, Stage.SCORE), AXES, {"dataset": {"metric": "accuracy"}}, "standard")
        for seed in seeds
    ]


def evaluation(step: int, number: int) -> Evaluation:
    values = np.arange(number) + step / 64
    return Evaluation(step, values, values, values)


def offline_sink(directory: str | Path) -> WandbProcess:
    sink = wandb_sink(Tracking(dir=str(directory), mode="offline", finish_timeout_s=LIMIT_S))
    assert sink is not None
    return sink


def wait_for(condition: Callable[[], Any]) -> Any:
    begin = time.monotonic()
    while not (found := condition()):
        assert time.monotonic() - begin < START_S
        time.sleep(0.02)
    return found


def service_of(pid: int) -> int | None:
    """W&B's process, which is told the pid of the one that it serves."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
        except OSError:
            continue
        if NAME in words[0] and str(pid) in words:
            return int(path.parent.name)
    return None


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_child_never_imports_torch(isolated_wandb: Path, tmp_path: Path) -> None:
    """Two seconds of import, and memory that the training needs."""
    code = (
        "import sys; from initsuite.tracking import writer; from initsuite.tracking.sink import WandbSink;"
        f"from initsuite.tracking.settings import Tracking; sink = WandbSink(Tracking(dir={str(tmp_path)!r}));"
        "assert sink.mode == 'offline'; sys.exit(bool({'torch', 'hydra', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=START_S).returncode == 0


@PROC
def test_the_child_and_its_service_yield_to_the_training(isolated_wandb: Path, tmp_path: Path) -> None:
    sink = offline_sink(tmp_path)
    sink.take(Announced("stack", infos(1)))
    service = wait_for(lambda: service_of(sink._child.pid))
    assert os.getpgid(sink._child.pid) != os.getpgid(0), "Ctrl-C is for this process alone"
    for pid in (sink._child.pid, service):
        wait_for(lambda pid=pid: os.getpriority(os.PRIO_PROCESS, pid) >= NICENESS)
        wait_for(lambda pid=pid: os.sched_getscheduler(pid) == os.SCHED_BATCH)
        autogroup = Path(f"/proc/{pid}/autogroup")
        if autogroup.exists() and Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1":
            wait_for(lambda autogroup=autogroup: autogroup.read_text().split()[-1] == str(NICENESS))
    os.kill(sink._child.pid, signal.SIGINT)
    sink.take(Stored("stack", [ROW]))
    assert sink.close()[0] == "W&B: 1 run written offline"


@PROC
def test_nothing_is_left_behind(isolated_wandb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    sink = offline_sink(tmp_path / "results")
    sink.take(Announced("stack", infos(1)))
    sink.take(Stored("stack", [ROW]))
    service = wait_for(lambda: service_of(sink._child.pid))
    sink.close()
    assert sink._child.returncode == 0
    wait_for(lambda: not is_running(service))
    assert [path for path in temporary.iterdir() if path.is_dir() and any(path.iterdir())] == []


@PROC
def test_a_child_that_is_given_up_takes_its_service_with_it(isolated_wandb: Path, tmp_path: Path) -> None:
    """W&B's process is stopped here, so that it cannot notice by itself."""
    sink = offline_sink(tmp_path)
    sink.take(Announced("stack", infos(1)))
    service = wait_for(lambda: service_of(sink._child.pid))
    wait_for(lambda: list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb")))
    os.kill(service, signal.SIGSTOP)
    sink._give_up("a test")
    wait_for(lambda: not is_running(service))


@PROC
@pytest.mark.slow
def test_a_killed_parent_leaves_whole_runs_and_no_process(
    isolated_wandb: Path, tmp_path: Path, read_wandb_runs: Callable[[Path], dict[str, dict[str, Any]]]
) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path), str(Path(__file__).parent)]
    parent = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=START_S)
    assert parent.returncode == -signal.SIGKILL
    child = int(parent.stdout)
    wait_for(lambda: not is_running(child))
    wait_for(lambda: service_of(child) is None)
    runs = read_wandb_runs(tmp_path / "wandb")
    assert runs.keys() == {info.trial.trial_id for info in infos(20)}
    assert {run["exit_code"] for run in runs.values()} == {0}


@PROC
def test_a_child_that_dies_is_told_without_waiting(isolated_wandb: Path, tmp_path: Path) -> None:
    sink = offline_sink(tmp_path)
    sink.take(Announced("first", infos(3)))
    sink.take(Stored("first", [ROW] * 3))
    wait_for(lambda: len(list((tmp_path / "wandb").glob("offline-run-*"))) == 3)
    time.sleep(1.0)  # they are written, and it is said
    sink.take(Announced("second", infos(4, first=3)))
    service = wait_for(lambda: service_of(sink._child.pid))
    sink._child.kill()
    sink.take(Stored("second", [ROW] * 4))
    start = time.perf_counter()
    warning, upload = sink.close()
    assert time.perf_counter() - start < LIMIT_S / 2
    assert warning.startswith("W&B warning: 4 runs incomplete (digits-mlp-2x64-relu-sgd-he-s3, ")
    assert "and 2 more); training and the results store are not affected. Reason: its process ended with" in warning
    assert upload == f"  upload: python -m initsuite.sync {tmp_path}"
    wait_for(lambda: not is_running(service))


def test_a_child_that_cannot_start_is_told_without_waiting(
    isolated_wandb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    sink = wandb_sink(Tracking(dir=str(tmp_path), mode="online", finish_timeout_s=LIMIT_S))
    assert sink is not None
    start = time.perf_counter()
    warning, _ = sink.close()
    assert time.perf_counter() - start < LIMIT_S / 2
    assert "it ended early, with no run incomplete" in warning
    assert "exit code 1" in warning


def test_a_child_that_says_nothing_is_left_at_the_limit(
    isolated_wandb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 600\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    sink = wandb_sink(Tracking(dir=str(tmp_path), mode="offline", finish_timeout_s=0.5))
    assert sink is not None
    sink.take(Announced("stack", infos(1)))
    sink.take(Stored("stack", [ROW]))
    warning, _ = sink.close()
    assert "1 run incomplete (digits-mlp-2x64-relu-sgd-he-s0)" in warning
    assert "no run was completed within 0.5 s" in warning
    assert sink._child.returncode == -signal.SIGKILL


def test_a_refusal_that_comes_late_is_still_said(
    isolated_wandb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "START_TIMEOUT_S", 0.0)
    sink = wandb_sink(Tracking(dir=str(tmp_path), mode="online", finish_timeout_s=LIMIT_S))
    assert sink is not None
    assert "Run `wandb login`" in sink.close()[0]
    monkeypatch.undo()


def test_a_folder_that_cannot_be_written_does_not_stop_the_launch(isolated_wandb: Path, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file in the way")
    sink = offline_sink(tmp_path / "results")
    sink.take(Announced("stack", infos(1)))
    sink.take(Stored("stack", [ROW]))
    (line,) = sink.close()
    assert "it could not start" in line


def test_within_passes_on_what_an_action_raises() -> None:
    def refuse() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        within(START_S, refuse)
    with pytest.raises(ConfigError, match="no"):
        within(START_S, lambda: (_ for _ in ()).throw(ConfigError("no")))
