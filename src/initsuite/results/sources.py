"""Where results are read from: a store, a W&B project, a folder of offline W&B runs, or the shipped reference."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from initsuite.errors import bad_value
from initsuite.files import cache_root, folder_for, read_json, write_whole
from initsuite.results import store
from initsuite.results.releases import claim_folders, is_release, release_folder
from initsuite.results.store import Results, Store
from initsuite.spec import Status
from initsuite.tracking.labels import JOB_TYPES
from initsuite.tracking.read_offline import ReadTrial, as_trial, is_trial, offline_files, read_offline

if TYPE_CHECKING:
    from initsuite.tracking.read_project import Project, ProjectRun

PROJECT = "wandb:"
SHIPPED = {name: Path(__file__).parent / name for name in ("reference", "interaction")}
"""Stores that ship with the package: the results of `experiment=article`, and those of `experiment=interaction`."""
REFERENCE_STORE = SHIPPED["reference"]
BATCH = 64
"""Runs of a project that are fetched before they go into the cache."""
STAMPS = "stamps.json"
"""In the cache of a project: the state that the run of each trial was in when it was fetched."""


def load_results(source: str | Path = "results") -> Results:
    """Read results into pandas.

    Runs of a W&B project are fetched once: what was fetched before is read from a cache. By default only scoring
    trials have runs, and without the tuning trials a report finds no tuned learning rates: train, or upload, with
    `tracking.stages=[tune,score]` to be able to rebuild its tables.

    Args:
        source: a results store (a folder); `wandb:ENTITY/PROJECT`, or `wandb:PROJECT` in the account's default entity;
            or a folder of offline W&B runs, such as `results/wandb`. `reference` and `interaction`, if no folder has
            that name, mean the results of `experiment=article` and of `experiment=interaction` that ship with the
            package; `reference@2026.12` the trials of all claims in that release, `reference@2026.12/NAME` of one.

    Example:
        results = initsuite.load_results("results")
        results.trials.query("stage == 'score'").groupby("init").test_score.mean()

    Raises:
        StoreError: no such store or project.
        ConfigError: no name of a source; or a W&B project, but no API key or no server.
    """
    if not isinstance(source, str | Path):
        expected = f"a results store (a folder), wandb:ENTITY/PROJECT, {' or '.join(map(repr, SHIPPED))}"
        raise bad_value("load_results", "source", source, expected)
    if str(source).startswith(PROJECT):
        return _of_project(str(source).removeprefix(PROJECT))
    folder = store_folder(source)
    if is_release(source) and (of_claims := [path for path in claim_folders(folder) if (path / "trials").is_dir()]):
        return store.together([store.load_results(path) for path in of_claims])
    if not (folder / "trials").is_dir() and (files := offline_files(folder)):
        return _of_files(files)
    return store.load_results(folder)


def store_folder(source: str | Path) -> Path:
    """The folder of a store; a shipped one for its name, where no folder has that.

    Raises:
        StoreError: a release that does not ship.
    """
    if is_release(source):
        return release_folder(source)
    folder = Path(source)
    return folder if folder.exists() else SHIPPED.get(str(source), folder)


def load_shipped() -> Results:
    """All results that ship with the package, as those of one store."""
    return store.together([store.load_results(folder) for folder in SHIPPED.values()])


def _of_files(files: list[Path]) -> Results:
    trials, damaged, num_without = [], [], 0
    for file, content in read_offline(files):
        if content is None:
            damaged.append(file)
        elif is_trial(content):
            trials.append(as_trial(content))
        elif content.job_type in JOB_TYPES.values():
            num_without += 1
    _warn_of_others(num_without, "offline runs")
    with tempfile.TemporaryDirectory(prefix="initsuite-offline-") as folder:
        _append(Store(folder), trials)
        return replace(store.load_results(folder), damaged=damaged)


def _of_project(name: str) -> Results:
    from initsuite.tracking.read_project import Project

    project = Project(name)
    runs = project.runs()
    cache = cache_folder(project)
    _fetch(project, runs, cache)
    results = store.load_results(cache)
    links = {run.run_id: run.url for run in runs}
    _warn_of_others(len(links.keys() - set(results.trials.trial_id)), f"runs of {project.path}")
    # What was deleted at the server stays in the cache, and is left out.
    trials = results.trials[results.trials.trial_id.isin(links.keys())].reset_index(drop=True)
    curves = results.curves[results.curves.trial_id.isin(trials.trial_id)].reset_index(drop=True)
    return Results(trials, curves, results.damaged, {name: links[name] for name in trials.trial_id})


def cache_folder(project: Project) -> Path:
    """Where the trials of a project are kept, as a results store.

    Raises:
        StoreError: a name of host, entity or project that is none; the server chooses the default entity.
    """
    return folder_for(cache_root() / "wandb", project.host.replace(":", "-"), *project.path.split("/"))


def _fetch(project: Project, runs: list[ProjectRun], cache: Path) -> None:
    """Put the runs that the cache lacks into it; rebuild it where it holds an older state of one."""
    known, stamps = set(Store(cache).trials().trial_id), read_json(cache / STAMPS)
    stamps = stamps if isinstance(stamps, dict) else {}
    fresh = [run for run in runs if run.run_id not in known or stamps.get(run.run_id) != run.stamp]
    if any(run.run_id in known for run in fresh):
        shutil.rmtree(cache)
        fresh, stamps = runs, {}
    for start in range(0, len(fresh), BATCH):
        batch = fresh[start : start + BATCH]
        _append(Store(cache), project.read(batch))
        stamps |= {run.run_id: run.stamp for run in batch}
        text = json.dumps(stamps, indent=0)
        write_whole(cache / STAMPS, lambda path, text=text: path.write_text(text, encoding="utf-8"))


def _append(target: Store, trials: Iterable[ReadTrial]) -> None:
    # A failure first: of two trials with one id, the curve is that of the last.
    if trials := sorted(trials, key=lambda trial: trial.row["status"] != Status.FAILED):
        target.append([trial.row for trial in trials], {trial.trial_id: trial.curve for trial in trials})


def _warn_of_others(number: int, what: str) -> None:
    if number:
        warnings.warn(
            f"load_results: {number} {what} are left out: they are not finished trials of this version. "
            "Where the results store is at hand, read that, or upload it into a new project with initsuite.sync.",
            stacklevel=4,
        )
