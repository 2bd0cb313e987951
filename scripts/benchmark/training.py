"""Training in this process, through the engine: stacks of all widths, steps alone or with their evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import hydra
import torch

from benchmark.machine import num_cores
from benchmark.timing import Arm, Timing
from initsuite.config.build import build
from initsuite.config.groups import conf_dir
from initsuite.engine.loop import train_stack
from initsuite.engine.stack import Member, start_of
from initsuite.engine.workload import Workload
from initsuite.spec import Role, Stage

INITIALIZERS = ("zero", "normal", "xavier", "he", "orthogonal")


@dataclass(frozen=True)
class Work:
    """Trials to train: initializers x seeds of one workload at one learning rate.

    Attributes:
        overrides: overrides of the configuration, without init, budget and tracking.
        num_trials: number of trials in all; a multiple of the number of initializers.
        lr: lr of every trial.
        device: cpu or cuda.
    """

    overrides: tuple[str, ...]
    num_trials: int
    lr: float
    device: str = "cpu"
    initializers: tuple[str, ...] = INITIALIZERS

    def members(self, max_steps: int, eval_every: int) -> list[Member]:
        """The trials, those of one seed beside each other, as the suite packs them."""
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
            budget = [f"max_steps={max_steps}", f"eval_every={eval_every}", "tracking=disabled", *self.overrides]
            configs = [hydra.compose("config", overrides=[f"init={name}", *budget]) for name in self.initializers]
        jobs = [build(config)[0] for config in configs]
        # tuning trials, because no test score is computed for them
        return [
            Member(
                job.cell,
                job.cell.trial(self.lr, seed, Stage.TUNE),
                *start_of(job.cell.workload, job.cell.initializer, seed),
            )
            for seed in range(-(-self.num_trials // len(jobs)))
            for job in jobs
        ][: self.num_trials]


def train_seconds(members: Sequence[Member], width: int, threads: int, device: str) -> float:
    """Train the members in stacks of `width`, one after another; wall-clock seconds."""
    torch.set_num_threads(threads)
    begin = time.perf_counter()
    for first in range(0, len(members), width):
        train_stack(members[first : first + width], device=device)
    return time.perf_counter() - begin


def whole_arm(work: Work, width: int, num_steps: int, eval_every: int, budget: int) -> Arm:
    """Steps and evaluations, in the proportion of the whole; the amount is in trials of `budget` steps."""
    members, few = work.members(num_steps, eval_every), work.members(eval_every, eval_every)
    threads = fastest_threads(lambda threads: train_seconds(few[:width], width, threads, work.device))

    def run() -> Timing:
        return Timing(train_seconds(members, width, threads, work.device), len(members) * num_steps / budget)

    return Arm(f"{_in_words(work, width, threads)}, {num_steps} steps with {num_steps // eval_every} evaluations", run)


def steps_arm(work: Work, width: int, num_steps: int, budget: int) -> Arm:
    """Steps alone; the amount is in trials of `budget` steps."""
    return _steps_alone(work, width, num_steps, lambda workload: 1 / budget)


def rate_arm(work: Work, width: int, num_steps: int) -> Arm:
    """Steps alone; the amount is in GFLOP of matrix products."""
    return _steps_alone(work, width, num_steps, gflop_per_step)


def _steps_alone(work: Work, width: int, num_steps: int, amount_of: Callable[[Workload], float]) -> Arm:
    """`num_steps` + 1 steps with one evaluation at their end, minus the shortest time of one step with its evaluation.

    This removes setting up, the first step and the evaluation, and leaves a single time that noise can affect.
    """
    once, few, members = (work.members(steps, steps) for steps in (1, 1 + num_steps // 5, 1 + num_steps))
    threads = fastest_threads(lambda threads: train_seconds(few[:width], width, threads, work.device))
    once_s = min(train_seconds(once, width, threads, work.device) for _ in range(3))
    amount = len(members) * num_steps * amount_of(members[0].cell.workload)

    def run() -> Timing:
        return Timing(train_seconds(members, width, threads, work.device) - once_s, amount)

    label = f"{_in_words(work, width, threads)}, {num_steps} steps; {once_s:.2f} s of set-up and evaluation taken off"
    return Arm(label, run)


def gflop_per_step(workload: Workload) -> float:
    """GFLOP of the matrix products in one step of one trial of an MLP: three for each layer, each 2 x batch x weights;
    the first layer has only two, because no gradient of the inputs is needed."""
    weights = [spec for spec in workload.specs if spec.role is Role.WEIGHT]
    products = 3 * sum(spec.shape[0] * spec.shape[1] for spec in weights) - weights[0].shape[0] * weights[0].shape[1]
    return 2 * workload.batch_size * products / 1e9


def fastest_threads(seconds: Callable[[int], float]) -> int:
    """One thread or one per core, whichever trains faster; each is tried twice, because the first call is slow."""
    options = sorted({1, num_cores()})
    return min(options, key=lambda threads: min(seconds(threads) for _ in range(2)))


def _in_words(work: Work, width: int, threads: int) -> str:
    stacks = (
        "one at a time" if width == 1 else f"in {'one stack' if width >= work.num_trials else f'stacks of {width}'}"
    )
    where = f"{threads} thread{'s' * (threads > 1)}" if work.device == "cpu" else work.device
    return f"{work.num_trials} trial{'s' * (work.num_trials > 1)} {stacks}, {where}"
