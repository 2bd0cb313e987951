"""Fixtures for every room: W&B without a network or an account, and a reader of what it wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.times import function_of, slow_functions

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell's job in the background ignores Ctrl-C, and the programs that the tests start would, too
    signal.signal(signal.SIGINT, signal.default_int_handler)

collect_ignore = ["support"]
"""Nothing to collect: doctest would import each file, and with it libraries that take seconds, in every process."""
WandbRuns = dict[str, dict[str, Any]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what was measured to be: see `support.times`."""
    slow = slow_functions()
    for item in items:
        if function_of(item) in slow:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def isolated_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No account, settings or environment of the machine's user is seen; returns the home folder that is."""
    import wandb

    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(home / name.lower()))
    wandb.teardown()  # settings are read once in a process, and remembered
    yield home
    wandb.teardown()


@pytest.fixture(scope="session")
def read_wandb_runs() -> Callable[[Path], WandbRuns]:
    """`read_wandb_runs(results_dir / "wandb")` reads offline runs back with `wandb leet inspect --json`.

    Returns {run_id: {config, history, summary, name, group, job_type, tags, project, exit_code}}; history is a list of
    logged items in their order, and W&B's own keys, which start with `_`, are left out everywhere.
    """
    return _read_wandb_runs


def _read_wandb_runs(directory: Path) -> WandbRuns:
    files = sorted(Path(directory).glob("*run-*/run-*.wandb"))
    with ThreadPoolExecutor(4) as pool:
        return {run["run_id"]: run for run in pool.map(_read_run, (f for f in files if not f.parent.is_symlink()))}


def _read_run(file: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    run: dict[str, Any] = {"config": {}, "history": [], "summary": {}, "exit_code": None}
    for record in map(json.loads, output.splitlines()):
        content = record.get(record["type"])
        if record["type"] == "run":
            run |= {"run_id": content["run_id"], "name": content["display_name"], "group": content["run_group"]}
            run |= {"job_type": content["job_type"], "project": content["project"], "tags": content.get("tags", [])}
            run["config"] |= _own(content["config"]["update"])
        elif record["type"] == "history":
            run["history"].append(_own(content["item"]))
        elif record["type"] == "summary":
            run["summary"] |= _own(content["update"])
        elif record["type"] == "exit":
            run["exit_code"] = content.get("exit_code", 0)
    return run


def _own(items: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in items.items() if not key.startswith("_")}


@pytest.fixture(scope="session")
def build_job() -> Callable[..., Any]:
    """`build_job("init=he", "model.depth=3")` composes the configuration and builds its (job, settings)."""
    import hydra

    from initsuite.config.build import build
    from initsuite.config.groups import conf_dir

    def make(*overrides: str) -> Any:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
            return build(hydra.compose("config", overrides=list(overrides)))

    return make


@pytest.fixture(scope="session")
def make_job(build_job: Callable[..., Any]) -> Callable[..., Any]:
    """`build_job` without the settings."""
    return lambda *overrides: build_job(*overrides)[0]
