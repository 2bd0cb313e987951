"""Launches that are killed, that meet, that break: what is stored stays, and what is missing is trained."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

import initsuite
from initsuite.files import read_sealed

MEASURES = ["loss_auc", "final_val_score", "best_val_score", "test_score", "steps_to_easy", "diverged_at"]
SWEEP = [
    "-m",
    "init=he,orthogonal,zero",
    "protocol=smoke",
    "seeds=2",
    "tracking=disabled",
    "max_steps=300",
    "eval_every=20",
    "max_stack=8",
    "workers=1",
    "checkpoint_every_s=0",
]


def start(folder: Path, *more: str, overrides: Sequence[str] = tuple(SWEEP), threads: int = 1) -> subprocess.Popen:
    """The training command in a process of its own, as a user starts it, with the results in `folder`."""
    command = [sys.executable, "-m", "initsuite.train", *overrides, f"results_dir={folder}", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "XDG_CACHE_HOME": str(folder.parent / "cache")}
    return subprocess.Popen(
        command, cwd=folder.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=300)
    return output


def numbers(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What must be equal bit for bit: measures and curves by trial."""
    results = initsuite.load_results(folder)
    trials = results.trials.set_index("trial_id").sort_index()
    return trials[[*MEASURES, "status", "stack_size", "lr", "seed"]], results.curves


def parts(folder: Path) -> int:
    """Rows in the parts of the store, repeated trials counted as often as they stand there."""
    return sum(len(pd.read_parquet(part)) for part in (folder / "trials").glob("*.parquet"))


def wait_for(condition, process: subprocess.Popen, seconds: float = 120.0) -> None:
    begin = time.monotonic()
    while not condition():
        assert process.poll() is None, finish(process)
        assert time.monotonic() - begin < seconds, "the moment to interrupt never came"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The results of an uninterrupted sweep."""
    folder = tmp_path_factory.mktemp("whole") / "results"
    process = start(folder)
    assert "trials in" in finish(process)
    assert process.returncode == 0
    return folder


@pytest.fixture
def uninterrupted(whole, tmp_path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Its numbers; a launch into tmp_path / "results" finds its plans."""
    shutil.copytree(whole / "plans", tmp_path / "results" / "plans")
    return numbers(whole)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["first checkpoint", "first part", "scoring"])
def test_a_killed_sweep_goes_on_and_ends_with_the_same_bits(tmp_path, uninterrupted, moment) -> None:
    folder = tmp_path / "results"
    reached = {
        "first checkpoint": lambda: any((folder / "checkpoints").glob("*.pt")),
        "first part": lambda: any((folder / "trials").glob("*.parquet")),
        "scoring": lambda: (
            len(list((folder / "trials").glob("*.parquet"))) >= 3 and any((folder / "checkpoints").glob("*.pt"))
        ),
    }[moment]
    process = start(folder)
    wait_for(reached, process)
    process.kill()
    finish(process)
    before = parts(folder)
    again = start(folder)
    output = finish(again)
    assert again.returncode == 0, output
    trials, curves = numbers(folder)
    pd.testing.assert_frame_equal(trials, uninterrupted[0], check_exact=True)
    pd.testing.assert_frame_equal(curves, uninterrupted[1], check_exact=True)
    assert parts(folder) == len(trials), "a stored trial was trained again"
    assert before < len(trials)
    assert not list((folder / "checkpoints").glob("*.pt"))
    assert not list((folder / "claims").iterdir())


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path) -> None:
    folder = tmp_path / "results"
    process = start(folder)
    wait_for(lambda: any((folder / "trials").glob("*.parquet")), process)
    process.send_signal(signal.SIGINT)
    output = finish(process)
    assert process.returncode == 130
    assert "To go on from there: python -m initsuite.train -m init=he,orthogonal,zero" in output
    assert "Traceback" not in output
    assert parts(folder) > 0
    assert not list((folder / "claims").iterdir())


@pytest.mark.slow
def test_two_launches_share_the_work(tmp_path, uninterrupted) -> None:
    folder = tmp_path / "results"
    launches = [start(folder), start(folder)]
    outputs = [finish(launch) for launch in launches]
    assert [launch.returncode for launch in launches] == [0, 0], outputs
    trials, curves = numbers(folder)
    pd.testing.assert_frame_equal(trials, uninterrupted[0], check_exact=True)
    pd.testing.assert_frame_equal(curves, uninterrupted[1], check_exact=True)
    assert parts(folder) == len(trials), "the two did some trials twice"


