"""How wide a stack is, and how many processes train stacks at once: measured, then chosen.

A step of a stack costs about a + b width: stacking shares a. Whether b falls, stays or grows depends on the model and
the machine (`vmap` turns a linear layer into one batched product and a convolution into a grouped one), so it is timed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from torch import nn

from initsuite.engine.workload import Workload

WIDTHS = {"cpu": (1, 4, 16, 32, 64, 128), "cuda": (1, 16, 64, 256, 512, 1024)}
"""Widths that are timed, by device. Wider ones gain nothing and store their results later."""
UNMEASURED_WIDTH = 128
MIN_STEPS, MAX_STEPS, LONG_ENOUGH_S = 3, 20, 0.2
"""Steps that time a width: short ones are repeated for 0.2 s, so that a machine that looks away once is no verdict."""
MEASURING_SHARE = 0.02
"""Of the time that the trials would take one by one: what measuring may cost."""
WORSE = 1.1
"""A width whose time per trial is this much above the best ends the search."""
WORTH = 1.03
"""A wider stack, more threads or more processes must gain this much: narrow stacks lose less when a launch dies."""
WORKER_START_S = 5.0
"""What a worker process costs before its first step, seconds."""
COPIES = 5
"""Of the parameters: themselves, gradients, at most two optimizer moments, the steps of Adam."""
ACTIVATION_COPIES = 3
"""Of each layer's output: itself, its gradient, and what the backward pass keeps."""


@dataclass(frozen=True)
class Speed:
    """A measurement: `step_s` seconds for one step of a stack of `width` trials, in each of `workers` processes of
    `threads` threads that step at the same time."""

    width: int
    workers: int
    threads: int
    step_s: float


@dataclass(frozen=True)
class Choice:
    """How the trials of a workload are packed and trained.

    Attributes:
        num_stacks: the trials are split evenly over them.
        width: trials of the largest stack.
        seconds: expected for all of them; NaN where nothing was measured.
        why: a clause for the user.
    """

    num_stacks: int
    width: int
    workers: int
    threads: int
    seconds: float
    why: str


def measure(
    step_s: Callable[[int, int], float],
    widths: Sequence[int],
    workers: int,
    threads: int,
    num_trials: int,
    num_steps: int,
) -> list[Speed]:
    """Time widths in this process, narrow ones first, until wider ones stop gaining or the time for measuring is spent.

    Args:
        step_s: (width, steps to take) -> seconds a step.
        widths: rising, from 1.
        workers: how many processes will train, each with
        threads: as many as this process has while it is timed.
        num_trials: how many there are to train.
        num_steps: of each.
    """
    first_s = step_s(widths[0], MIN_STEPS)
    speeds = [Speed(widths[0], workers, threads, first_s)]
    left_s = MEASURING_SHARE * first_s * num_trials * num_steps - MIN_STEPS * first_s
    for width in widths[1:]:
        last, best = speeds[-1], min(speed.step_s / speed.width for speed in speeds)
        expected_s = last.step_s * width / last.width
        steps = int(min(MAX_STEPS, left_s / expected_s, max(MIN_STEPS, LONG_ENOUGH_S / expected_s)))
        if steps < MIN_STEPS or last.step_s / last.width > WORSE * best:
            break
        speeds.append(Speed(width, workers, threads, step_s(width, steps)))
        left_s -= steps * speeds[-1].step_s
    return speeds


