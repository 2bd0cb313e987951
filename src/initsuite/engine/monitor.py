"""The record of a stack in training: losses, evaluations, the first step at which a trial diverged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initsuite.spec import Curve, Evaluation


class Monitor:
    """Training losses since the last evaluation, and the first non-finite step of each trial, kept on the device.

    Attributes:
        evaluations: evaluations of the stack, in the order of their steps.
    """

    def __init__(self, num_trials: int, device: torch.device) -> None:
        self.loss_sum = torch.zeros(num_trials, device=device, dtype=torch.float64)
        self.diverged_at = torch.zeros(num_trials, device=device, dtype=torch.int64)
        self.num_steps = 0
        self.evaluations: list[Evaluation] = []

    def add(self, loss: Tensor, step: int) -> None:
        """Record the training loss [trial] of a step."""
        self.loss_sum += loss
        self.num_steps += 1
        self.mark(loss, step)

    def mark(self, loss: Tensor, step: int) -> None:
        """Record the trials whose loss at `step` is not finite, unless they had such a step before."""
        self.diverged_at.masked_fill_(~loss.isfinite() & (self.diverged_at == 0), step)

    def evaluated(self, step: int, loss: Tensor, score: Tensor) -> Evaluation:
        """Record an evaluation, [trial] each; the only place in training where the host waits for the device."""
        self.mark(loss, step)
        values = torch.stack([self.loss_sum / self.num_steps, loss, score])
        self.loss_sum.zero_()
        self.num_steps = 0
        self.evaluations.append(Evaluation(step, *values.masked_fill(self.diverged_at > 0, torch.nan).cpu().numpy()))
        return self.evaluations[-1]

    def curve(self, index: int) -> Curve:
        """The evaluations of one trial."""
        return Curve(
            step=np.array([evaluation.step for evaluation in self.evaluations]),
            train_loss=np.array([evaluation.train_loss[index] for evaluation in self.evaluations]),
            val_loss=np.array([evaluation.val_loss[index] for evaluation in self.evaluations]),
            val_score=np.array([evaluation.val_score[index] for evaluation in self.evaluations]),
        )

    def snapshot(self) -> dict[str, Any]:
        """The record right after an evaluation, when no training loss is pending, as tensors on the CPU."""
        values = [[e.train_loss, e.val_loss, e.val_score] for e in self.evaluations]
        return {
            "diverged_at": self.diverged_at.cpu(),
            "steps": torch.tensor([evaluation.step for evaluation in self.evaluations]),
            "values": torch.from_numpy(np.array(values)),
        }

    def restore(self, snapshot: dict[str, Any]) -> Sequence[Evaluation]:
        """Continue from a snapshot; returns the evaluations it holds."""
        self.diverged_at.copy_(snapshot["diverged_at"])
        steps, values = snapshot["steps"].tolist(), snapshot["values"].numpy()
        self.evaluations = [Evaluation(step, *value) for step, value in zip(steps, values, strict=True)]
        return self.evaluations
