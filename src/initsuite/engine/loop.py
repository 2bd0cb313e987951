"""The training loop of one stack: steps, evaluations, divergence, the curves of its trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from initsuite.data.base import Dataset, Split
from initsuite.data.order import batch_indices
from initsuite.engine.stack import Member, stack_state, to_device
from initsuite.engine.step import StackState, make_evaluate, make_step
from initsuite.engine.workload import Workload
from initsuite.spec import Curve, Evaluation, Stage, Status, TrialResult


class Monitor:
    """Training losses since the last evaluation and first non-finite step of each trial, kept on the device."""

    def __init__(self, num_trials: int, device: torch.device) -> None:
        self.loss_sum = torch.zeros(num_trials, device=device, dtype=torch.float64)
        self.diverged_at = torch.zeros(num_trials, device=device, dtype=torch.int64)
        self.num_steps = 0

    def add(self, loss: Tensor, step: int) -> None:
        self.loss_sum += loss
        self.num_steps += 1
        self.mark(loss, step)

    def mark(self, loss: Tensor, step: int) -> None:
        """Note the trials whose loss at `step` is not finite; the first such step stays."""
        self.diverged_at.masked_fill_(~loss.isfinite() & (self.diverged_at == 0), step)

    def take(self) -> Tensor:
        """Mean training loss since the last call, [trial]."""
        mean = self.loss_sum / self.num_steps
        self.loss_sum = torch.zeros_like(self.loss_sum)
        self.num_steps = 0
        return mean


def train_stack(
    members: Sequence[Member],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    on_evaluation: Callable[[Evaluation], None] = lambda evaluation: None,
) -> list[TrialResult]:
    """Train the trials of one workload and one optimizer kind together.

    Rounding differs with the number of members; nothing else of a result depends on who else is in the stack.

    Args:
        members: of one stack, as `pack` sorts them.
        device: where the data, the parameters and the steps live.
        dtype: of parameters, inputs and optimizer state.
        on_evaluation: called after each evaluation, in the order of `members`.

    Returns:
        One result a member, in order.
    """
    device = torch.device(device)
    workload = members[0].cell.workload
    begin = time.perf_counter()
    data = to_device(workload.dataset, device, dtype)
    state = stack_state(members, device, dtype)
    evaluations, diverged_at = _train(workload, members, data, state, on_evaluation)
    test_accuracy = _test(workload, members, data.test, state)
    wall_s = (time.perf_counter() - begin) / len(members)
    return [
        _result(member, index, evaluations, diverged_at[index], test_accuracy[index], wall_s, len(members), device)
        for index, member in enumerate(members)
    ]


def _train(
    workload: Workload,
    members: Sequence[Member],
    data: Dataset,
    state: StackState,
    on_evaluation: Callable[[Evaluation], None],
) -> tuple[list[Evaluation], np.ndarray]:
    """Advance the state to the end of the budget; the evaluations, and `diverged_at` [trial] with 0 = never."""
    device = data.train.inputs.device
    order, seed_of = (index.to(device) for index in _orders(workload, members))
    advance, evaluate = make_step(workload, members[0].cell.optimizer), make_evaluate(workload)
    monitor, evaluations = Monitor(len(members), device), []
    for step in range(1, workload.max_steps + 1):
        batch = order[seed_of, step - 1]
        monitor.add(advance(state, data.train.inputs[batch], data.train.targets[batch]), step)
        if step % workload.eval_every == 0 or step == workload.max_steps:
            loss, accuracy = evaluate(state.params, state.buffers, data.validation)
            monitor.mark(loss, step)
            evaluations.append(_evaluation(step, monitor, loss, accuracy))
            on_evaluation(evaluations[-1])
    return evaluations, monitor.diverged_at.cpu().numpy()


def _orders(workload: Workload, members: Sequence[Member]) -> tuple[Tensor, Tensor]:
    """Batch indices [seed, step, example], and which of them each trial follows, [trial]."""
    size, num_examples = workload.batch_size, len(workload.dataset.train)
    seeds = sorted({member.trial.seed for member in members})
    orders = [batch_indices(num_examples, size, workload.max_steps, seed) for seed in seeds]
    return torch.stack(orders), torch.tensor([seeds.index(member.trial.seed) for member in members])


def _evaluation(step: int, monitor: Monitor, loss: Tensor, accuracy: Tensor) -> Evaluation:
    gone = monitor.diverged_at > 0
    values = torch.stack([monitor.take(), loss, accuracy]).masked_fill(gone, torch.nan).cpu().numpy()
    return Evaluation(step, *values)


def _test(workload: Workload, members: Sequence[Member], test: Split, state: StackState) -> np.ndarray:
    """Test accuracy [trial]; NaN for tuning trials, whose test score is never computed."""
    accuracy = np.full(len(members), np.nan)
    scoring = [index for index, member in enumerate(members) if member.trial.stage == Stage.SCORE]
    if scoring:
        params = {name: value[scoring] for name, value in state.params.items()}
        buffers = {name: value[scoring] for name, value in state.buffers.items()}
        accuracy[scoring] = make_evaluate(workload)(params, buffers, test)[1].cpu().numpy()
    return accuracy


def _result(
    member: Member,
    index: int,
    evaluations: Sequence[Evaluation],
    diverged_at: int,
    test_accuracy: float,
    wall_s: float,
    stack_size: int,
    device: torch.device,
) -> TrialResult:
    curve = Curve(
        step=np.array([evaluation.step for evaluation in evaluations]),
        train_loss=np.array([evaluation.train_loss[index] for evaluation in evaluations]),
        val_loss=np.array([evaluation.val_loss[index] for evaluation in evaluations]),
        val_accuracy=np.array([evaluation.val_accuracy[index] for evaluation in evaluations]),
    )
    diverged = diverged_at > 0
    return TrialResult(
        trial=member.trial,
        status=Status.DIVERGED if diverged else Status.DONE,
        curve=curve,
        test_accuracy=float("nan") if diverged else float(test_accuracy),
        diverged_at=int(diverged_at) if diverged else None,
        setup_s=member.setup_s,
        wall_s=wall_s,
        stack_size=stack_size,
        device=str(device),
    )
