"""A launch: from jobs to stored results, and what it leaves behind."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import pandas as pd
import torch

from initsuite.config.build import AnyJob, Draft, Job
from initsuite.config.cluster import Ray, Slurm
from initsuite.config.settings import Settings
from initsuite.config.sweep import build_jobs, compose_sweep
from initsuite.engine.checkpoint import stored_step
from initsuite.errors import TrialsFailed, bad_value
from initsuite.results.leases import Leases
from initsuite.results.store import Store
from initsuite.spec import Sink, Status
from initsuite.tracking.agent import is_in_agent
from initsuite.tracking.process import wandb_sink
from initsuite.train.cluster.launching import train_on_slurm
from initsuite.train.cluster.nodes import Nodes
from initsuite.train.events import StopLaunch
from initsuite.train.executor import Executor
from initsuite.train.plan.deciding import too_few_seeds
from initsuite.train.plan.planner import Planner
from initsuite.train.plan.preview import kept_lines, plan_table
from initsuite.train.plan.stored import Plans
from initsuite.train.pools import Pools
from initsuite.train.progress import Progress, Training
from initsuite.train.recorder import Recorder
from initsuite.train.runner import Runner
from initsuite.train.standings import stored_standings
from initsuite.train.task import checkpoint_path
from initsuite.train.trials import Tuned, Wanted, grids_of, scoring_pairs, tuning_pairs, unfinished
from initsuite.wording import format_count, format_names


@dataclass(frozen=True)
class Outcome:
    """What a launch leaves behind.

    Attributes:
        scores: for each job the mean best validation score over its scoring seeds, negative where lower is better, so
            that the highest is the best; NaN if all of them failed.
        failed: the trials of this launch that raised, as rows of the store.
        is_complete: False if the launch was stopped by `on_error`.
    """

    scores: list[float]
    failed: pd.DataFrame
    is_complete: bool = True


class Inventory:
    """What a results folder holds before a launch: what is complete there needs no check.

    Attributes:
        store: the folder, once it was looked into; None where there is none yet.
    """

    def __init__(self) -> None:
        self.store: Store | None = None

    def finished(self, jobs: Sequence[Draft], settings: Settings) -> Collection[Draft]:
        """The jobs that have nothing to train; none for a dry run, whose plan describes all of them.

        Raises:
            StoreError: the store cannot be written.
        """
        if settings.dry_run or not (settings.results_dir / "trials").is_dir():
            return ()
        self.store = self.store or Store(settings.results_dir)
        left = {job.cell_id for job in unfinished(jobs, self.store.trials())}
        return [job for job in jobs if job.cell_id not in left]


def run_cells(
    jobs: Sequence[AnyJob], settings: Settings, store: Store | None = None, command: Sequence[str] | None = None
) -> Outcome:
    """Train what the jobs need and the store lacks, and keep the user informed.

    Tuning trials come first; the scoring trials of each cell then run at its best lr, read back from the store.

    Args:
        jobs: drafts of those that have nothing to train (`Inventory.finished`).
        store: that of `settings.results_dir`, if it was read before.
        command: one that does the same, for the tasks of SLURM (`launch_command`); None = there is none.

    Raises:
        ConfigError: cluster=slurm, without a command.
        StoreError: the store cannot be written.
        ClusterError: the machines of a cluster cannot be used, or ended too early.
    """
    store = store or Store(settings.results_dir)
    if isinstance(settings.cluster, Slurm):
        tried = train_on_slurm(jobs, settings, settings.cluster, store, partial(print, flush=True), command)
        return _outcome(store.trials(), jobs, tried, is_complete=True)
    is_complete = True
    with _runner(store, jobs, settings) as runner:
        try:
            _tune(runner, jobs)
            tuned = Tuned(store.trials())
            runner.train(pair for job in jobs for pair in scoring_pairs(job, tuned))
            runner.recorder.drop_leftovers()
        except StopLaunch:
            is_complete = False
        trials = store.trials()
        runner.progress.results = stored_standings(trials, jobs)
        outcome = _outcome(trials, jobs, runner.attempted, is_complete)
        runner.recorder.end(outcome.scores)
    return outcome


def plan(*overrides: str) -> pd.DataFrame:
    """What `python -m initsuite.train -m OVERRIDES` would do, without doing it.

    Args:
        overrides: as on the command line, with comma-separated values swept; relative folders start here.

    Returns:
        One row per workload and stage, and one per illegal combination: see `train.plan.preview.plan_table`.

    Raises:
        ConfigError: none of it can be trained.
        HydraException: an override that Hydra refuses.

    Example:
        plan = initsuite.plan("init=he,xavier", "model.depth=2,8,30", "protocol=quick")
        plan[["model", "stage", "trials", "done", "expected_s"]]
    """
    for override in overrides:
        if not isinstance(override, str):
            raise bad_value(
                "plan", "overrides", override, "texts as on the command line", "For example 'init=he,xavier'."
            )
    built = build_jobs(compose_sweep(overrides))
    return plan_cells(built.jobs, built.settings, built.illegal)


def plan_cells(jobs: Sequence[AnyJob], settings: Settings, illegal: Sequence[tuple[str, str]] = ()) -> pd.DataFrame:
    """What a launch would do, as `plan_table` describes it."""
    with _pools(jobs, settings, print) as pools:
        return plan_table(jobs, settings, Planner(settings, Plans(settings.results_dir), pools), illegal)


def raise_if_failed(outcome: Outcome, settings: Settings) -> None:
    """End a launch whose trials did not all run, after everything else is done.

    Raises:
        TrialsFailed: at least one trial raised.
    """
    if len(outcome.failed) or not outcome.is_complete:
        stopped = "" if outcome.is_complete else " The launch stopped there (on_error)."
        raise TrialsFailed(
            f"train: {format_count(len(outcome.failed), 'trial')} failed.{stopped} The tracebacks are in the column "
            f"`error` of the trials in {settings.results_dir}. Everything else is stored; the same command tries the "
            "failed ones again."
        )


@contextmanager
def _runner(store: Store, jobs: Sequence[AnyJob], settings: Settings) -> Iterator[Runner]:
    """Everything a launch holds open, closed in reverse order."""
    built = [job for job in jobs if isinstance(job, Job)]
    # A process that imports W&B; an agent waits for its run even where all is stored.
    wandb = wandb_sink(settings.tracking) if built or is_in_agent(os.environ) else None
    with ExitStack() as closing:
        progress = closing.enter_context(Progress())
        sinks: list[Sink] = [progress]
        if wandb:
            sinks.append(wandb)
            closing.callback(lambda: progress.say(*wandb.close()))
        leases = closing.enter_context(Leases(settings.results_dir))
        pools = closing.enter_context(_pools(built, settings, progress.say))
        recorder, plans = Recorder(store, settings, jobs, sinks, progress.say), Plans(settings.results_dir)
        progress.say(*kept_lines((job.cell.axes["model"], job.cell.workload.kept) for job in built))
        progress.say(*too_few_seeds(jobs if built else ()))
        try:
            yield Runner(store, leases, Planner(settings, plans, pools), pools, recorder, progress)
        except KeyboardInterrupt:
            progress.last_words = _goes_on(progress.stacks, settings)
            raise
    progress.say(f"Table and figures: python -m initsuite.report {shlex.quote(str(settings.results_dir))}")


def _goes_on(stacks: Mapping[str, Training], settings: Settings) -> list[str]:
    """From which step the next start goes on with each stack that was in training, those of one step in one line."""
    steps: dict[str, int] = {}
    for stack_id, stack in stacks.items():
        step = stored_step(checkpoint_path(settings.checkpoints, stack_id))
        where = f"step {step:,} of {stack.max_steps:,}" if step else "their first step"
        steps[where] = steps.get(where, 0) + len(stack.trials)
    counts = [f"{format_count(count, 'trial')} from {where}" for where, count in steps.items()]
    return [f"The next start goes on with {format_names(counts)}."] if counts else []


def _pools(jobs: Sequence[AnyJob], settings: Settings, say: Callable[[str], None]) -> Pools:
    """Where a launch trains: on all GPUs where the user names none of them, or as many as workers are asked for."""
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if settings.device == "cuda" else []
    devices = gpus[: settings.workers] or [settings.device]
    cells = {job.cell_id: job.cell for job in jobs}
    executor = Executor(cells, devices[0], settings.checkpoints, settings.checkpoint_every_s)
    executor.diagnostics = settings.diagnostics
    nodes = Nodes(executor, settings.cluster) if isinstance(settings.cluster, Ray) else None
    return Pools(executor, devices, say, nodes)


def _tune(runner: Runner, jobs: Sequence[AnyJob]) -> None:
    """Train the lr grid of every tuned job, extending the grid of a context until no best lr sits on its edge."""
    trained, grids = {}, grids_of(jobs)
    while grids != trained:
        runner.train(tuning_pairs(jobs, grids), _scored_later(runner.store, jobs))
        trained, grids = grids, grids_of(jobs, Tuned(runner.store.trials()))


def _scored_later(store: Store, jobs: Sequence[AnyJob]) -> Iterator[Wanted]:
    """The scoring trials of jobs, each at the learning rate that is its best one so far: right in number and cost."""
    tuned, stored = Tuned(store.trials()), store.stored()
    return (pair for job in jobs for pair in scoring_pairs(job, tuned) if pair[1].trial_id not in stored)


def _outcome(trials: pd.DataFrame, jobs: Sequence[AnyJob], attempted: set[str], is_complete: bool) -> Outcome:
    failed = trials[trials.trial_id.isin(attempted) & (trials.status == Status.FAILED)]
    tuned = Tuned(trials)
    done = trials[trials.status != Status.FAILED]
    best = dict(zip(done.trial_id, done.best_val_score, strict=True))
    scores = []
    for job in jobs:
        yardstick = job.yardstick
        stored = [best[trial.trial_id] for _, trial in scoring_pairs(job, tuned) if trial.trial_id in best]
        counted = [yardstick.chance if math.isnan(score) else score for score in stored]
        scores.append(yardstick.oriented(fmean(counted) if counted else math.nan))
    return Outcome(scores, failed, is_complete)
