"""Timing the plain loop under Hydra's stock launchers, from a part of its budget."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmark.launches import Place, run_program
from benchmark.timing import Arm, JobTimes, Timing, job_rest_s, sweep_seconds


@dataclass(frozen=True)
class Loading:
    """How the plain loop gets its batches: DataLoader workers, and torch's threads beside them (None = its choice)."""

    num_workers: int
    threads: int | None

    def in_words(self) -> str:
        return f"num_workers={self.num_workers}, {self.threads or 'default'} threads"


DEFAULT_LOADING = Loading(0, None)
"""What DataLoader and torch do by default."""

LOADING = (Loading(0, 1), DEFAULT_LOADING, Loading(2, 1))
"""Options under the basic launcher. A process of joblib has one thread, and cannot start DataLoader workers."""


@dataclass(frozen=True)
class PlainLoop:
    """The plain loop under a stock launcher, on a part of its budget.

    Attributes:
        num_processes: processes that train at the same time; 1 = the basic launcher, else joblib.
        num_steps: measured steps of each job, at least twice `measured_every`.
        measured_every: steps between the evaluations that are measured.
        budget: steps of a whole trial; the rest is extrapolated from the measured steps and evaluations.
        eval_every: steps between two evaluations of the whole trial.
        num_trials: trials of the whole sweep; two rounds of jobs are measured.
        options: ways of loading batches; the fastest is measured.
    """

    place: Place
    num_processes: int
    num_steps: int
    measured_every: int
    budget: int
    eval_every: int
    num_trials: int
    options: Sequence[Loading] = LOADING

    def run(self, loading: Loading) -> Timing:
        """Start the program once."""
        folder, begin = self.place.folder(), time.time()
        launcher = "basic" if self.num_processes == 1 else "joblib"
        run_program(
            "benchmark.plain_loop",
            [
                "-m",
                f"hydra/launcher={launcher}",
                *([f"hydra.launcher.n_jobs={self.num_processes}"] if self.num_processes > 1 else []),
                f"data_dir={self.place.fashion_mnist()}",
                "init=xavier,he",
                f"seed={','.join(map(str, range(self.num_processes)))}",
                f"max_steps={self.num_steps}",
                f"eval_every={self.measured_every}",
                f"num_workers={loading.num_workers}",
                f"threads={loading.threads or 'null'}",
                f"times={folder / 'times.jsonl'}",
            ],
            folder,
            self.place.environment(),
        )
        jobs = [json.loads(line) for line in (folder / "times.jsonl").read_text().splitlines()]
        times = [JobTimes(job["begin"], job["end"], self._rest_s(job)) for job in jobs]
        return Timing(
            sweep_seconds(begin, times, self.num_trials, self.num_processes),
            self.num_trials,
            f"{loading.in_words()}: {where_time_goes(jobs)}",
        )

    def arm(self) -> Arm:
        """The arm with the fastest way of loading batches."""
        best = self.options[0]
        if len(self.options) > 1:
            best = min(self.options, key=lambda loading: self.run(loading).seconds)
        launcher = "basic launcher" if self.num_processes == 1 else f"joblib launcher, {self.num_processes} processes"
        label = (
            f"{self.num_trials} trials of {self.budget} steps, {launcher}, {best.in_words()}; measured: "
            f"{2 * self.num_processes} trials of {self.num_steps} steps, the rest extrapolated"
        )
        return Arm(label, lambda: self.run(best))

    def _rest_s(self, job: Mapping[str, Any]) -> float:
        """Seconds for the rest of the budget. The first interval, which starts the workers, is not representative."""
        return job_rest_s(
            median(job["step_s"][1:]),
            median(job["evaluation_s"][1:]),
            self.budget - self.num_steps,
            self.budget // self.eval_every - self.num_steps // self.measured_every,
        )


def where_time_goes(jobs: Sequence[Mapping[str, Any]]) -> str:
    """Shares of a job's time: waiting for batches, steps, evaluation, setting up and W&B."""
    total = sum(job["end"] - job["begin"] for job in jobs)
    evaluation = sum(sum(job["evaluation_s"]) for job in jobs)
    around = sum(job["set_up_s"] + job["finish_s"] for job in jobs)
    waited = sum(job["waited_s"] for job in jobs)
    parts = {
        "waiting for batches": waited,
        "steps": total - evaluation - around - waited,
        "evaluation": evaluation,
        "setting up and W&B": around,
    }
    return ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in parts.items())
