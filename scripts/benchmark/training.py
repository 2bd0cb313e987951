"""Training in this process, through the engine: stacks of all widths, steps alone or with their evaluations."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import hydra

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
    """Trials to train: initializers x learning rates x seeds of one workload.

    Attributes:
        overrides: overrides of the configuration, without init, budget and tracking.
        num_trials: number of trials in all; a multiple of the number of initializers.
        lr: the largest learning rate.
        device: cpu or cuda.
        num_lrs: how many there are, each half of the one before.
    """

    overrides: tuple[str, ...]
    num_trials: int
    lr: float
    device: str = "cpu"
    initializers: tuple[str, ...] = INITIALIZERS
    num_lrs: int = 1

    def members(self) -> list[Member]:
        """The trials, those of one seed beside each other, as the suite packs them."""
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
            shared = ["tracking=disabled", *self.overrides]
            configs = [hydra.compose("config", overrides=[f"init={name}", *shared]) for name in self.initializers]
        jobs = [build(config)[0] for config in configs]
        # tuning trials, because no test score is computed for them
        return [
            Member(
                job.cell,
                job.cell.trial(self.lr / 2**halved, seed, Stage.TUNE),
                *start_of(job.cell.workload, job.cell.initializer, seed),
            )
            for seed in range(-(-self.num_trials // (len(jobs) * self.num_lrs)))
            for job in jobs
            for halved in range(self.num_lrs)
        ][: self.num_trials]


def stacks_of(members: Sequence[Member], width: int, max_steps: int, eval_every: int) -> list[list[Member]]:
    """The members in stacks of `width`, with a budget."""
    stacks = []
    for first in range(0, len(members), width):
        workload = members[first].cell.workload
        own = replace(workload, max_steps=max_steps, eval_every=eval_every)
        stacks.append([replace(one, cell=replace(one.cell, workload=own)) for one in members[first : first + width]])
    return stacks


def train_seconds(stacks: Iterable[Sequence[Member]], lanes: int, device: str) -> float:
    """Train stacks, so many side by side in Python threads; each takes one thread of torch. Wall-clock seconds."""
    with ThreadPoolExecutor(lanes) as pool:
        begin = time.perf_counter()
        for _ in pool.map(lambda stack: train_stack(stack, device=device), stacks):
            pass
        return time.perf_counter() - begin


def whole_arm(work: Work, width: int, num_steps: int, eval_every: int, budget: int, lanes: int = 1) -> Arm:
    """Steps and evaluations, in the proportion of the whole; the amount is in trials of `budget` steps.

    Args:
        lanes: stacks that are trained side by side; 1 = in turn, on one core.
    """
    members, num_evaluations = work.members(), num_steps // eval_every
    stacks = stacks_of(members, width, num_steps, eval_every)
    workload = members[0].cell.workload
    gflop = num_steps * gflop_per_step(workload) + num_evaluations * gflop_per_evaluation(workload)

    def run() -> Timing:
        seconds = train_seconds(stacks, lanes, work.device)
        return Timing(seconds, len(members) * num_steps / budget, gflop=len(members) * gflop)

    return Arm(f"{_in_words(work, width, lanes)}, {num_steps} steps with {num_evaluations} evaluations", run)


def steps_arm(work: Work, width: int, num_steps: int, budget: int, lanes: int = 1) -> Arm:
    """Steps alone: `num_steps` + 1 with one evaluation at their end, minus the shortest time of one step with its
    evaluation. The amount is in trials of `budget` steps.

    This removes setting up, the first step and the evaluation, and leaves a single time that noise can affect.
    """
    members = work.members()
    once, stacks = (stacks_of(members, width, steps, steps) for steps in (1, 1 + num_steps))
    once_s = min(train_seconds(once, lanes, work.device) for _ in range(3))
    num_all = len(members) * num_steps
    gflop = num_all * gflop_per_step(members[0].cell.workload)

    def run() -> Timing:
        return Timing(train_seconds(stacks, lanes, work.device) - once_s, num_all / budget, gflop=gflop)

    label = f"{_in_words(work, width, lanes)}, {num_steps} steps; {once_s:.2f} s of set-up and evaluation taken off"
    return Arm(label, run)


def in_gflop(arm: Arm) -> Arm:
    """An arm whose amount is in GFLOP of matrix products."""

    def run() -> Timing:
        timing = arm.run()
        return replace(timing, amount=timing.gflop)

    return Arm(arm.label, run)


def gflop_per_step(workload: Workload) -> float:
    """GFLOP of the matrix products in one step of one trial of an MLP: three for each layer, each 2 x batch x weights;
    the first layer has only two, because no gradient of the inputs is needed."""
    sizes = _weights(workload)
    return 2 * workload.batch_size * (3 * sum(sizes) - sizes[0]) / 1e9


def gflop_per_evaluation(workload: Workload) -> float:
    """GFLOP of the matrix products in one evaluation of one trial of an MLP on the validation split."""
    return 2 * len(workload.dataset.validation) * sum(_weights(workload)) / 1e9


def _weights(workload: Workload) -> list[int]:
    """How many weights each layer has."""
    return [math.prod(spec.shape) for spec in workload.specs if spec.role is Role.WEIGHT]


def _in_words(work: Work, width: int, lanes: int) -> str:
    stacks = (
        "one at a time" if width == 1 else f"in {'one stack' if width >= work.num_trials else f'stacks of {width}'}"
    )
    where = work.device if work.device != "cpu" else "in turn on one core" if lanes == 1 else f"{lanes} side by side"
    return f"{work.num_trials} trial{'s' * (work.num_trials > 1)} {stacks}, {where}"
