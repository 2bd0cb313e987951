"""The training loop of one stack: steps, evaluations, checkpoints, results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initsuite.data.base import Split, map_tree
from initsuite.data.order import BatchOrder
from initsuite.engine.by_seed import Seat, gradients_by_seed
from initsuite.engine.checkpoint import Checkpoint
from initsuite.engine.evaluate import make_evaluate
from initsuite.engine.manner import STACKED, Manner
from initsuite.engine.monitor import Monitor
from initsuite.engine.process import for_training
from initsuite.engine.stack import Member, stack_state, to_device
from initsuite.engine.step import Gradients, make_step
from initsuite.engine.unstacked import Unstacked
from initsuite.optim.schedules import Scheduled
from initsuite.spec import Evaluation, Stage, Status, TrialResult


@for_training()
def train_stack(
    members: Sequence[Member],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    manner: Manner = STACKED,
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
        dtype: type of parameters, inputs and optimizer state; None = that of the workload.
        manner: how the trials are computed, as `rehearse` found it out for the workload.
        on_evaluation: called after each evaluation, in the order of `members`; first for those of a checkpoint. Its
            own time does not count in `wall_s`.
        checkpoint: read at the start, written at evaluations; the caller removes it once the results are stored.

    Returns:
        One result per member, in order.
    """
    begin = time.perf_counter()
    training = Training(members, torch.device(device), dtype, manner)

    def tell(evaluation: Evaluation) -> None:
        nonlocal begin
        since = time.perf_counter()
        on_evaluation(evaluation)
        begin += time.perf_counter() - since  # others may draw meanwhile, which is no time of this stack

    if checkpoint and (snapshot := checkpoint.load(training.layout)):
        begin -= snapshot["wall_s"]
        for evaluation in training.restore(snapshot):
            tell(evaluation)
    while training.step < training.workload.max_steps:
        evaluation = training.advance()
        if checkpoint:
            checkpoint.save(training.layout, lambda: training.snapshot(time.perf_counter() - begin))
        try:
            tell(evaluation)
        except BaseException:  # the launch stops: its next start goes on from here
            if checkpoint:
                checkpoint.save_now(training.layout, lambda: training.snapshot(time.perf_counter() - begin))
            raise
    test_score, diverged_at = training.test(), training.monitor.diverged_at.tolist()
    wall_s = (time.perf_counter() - begin) / len(members)
    return [_result(training, index, test_score[index], diverged_at[index], wall_s) for index in range(len(members))]


class Training:
    """A stack in training: its state, its batches and its record so far.

    Attributes:
        step: optimizer updates made.
        layout: the tensors that a checkpoint must hold to fit.
        unstacked: the passes of a model that is called once for each trial; None where one pass is for many.
    """

    def __init__(
        self,
        members: Sequence[Member],
        device: torch.device,
        dtype: torch.dtype | None = None,
        manner: Manner = STACKED,
    ) -> None:
        self.members, self.device = members, device
        self.workload = members[0].cell.workload.copied()
        dtype = dtype or self.workload.state_dtype
        self.data = to_device(self.workload.dataset, device, dtype)
        self.state = stack_state(members, device, dtype, keeps_types=bool(manner.why_unstacked))
        self.layout = self.state.layout()
        self.monitor = Monitor(len(members), device)
        optimizer, self.schedule = members[0].cell.optimizer, None
        if isinstance(optimizer, Scheduled):
            optimizer, self.schedule = optimizer.optimizer, optimizer.schedule
        self.largest_lr = self.state.scalars["lr"].clone()
        self.evaluate = make_evaluate(self.workload, manner)
        seeds = sorted({member.trial.seed for member in members})
        self.order = BatchOrder(len(self.data.train), self.workload.batch_size, seeds, device)
        self.seed_of = torch.tensor([seeds.index(member.trial.seed) for member in members], device=device)
        self.step, self.unstacked = 0, None
        gradients = self._gradients(manner, seeds)
        self.is_by_seed, self.is_shared = gradients is not None, len(seeds) == 1
        self.update = make_step(self.workload, optimizer, self.state, is_shared=self.is_shared, gradients=gradients)

    def _gradients(self, manner: Manner, seeds: Sequence[int]) -> Gradients | None:
        """Where the gradients come from, if not from one pass for all trials."""
        place = [member.trial.seed for member in self.members]
        seats = [Seat(trial, seeds.index(seed), seed) for trial, seed in enumerate(place)]
        if manner.why_unstacked:
            self.unstacked = Unstacked(self.workload, self.state, seats, manner, lambda: self.step)
            return self.unstacked.gradients
        if manner.is_by_seed:
            return gradients_by_seed(self.workload, self.state, seats, manner, lambda: self.step)
        return None

    def take_step(self) -> None:
        """One optimizer update, without waiting for the device."""
        train, batches = self.data.train, self.order[self.step]
        batch = batches if self.is_by_seed else batches[0] if self.is_shared else batches[self.seed_of]

        def examples(tensor: Tensor) -> Tensor:
            # index_select copies whole examples; indexing copies number by number
            return tensor.index_select(0, batch.flatten()).unflatten(0, batch.shape)

        inputs, targets = map_tree(examples, train.inputs), map_tree(lambda tensor: tensor[batch], train.targets)
        if self.schedule:
            factor = self.schedule.factor(self.step + 1, self.workload.max_steps)
            torch.mul(self.largest_lr, factor, out=self.state.scalars["lr"])  # the update holds this very tensor
        loss = self.update(inputs, targets)
        self.step += 1
        self.monitor.add(loss, self.step)

    def advance(self) -> Evaluation:
        """Take the steps up to the next evaluation, and evaluate."""
        every = self.workload.eval_every
        last = min(self.workload.max_steps, (self.step // every + 1) * every)
        while self.step < last:
            self.take_step()
        loss, score = self.measure(self.data.validation)
        return self.monitor.evaluated(self.step, loss, score)

    def test(self) -> np.ndarray:
        """Test score [trial]; NaN for tuning trials, whose test score is never computed."""
        score = np.full(len(self.members), np.nan)
        scoring = [index for index, member in enumerate(self.members) if member.trial.stage == Stage.SCORE]
        if scoring:
            score[scoring] = self.measure(self.data.test, scoring)[1].cpu().numpy()
        return score

    def measure(self, split: Split, trials: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """The mean loss and score of these trials on a split, [trial] each; None = all trials."""
        if self.unstacked is not None:
            return self.unstacked.evaluate(split, trials)
        state = (self.state.params, self.state.buffers) if trials is None else self.state.of_trials(trials)
        return self.evaluate(*state, split)

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
        signal=member.signal,
    )
