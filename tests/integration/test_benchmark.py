"""The benchmark as a person starts it, and the plain loop that it compares the suite with."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest
from benchmark.launches import Place
from benchmark.plain import Loading, PlainLoop

from initsuite.data.files import locate
from initsuite.data.images import FASHION_MNIST
from initsuite.errors import DataError

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark"


@pytest.mark.slow
def test_a_quick_row(tmp_path: Path) -> None:
    """Structure of the JSON; the ratios are those of the raw times that stand beside them."""
    command = [sys.executable, str(SCRIPT), "--quick", "--only", "digits-stack", "--output", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert result.keys() == {"machine", "rows", "skipped", "failed", "stated", "total_s", "quick"}
    assert result["quick"] is True
    assert {"cpu", "cores", "gpu", "torch_version", "commit", "python"} <= result["machine"].keys()
    (row,) = result["rows"]
    suite, other = row["suite"], row["other"]
    rates = [[amount / s for amount, s in zip(arm["amounts"], arm["seconds"], strict=True)] for arm in (suite, other)]
    expected = [above / below for above, below in zip(*rates, strict=True)]
    assert len(expected) == 3
    assert row["ratios"] == pytest.approx(expected)
    assert (row["median"], row["low"], row["high"]) == pytest.approx((median(expected), min(expected), max(expected)))
    assert row["reached"] == (row["median"] >= 8)
    text = (tmp_path / "out" / "benchmark.md").read_text()
    assert text.strip() in done.stdout
    assert "at least 8x" in text
    assert "1/3 suite: " in done.stderr  # progress on the way


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    try:
        locate(FASHION_MNIST, None, False)
    except DataError as error:
        pytest.skip(f"no Fashion-MNIST on this machine: {error}")
    return Place(tmp_path_factory.mktemp("benchmark"))


@pytest.mark.slow
@pytest.mark.parametrize("num_processes", [1, 2], ids=["basic", "joblib"])
def test_the_plain_loop_trains_and_is_timed(place: Place, num_processes: int, read_wandb_runs) -> None:
    """Two rounds of jobs of a part of the budget: each is one W&B run, learns, and the whole sweep is extrapolated."""
    before = set(place.root.glob("*/times.jsonl"))
    loop = PlainLoop(place, num_processes, num_steps=60, measured_every=30, budget=600, eval_every=100, num_trials=30)
    timing = loop.run(Loading(0, 1))
    (times,) = set(place.root.glob("*/times.jsonl")) - before
    jobs = [json.loads(line) for line in times.read_text().splitlines()]
    assert len(jobs) == 2 * num_processes
    for job in jobs:
        assert len(job["step_s"]) == len(job["evaluation_s"]) == 2
        parts = job["set_up_s"] + job["finish_s"] + 30 * sum(job["step_s"]) + sum(job["evaluation_s"])
        # what is left is a list of losses and a line of JSON
        assert parts == pytest.approx(job["end"] - job["begin"], rel=0.1)
        assert 0 < job["waited_s"] < 30 * sum(job["step_s"])
    # each of the 30 trials has ten times the steps and three times the evaluations of the measured ones
    measured_s = sum(job["end"] - job["begin"] for job in jobs) / len(jobs)
    assert timing.seconds > 30 / num_processes * measured_s
    runs = read_wandb_runs(times.parent / "wandb")
    assert len(runs) == len(jobs)
    assert {run["config"]["init"] for run in runs.values()} == {"xavier", "he"}
    assert all(run["history"][-1]["val_accuracy"] > 0.5 for run in runs.values())
