"""Other launchers and sweepers of Hydra beside ours, as a user starts them, in a folder that is not the repository."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
import yaml

import initsuite

pytestmark = pytest.mark.slow
SMALL = ("max_steps=40", "eval_every=20", "tracking=disabled", "protocol=fixed")
FLOAT32_RUN = 1e-4
"""Relative, of a loss after 40 steps in float32: stacks of other widths round differently."""
PACKAGES = {"joblib": "hydra_joblib_launcher", "submitit_local": "hydra_submitit_launcher"}
Command = Callable[..., subprocess.CompletedProcess[str]]


def needs(package: str) -> None:
    if not importlib.util.find_spec(f"hydra_plugins.{package}"):
        pytest.skip(f"{package} is not installed: pip install initsuite[launchers]")


def needs_optuna(version: int) -> None:
    if not importlib.util.find_spec("optuna") or metadata.version("optuna").partition(".")[0] != str(version):
        pytest.skip(
            f"Optuna {version} is not installed: pip install initsuite[{'search' if version > 2 else 'optuna-sweeper'}]"
        )
    if version == 2:
        needs("hydra_optuna_sweeper")


@pytest.fixture
def train(tmp_path) -> Command:
    def run(*overrides: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "HYDRA_"))}
        environment = kept | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "initsuite.train", "-m", *overrides]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    return run


def stored(folder: Path) -> pd.DataFrame:
    return initsuite.load_results(folder).trials.set_index("trial_id").sort_index()


def multirun_file(folder: Path, name: str) -> dict:
    (path,) = (folder / "hydra").glob(f"*/{name}")
    return yaml.safe_load(path.read_text())


def test_our_launcher_and_those_of_hydra_give_the_same_trials(train, tmp_path) -> None:
    """Tuned: the best lr lies inside the grid, as a job on its own cannot know that another arm extends the grid."""
    for package in PACKAGES.values():
        needs(package)
    sweep = ["init=he,zero", "protocol=smoke", "optimizer.lr_grid=[0.01,0.1,10.0]", *SMALL[:-1]]
    launchers = ("initsuite", "basic", *PACKAGES)
    for launcher in launchers:
        done = train(f"hydra/launcher={launcher}", f"results_dir={launcher}", *sweep)
        assert done.returncode == 0, done.stderr
        assert multirun_file(tmp_path / launcher, "multirun.yaml")["max_steps"] == 40
    ours, *others = (stored(tmp_path / launcher) for launcher in launchers)
    assert len(ours) == 2 * (3 + 1)
    for other in others:
        assert other.index.equals(ours.index)
        assert other[["cell_id", "lr", "seed", "stage", "status"]].equals(
            ours[["cell_id", "lr", "seed", "stage", "status"]]
        )
        assert other.loss_auc.to_numpy() == pytest.approx(ours.loss_auc.to_numpy(), rel=FLOAT32_RUN)


@pytest.mark.parametrize("sweeper", ["search", "optuna"])
def test_optuna_finds_the_highest_accuracy(train, tmp_path, sweeper) -> None:
    """Two batches of two jobs come to our launcher in one process."""
    needs_optuna(2 if sweeper == "optuna" else 5)
    number, together = ("n_trials", "n_jobs") if sweeper == "optuna" else ("jobs", "at_once")
    options = [f"hydra/sweeper={sweeper}", f"hydra.sweeper.{number}=4", f"hydra.sweeper.{together}=2"]
    sweep = ["optimizer.lr=tag(log,interval(0.001,0.3))", *options, "seeds=2", *SMALL]
    done = train(*sweep)
    assert done.returncode == 0, done.stderr
    trials = stored(tmp_path / "results")
    means = trials.groupby("lr").best_val_score.mean()
    assert len(means) == 4
    best = multirun_file(tmp_path / "results", "optimization_results.yaml")
    assert best["best_value"] == pytest.approx(means.max(), abs=1e-12)
    assert means[best["best_params"]["optimizer.lr"]] == means.max()  # two may share it
    assert means.min() < means.max()
    if sweeper == "search":  # the same command goes on: two more, which are no repetition
        more = train(*(word.replace("jobs=4", "jobs=6") for word in sweep))
        assert more.returncode == 0, more.stderr
        assert "Best of 6 combinations: optimizer.lr=" in more.stdout
        assert stored(tmp_path / "results").lr.nunique() == 6


LAWS = """
import torch

class Broken:
    def __call__(self, model, specs, *, seed, probe=None):
        raise ArithmeticError("the planted defect")

class Good:
    def __call__(self, spec, generator):
        return 0.1 * torch.randn(spec.shape, generator=generator)
"""


def test_failed_trials_of_a_batch_do_not_stop_the_next(train, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(LAWS)
    sweep = ["init=custom", "init._target_=mine.Broken,mine.Good", "optimizer.lr=0.1", "seeds=1", *SMALL]
    done = train("hydra.sweeper.max_batch_size=1", *sweep)
    assert done.returncode == 1, done.stderr
    assert stored(tmp_path / "results").groupby("init").status.first().to_dict() == {"Broken": "failed", "Good": "done"}
    assert "tries the failed ones again" in done.stderr
    assert "Traceback" not in done.stderr


def test_failed_trials_end_another_sweeper_with_their_error(train, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(LAWS)
    sweep = ["init=custom", "init._target_=mine.Broken,mine.Good", "optimizer.lr=0.1", "seeds=1", *SMALL]
    done = train("hydra/sweeper=basic", *sweep)
    assert done.returncode == 1, done.stderr
    assert set(stored(tmp_path / "results").status) == {"failed", "done"}
    assert "tries the failed ones again" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_choice_is_refused_before_another_launcher_trains(train, tmp_path) -> None:
    done = train("hydra/launcher=basic", "init=he,foo", "optimizer.lr=0.1", "seeds=1", *SMALL)
    assert done.returncode == 2
    assert "unknown `init`='foo'" in done.stderr
    assert not list(tmp_path.rglob("*.parquet"))


def test_illegal_combinations_are_named_before_training_and_shown_in_a_plan(train, tmp_path) -> None:
    sweep = ["init=he,normal", "init.std=0.1,0.2", "model.depth=0,1", "optimizer.lr=0.1", "seeds=1", *SMALL]
    done = train(*sweep)
    assert done.returncode == 2
    assert "6 of 8 combinations cannot be trained" in done.stderr
    assert "init=normal init.std=0.1 model.depth=0: Mlp: bad value `depth`=0" in done.stderr
    assert "Traceback" not in done.stderr
    plan = train(*sweep, "dry_run=true")
    assert plan.returncode == 0, plan.stderr
    assert "model.depth=0" in plan.stdout
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_sweep_that_learns_is_not_planned(train) -> None:
    needs_optuna(5)
    done = train("hydra/sweeper=search", "optimizer.lr=interval(0.01,0.3)", "dry_run=true", *SMALL)
    assert done.returncode == 2
    assert "Leave out dry_run=true" in done.stderr
    assert "Traceback" not in done.stderr
