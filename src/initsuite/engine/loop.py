"""The training loop of one stack: steps, evaluations, checkpoints, results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch

from initsuite.data.base import Split
from initsuite.data.order import BatchOrder
from initsuite.engine.checkpoint import Checkpoint
from initsuite.engine.evaluate import make_evaluate
from initsuite.engine.monitor import Monitor
from initsuite.engine.process import for_training
from initsuite.engine.stack import Member, stack_state, to_device
from initsuite.engine.step import make_step
from initsuite.optim.schedules import Scheduled
from initsuite.spec import Evaluation, Stage, Status, TrialResult

REHEARSED_STEPS, REHEARSED_EXAMPLES = 2, 32
"""Steps that a rehearsal takes, and validation examples that it evaluates."""
SAMPLES, SAMPLING_S = (3, 25), 0.2
"""The fewest and the most samples of a timing, and the seconds after which no more than the fewest are taken."""


@for_training()
def train_stack(
    members: Sequence[Member],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    on_evaluation: Callable[[Evaluation], None] = lambda evaluation: None,
    checkpoint: Checkpoint | None = None,
) -> list[TrialResult]:
    """Train the trials of one workload and one optimizer kind together.

    Rounding differs with the number of members, and where all of them have one seed and share its batches; nothing
    else in a result depends on what else is in the stack. On the CPU a stack that continues from a checkpoint ends
    with the same bits as one that was never interrupted.

    Args:
        members: trials of one workload and one optimizer kind.
        device: where the data, the parameters and the steps live.
        dtype: type of parameters, inputs and optimizer state.
        on_evaluation: called after each evaluation, in the order of `members`; first for those of a checkpoint.
        checkpoint: read at the start, written at evaluations; the caller removes it once the results are stored.

    Returns:
        One result per member, in order.
    """
    begin = time.perf_counter()
    training = Training(members, torch.device(device), dtype)
    if checkpoint and (snapshot := checkpoint.load(training.layout)):
        begin -= snapshot["wall_s"]
        for evaluation in training.restore(snapshot):
            on_evaluation(evaluation)
    while training.step < training.workload.max_steps:
        evaluation = training.advance()
        if checkpoint:
            checkpoint.save(training.layout, lambda: training.snapshot(time.perf_counter() - begin))
        on_evaluation(evaluation)
    test_score, diverged_at = training.test(), training.monitor.diverged_at.tolist()
    wall_s = (time.perf_counter() - begin) / len(members)
    return [_result(training, index, test_score[index], diverged_at[index], wall_s) for index in range(len(members))]


@for_training()
def rehearse(members: Sequence[Member], *, device: torch.device | str = "cpu") -> None:
    """Take two training steps and evaluate a few examples, to find what is broken; nothing of it is kept.

    Args:
        members: as for `train_stack`.
        device: as for `train_stack`.

    Raises:
        Exception: whatever the model, the loss or the optimizer raises.
    """
    training = Training(members, torch.device(device), torch.float32)
    validation = training.data.validation
    for _ in range(REHEARSED_STEPS):
        training.take_step()
    few = Split(validation.inputs[:REHEARSED_EXAMPLES], validation.targets[:REHEARSED_EXAMPLES])
    training.evaluate(training.state.params, training.state.buffers, few)
    training.wait()


@for_training()
def pace(members: Sequence[Member], *, device: torch.device | str = "cpu") -> tuple[float, float]:
    """How fast a stack trains here: medians of several short samples, so that no hiccup of the machine decides.

    Args:
        members: as for `train_stack`; copies of one member are enough.
        device: as for `train_stack`.

    Returns:
        Seconds of a training step, and of an evaluation on the validation split.

    Raises:
        Exception: as `rehearse` does.
    """
    training = Training(members, torch.device(device), torch.float32)

    def evaluate() -> None:
        training.evaluate(training.state.params, training.state.buffers, training.data.validation)

    training.take_step()  # warms up
    return _median_s(training.take_step, training.wait), _median_s(evaluate, training.wait)


def _median_s(what: Callable[[], None], wait: Callable[[], None]) -> float:
    seconds: list[float] = []
    while len(seconds) < SAMPLES[0] or (len(seconds) < SAMPLES[1] and sum(seconds) < SAMPLING_S):
        begin = time.perf_counter()
        what()
        wait()
        seconds.append(time.perf_counter() - begin)
    return median(seconds)


class Training:
    """A stack in training: its state, its batches and its record so far.

    Attributes:
        step: optimizer updates made.
        layout: the tensors that a checkpoint must hold to fit.
    """

    def __init__(self, members: Sequence[Member], device: torch.device, dtype: torch.dtype) -> None:
        self.members, self.device = members, device
        self.workload = members[0].cell.workload.copied()
        self.data = to_device(self.workload.dataset, device, dtype)
        self.state = stack_state(members, device, dtype)
        self.layout = self.state.layout()
        self.monitor = Monitor(len(members), device)
        optimizer, self.schedule = members[0].cell.optimizer, None
        if isinstance(optimizer, Scheduled):
            optimizer, self.schedule = optimizer.optimizer, optimizer.schedule
        self.largest_lr = self.state.scalars["lr"].clone()
        self.evaluate = make_evaluate(self.workload)
        seeds = sorted({member.trial.seed for member in members})
        self.order = BatchOrder(len(self.data.train), self.workload.batch_size, seeds, device)
        self.seed_of = torch.tensor([seeds.index(member.trial.seed) for member in members], device=device)
        self.is_shared = len(seeds) == 1
        self.update = make_step(self.workload, optimizer, self.state, is_shared=self.is_shared)
        self.step = 0

    def take_step(self) -> None:
        """One optimizer update, without waiting for the device."""
        train, batches = self.data.train, self.order[self.step]
        batch = batches[0] if self.is_shared else batches[self.seed_of]
        # index_select copies whole examples; indexing copies number by number
        inputs = train.inputs.index_select(0, batch.flatten()).unflatten(0, batch.shape)
        if self.schedule:
            factor = self.schedule.factor(self.step + 1, self.workload.max_steps)
            torch.mul(self.largest_lr, factor, out=self.state.scalars["lr"])  # the update holds this very tensor
        loss = self.update(inputs, train.targets[batch])
        self.step += 1
        self.monitor.add(loss, self.step)

    def advance(self) -> Evaluation:
        """Take the steps up to the next evaluation, and evaluate."""
        every = self.workload.eval_every
        last = min(self.workload.max_steps, (self.step // every + 1) * every)
        while self.step < last:
            self.take_step()
        loss, score = self.evaluate(self.state.params, self.state.buffers, self.data.validation)
        return self.monitor.evaluated(self.step, loss, score)

    def test(self) -> np.ndarray:
        """Test score [trial]; NaN for tuning trials, whose test score is never computed."""
        score = np.full(len(self.members), np.nan)
        scoring = [index for index, member in enumerate(self.members) if member.trial.stage == Stage.SCORE]
        if scoring:
            params, buffers = self.state.of_trials(scoring)
            score[scoring] = self.evaluate(params, buffers, self.data.test)[1].cpu().numpy()
        return score

    def snapshot(self, wall_s: float) -> dict[str, Any]:
        """Everything that the rest of the training depends on, right after an evaluation."""
        state, noted = self.state.snapshot(), self.monitor.snapshot()
        return {"step": self.step, "wall_s": wall_s, "state": state, "monitor": noted}

    def restore(self, snapshot: dict[str, Any]) -> Sequence[Evaluation]:
        """Continue from a snapshot of the same layout; returns the evaluations it holds."""
        self.step = snapshot["step"]
        self.state.restore(snapshot["state"])
        return self.monitor.restore(snapshot["monitor"])

    def wait(self) -> None:
        """Wait until the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _result(training: Training, index: int, test_score: float, diverged_at: int, wall_s: float) -> TrialResult:
    member = training.members[index]
    return TrialResult(
        trial=member.trial,
        status=Status.DIVERGED if diverged_at else Status.DONE,
        curve=training.monitor.curve(index),
        test_score=float("nan") if diverged_at else float(test_score),
        diverged_at=diverged_at or None,
        setup_s=member.setup_s,
        wall_s=wall_s,
        stack_size=len(training.members),
        device=str(training.device),
    )
