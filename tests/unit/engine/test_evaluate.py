"""Evaluation: the mean over a whole split, whatever its chunks; BatchNorm as torch computes it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

from initsuite.data.base import Split
from initsuite.data.losses import accuracy
from initsuite.engine import evaluate
from initsuite.engine.evaluate import make_evaluate
from initsuite.engine.workload import Workload

NUM_TRIALS = 3
FLOAT64 = 1e-12


def norms() -> list[nn.Module]:
    return [
        nn.BatchNorm1d(4),
        nn.BatchNorm1d(4, affine=False, eps=0.1),
        nn.BatchNorm1d(4, track_running_stats=False),
        nn.Sequential(nn.Unflatten(1, (2, 2, 1)), nn.BatchNorm2d(2), nn.Flatten()),
    ]


@pytest.mark.parametrize(
    ("max_evaluated", "norm"),
    # in chunks only where the statistics do not depend on the chunk
    [(1 << 13, norm) for norm in norms()]
    + [(27, norm) for norm in norms() if getattr(norm, "track_running_stats", True)],
    ids=str,
)
def test_it_is_the_mean_of_each_trial(monkeypatch, norm: nn.Module, max_evaluated: int) -> None:
    monkeypatch.setattr(evaluate, "MAX_EVALUATED", max_evaluated)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), norm, nn.ReLU(), nn.Linear(4, 3)).double()
    split = Split(torch.randn(40, 6).double(), torch.randint(0, 3, (40,)))
    params = {name: torch.randn(NUM_TRIALS, *value.shape).double() for name, value in model.named_parameters()}
    buffers = {name: torch.rand(NUM_TRIALS, *value.shape).to(value.dtype) + 1 for name, value in model.named_buffers()}
    loss, score = make_evaluate(workload(model))(params, buffers, split)
    model.eval()
    for trial in range(NUM_TRIALS):
        mine = {name: value[trial] for name, value in {**params, **buffers}.items()}
        outputs = functional_call(model, mine, (split.inputs,))
        assert float(loss[trial]) == pytest.approx(float(nn.functional.cross_entropy(outputs, split.targets)), FLOAT64)
        assert float(score[trial]) == pytest.approx(float((outputs.argmax(1) == split.targets).double().mean()))


def workload(model: nn.Module) -> Workload:
    dataset: object = None

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    budget = {"batch_size": 1, "max_steps": 1, "eval_every": 1}
    return Workload("w", dataset, model, (), loss, accuracy, chance_loss=1.0, **budget)  # pyright: ignore[reportArgumentType]