def choose(
    speeds: Sequence[Speed],
    num_trials: int,
    num_steps: int,
    *,
    max_width: int,
    is_shared: bool = False,
    workers: int | None = None,
) -> Choice | None:
    """The fastest way to train these trials, of those that were measured; None where no measurement applies.

    Args:
        speeds: of the workload on this machine.
        num_trials: to be trained, from 1.
        num_steps: of each trial.
        max_width: of a stack, by memory or by the user's word.
        is_shared: the width is that of all processes together, which share one memory.
        workers: a number the user asks for.
    """
    options = [
        choice
        for speed in sorted(speeds, key=lambda speed: (speed.workers, speed.threads, speed.width))
        if workers in (None, speed.workers)
        for widest in [max(1, max_width // speed.workers) if is_shared else max_width]
        for choice in [_choice(speed, speeds, num_trials, num_steps, widest)]
    ]
    best: Choice | None = None
    for option in options:
        if best is None or option.seconds * WORTH < best.seconds:
            best = option
    return best


def step_seconds(speeds: Sequence[Speed], width: int, workers: int, threads: int) -> float:
    """Seconds a step at a width between the measured ones: linear there, in proportion beyond them; NaN if unknown."""
    points = sorted((s.width, s.step_s) for s in speeds if (s.workers, s.threads) == (workers, threads))
    if not points:
        return float("nan")
    known, seconds = zip(*points, strict=True)
    inside = float(np.interp(width, known, seconds))
    return inside * max(1.0, width / known[-1]) if len(points) > 1 or width >= known[0] else seconds[0]


def _choice(speed: Speed, speeds: Sequence[Speed], num_trials: int, num_steps: int, max_width: int) -> Choice:
    count = -(-num_trials // min(speed.width, max_width))
    if speed.workers > 1:  # no process idle in the last round
        count = min(num_trials, speed.workers * -(-count // speed.workers))
    width = -(-num_trials // count)
    step_s = step_seconds(speeds, width, speed.workers, speed.threads)
    rounds = -(-count // speed.workers)
    start_s = WORKER_START_S if speed.workers > 1 else 0.0
    return Choice(
        count, width, speed.workers, speed.threads, start_s + rounds * num_steps * step_s, _why(speeds, step_s, width)
    )


def _why(speeds: Sequence[Speed], step_s: float, width: int) -> str:
    alone = min((s.step_s for s in speeds if s.width == 1 and s.workers == 1), default=float("nan"))
    each = f"measured: {1e3 * step_s / width:.3g} ms a step and trial"
    return f"{each}, {1e3 * alone:.3g} ms one by one" if alone == alone else each


def unmeasured(workload: Workload, num_trials: int, device: str, max_width: int, workers: int, threads: int) -> Choice:
    """The choice where there is too little work to measure anything.

    On a CPU, convolutions gain nothing from stacking, so they train one by one; everything else is stacked.
    """
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    alone = device == "cpu" and any(isinstance(module, convolutions) for module in workload.model.modules())
    count = -(-num_trials // (1 if alone else min(UNMEASURED_WIDTH, max_width)))
    return Choice(count, -(-num_trials // count), workers, threads, float("nan"), "too little work to measure")


def widths_for(device: str, num_trials: int, max_width: int) -> list[int]:
    """The widths worth timing for this many trials."""
    top = min(num_trials, max_width)
    return [width for width in WIDTHS[device] if width < top] + [min(top, WIDTHS[device][-1])]


@functools.cache
def bytes_a_trial(workload: Workload) -> int:
    """Memory that a trial of a stack takes, bytes: state and the activations of one batch, estimated."""
    parameters = sum(parameter.numel() for parameter in workload.model.parameters())
    activations = workload.batch_size * sum(_outputs_of_one_example(workload))
    return 4 * (COPIES * parameters + ACTIVATION_COPIES * activations)


def _outputs_of_one_example(workload: Workload) -> Iterator[int]:
    """Numbers that each layer of a model puts out for one example, found by running it without values."""
    sizes: list[int] = []

    def note(module: nn.Module, inputs: object, output: object) -> None:
        sizes.extend(tensor.numel() for tensor in [output] if isinstance(tensor, torch.Tensor))

    leaves = [module for module in workload.model.modules() if not any(module.children())]
    hooks = [module.register_forward_hook(note) for module in leaves]
    state = {**dict(workload.model.named_parameters()), **dict(workload.model.named_buffers())}
    shells = {name: torch.empty_like(value, device="meta") for name, value in state.items()}
    was_training = workload.model.training
    try:
        workload.model.eval()  # BatchNorm takes one example then
        inputs = torch.empty_like(workload.dataset.train.inputs[:1], device="meta")
        torch.func.functional_call(workload.model, shells, (inputs,))
    except Exception:  # a model that looks at values; its parameters alone are counted
        sizes.clear()
    finally:
        workload.model.train(was_training)
        for hook in hooks:
            hook.remove()
    yield from sizes


def memory_limit(device: torch.device) -> int:
    """Memory that stacks may take together, bytes: half of what is free now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return psutil.virtual_memory().available // 2