@pytest.mark.slow
def test_a_damaged_part_is_named_and_its_trials_are_trained_again(tmp_path, uninterrupted) -> None:
    folder = tmp_path / "results"
    finish(start(folder))
    part = min((folder / "trials").glob("*.parquet"))
    lost = len(pd.read_parquet(part))
    part.write_bytes(part.read_bytes()[:-100])
    output = finish(start(folder))
    assert f"trials-{part.name}" in output
    assert f"{lost} trials in" in output
    trials, _ = numbers(folder)
    pd.testing.assert_frame_equal(trials, uninterrupted[0], check_exact=True)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_ends_with_one_line_and_an_intact_store(tmp_path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine does not let a test mount a disk")
    try:
        process = start(disk / "results", "checkpoint_every_s=inf", overrides=SWEEP[:-1])
        wait_for(lambda: any((disk / "results" / "trials").glob("*.parquet")), process)
        with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        output = finish(process)
        assert process.returncode == 2, output
        assert "No space left on device" in output
        assert "fix the disk and run the command again" in output
        assert "Traceback" not in output
        (disk / "filler").unlink()
        stored = parts(disk / "results")
        assert stored > 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # no damage is found
            assert len(initsuite.load_results(disk / "results").trials) == stored
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.slow
def test_workers_end_with_their_parent_and_a_rerun_gives_the_same_bits(tmp_path) -> None:
    pinned = [*(override for override in SWEEP if not override.startswith("workers=")), "workers=2"]
    whole = start(tmp_path / "whole", overrides=pinned)
    assert "2 stacks at a time, each in a process of its own" in finish(whole)
    folder = tmp_path / "results"
    shutil.copytree(tmp_path / "whole" / "plans", folder / "plans")
    process = start(folder, overrides=pinned)
    wait_for(lambda: any((folder / "trials").glob("*.parquet")), process)
    workers = _children(process.pid)
    assert len(workers) >= 2
    process.kill()
    finish(process)
    deadline = time.monotonic() + 10
    while any(map(_is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_is_running, workers))
    again = start(folder, overrides=pinned)
    assert "trials in" in finish(again)
    for got, expected in zip(numbers(folder), numbers(tmp_path / "whole"), strict=True):
        pd.testing.assert_frame_equal(got, expected, check_exact=True)
    assert parts(folder) == len(numbers(folder)[0])


def _is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_neither_cores_nor_workers_change_a_bit(tmp_path, whole) -> None:
    """As one after another: in two threads, in two processes, and with more workers than there are cores."""
    core, cores = min(os.sched_getaffinity(0)), os.sched_getaffinity(0)
    free = [override for override in SWEEP if not override.startswith("workers=")]
    ways = {
        "threads": ([], cores, "at a time, each on one thread of this process"),
        "processes": (["workers=2"], cores, "2 stacks at a time, each in a process of its own"),
        "too many": (["workers=4000"], cores, "workers=4000 is more than the"),
        "all on one": (["workers=4"], {core}, "workers=4 is more than the 1 core"),
    }
    expected = numbers(whole)
    for name, (more, allowed, said) in ways.items():
        os.sched_setaffinity(0, allowed)  # a child has what its parent has
        (tmp_path / name).mkdir()
        try:
            process = start(tmp_path / name / "results", *more, overrides=free, threads=len(allowed))
        finally:
            os.sched_setaffinity(0, cores)
        output = finish(process)
        assert said in output
        assert process.returncode == 0, output
        for got, wanted in zip(numbers(tmp_path / name / "results"), expected, strict=True):
            pd.testing.assert_frame_equal(got, wanted, check_exact=True)


@pytest.mark.slow
def test_a_plan_is_stored_before_it_is_carried_out(tmp_path) -> None:
    folder = tmp_path / "results"
    process = start(folder)
    wait_for(lambda: any((folder / "checkpoints").glob("*.pt")), process)
    process.kill()
    finish(process)
    plan = read_sealed(next((folder / "plans").glob("*.json")))
    assert sum(len(stack["trial_ids"]) for stack in plan["stacks"]) == 3 * 7
    assert all(len(stack["trial_ids"]) <= 8 for stack in plan["stacks"])
