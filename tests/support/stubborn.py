"""Networks that `torch.vmap` cannot map or that draw random numbers, on a task they can learn; trained as a cell."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from initsuite.config.build import Job
from initsuite.data.base import Dataset, Split, Tree
from initsuite.engine.stack import Member, start_of
from initsuite.engine.workload import Cell, Workload
from initsuite.models.describe.describe import describe
from initsuite.models.describe.examples import Example
from initsuite.models.skeleton import built, emptied
from initsuite.spec import Stage

TIME, FEATURES, CLASSES = 5, 4, 3
SIZES = (96, 40, 40)


def sequences() -> Dataset:
    """Sequences of numbers; the class is the feature that is largest at the end."""

    def split(size: int, seed: int) -> Split:
        inputs = torch.randn(size, TIME, FEATURES, generator=torch.Generator().manual_seed(seed))
        return Split(inputs, inputs[:, -1, :CLASSES].argmax(1))

    return Dataset(*(split(size, seed) for seed, size in enumerate(SIZES)), num_outputs=CLASSES)


class Net(nn.Module):
    """A layer with something after it, and a head."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(TIME * FEATURES, width), nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Any:
        return self.head(self.between(torch.tanh(self.first(inputs.flatten(1)))))

    def between(self, hidden: Tensor) -> Tensor:
        return hidden


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.LSTM | nn.GRU] = nn.LSTM, **options: Any) -> None:
        super().__init__()
        self.cells, self.head = kind(FEATURES, 8, batch_first=True, **options), nn.Linear(8, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.cells(inputs)[0][:, -1])


def gru() -> nn.Module:
    return Recurrent(nn.GRU)


def deep_lstm() -> nn.Module:
    return Recurrent(nn.LSTM, num_layers=2, dropout=0.2)


class Item(Net):
    def between(self, hidden: Tensor) -> Tensor:
        return hidden / max(1.0, hidden.detach().abs().max().item())


class Branching(Net):
    def between(self, hidden: Tensor) -> Tensor:
        return hidden if hidden.mean() > 0 else 2 * hidden


class Checkpointed(Net):
    is_reentrant, p = False, 0.0

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Sequential(nn.Linear(8, 8), nn.Dropout(self.p), nn.Tanh())

    def between(self, hidden: Tensor) -> Tensor:
        return checkpoint(self.middle, hidden, use_reentrant=self.is_reentrant)


class Reentrant(Checkpointed):
    is_reentrant = True


class CheckpointedDropout(Checkpointed):
    p = 0.5


class ReentrantDropout(CheckpointedDropout):
    is_reentrant = True


class Float64Part(Net):
    def __init__(self) -> None:
        super().__init__()
        self.head = self.head.double()

    def between(self, hidden: Tensor) -> Tensor:
        return hidden.double()


class CumulativeBatchNorm(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8, momentum=None)

    def between(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden)


class Replaced(Net):
    """It replaces its buffer, and looks at a number, so that it cannot be mapped."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))

    def between(self, hidden: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * hidden.detach().mean(0)
        return hidden - self.mean


class ReplacedUnmapped(Replaced):
    def between(self, hidden: Tensor) -> Tensor:
        return super().between(hidden) * (1.0 if hidden.detach().sum().item() < math.inf else 0.0)


class Uncopied(Item):
    """A lock is what `copy.deepcopy` refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class TwoInputs(Net):
    """It takes a sequence and a mask of it, and returns what was asked for."""

    returned: Callable[[Tensor], Any] = staticmethod(lambda logits: logits)

    def forward(self, inputs: Tensor, mask: Tensor | None = None, labels: Tensor | None = None) -> Any:
        logits = super().forward(inputs if mask is None else inputs * mask[:, :, None])
        if labels is None:
            return type(self).returned(logits)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


class TupleOut(TwoInputs):
    returned = staticmethod(lambda logits: (logits, None))


class DictOut(TwoInputs):
    returned = staticmethod(lambda logits: {"logits": logits})


class MaskOnly(Net):
    """Its outputs are the mask alone, so that a loss tells which mask it was."""

    def forward(self, inputs: Tensor) -> Tensor:
        mask = functional.dropout(torch.ones(len(inputs), CLASSES), 0.5, self.training)
        return mask * 2.0 ** torch.arange(CLASSES) + 0.0 * super().forward(inputs)


class Dropout(Net):
    """Three ways to drop: the layer, the function, and a row at a time as torchvision and timm do."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.3)

    def between(self, hidden: Tensor) -> Tensor:
        hidden = functional.dropout(self.drop(hidden), 0.2, self.training)
        if not self.training:
            return hidden
        kept = torch.empty(len(hidden), 1).bernoulli_(0.8).div_(0.8)
        return hidden * kept * hidden.new_empty(len(hidden), 1).bernoulli_(0.9) + 0.1 * torch.rand(len(hidden), 8)


class DropoutItem(Dropout):
    """The same, and it cannot be mapped."""

    def between(self, hidden: Tensor) -> Tensor:
        return super().between(hidden) * (1.0 if hidden.detach().sum().item() < math.inf else 0.0)


class AttentionDropout(Net):
    def between(self, hidden: Tensor) -> Tensor:
        each = hidden.unflatten(1, (4, 2))[:, None]
        p = 0.4 if self.training else 0.0
        return functional.scaled_dot_product_attention(each, each, each, dropout_p=p).flatten(1)


class PythonNoise(Net):
    """Random numbers of Python, numpy and torch: each layer is skipped now and then."""

    def between(self, hidden: Tensor) -> Tensor:
        if not self.training:
            return hidden
        gain = random.choice([0.5, 1.0, 2.0]) + np.random.rand()  # noqa: NPY002
        return functional.dropout(hidden * gain, 0.2)


STUBBORN: dict[str, Callable[[], nn.Module]] = {
    "lstm": Recurrent, "gru": gru, "deep-lstm": deep_lstm, "item": Item, "branch": Branching,
    "checkpoint": Checkpointed, "reentrant": Reentrant, "checkpoint-dropout": CheckpointedDropout,
    "reentrant-dropout": ReentrantDropout, "float64": Float64Part, "momentum-none": CumulativeBatchNorm,
    "replaced": ReplacedUnmapped, "dropout-item": DropoutItem, "uncopied": Uncopied,
}  # fmt: skip
"""By what `torch.vmap` does not take."""


def workload_of(job: Any, build: Callable[[], nn.Module], dataset: Dataset | None = None, **options: Any) -> Workload:
    """A workload around a network, otherwise that of a job."""
    dataset = dataset or sequences()
    model = built(build)
    inputs: Tree = dataset.train.inputs
    args = tuple(inputs) if isinstance(inputs, tuple) else () if isinstance(inputs, dict) else (inputs,)
    kwargs = inputs if isinstance(inputs, dict) else {}
    few = [tensor[:2] for tensor in args], {name: tensor[:2] for name, tensor in kwargs.items()}
    specs = tuple(describe(model, example=Example(tuple(few[0]), few[1], "two examples")))
    kept = {name for name, _ in model.named_parameters()} - {spec.name for spec in specs}
    changes = {"batch_size": 16, "max_steps": 20, "eval_every": 5, "own_values": None, **options}
    return replace(
        job.cell.workload, dataset=dataset, model=emptied(model, kept), specs=specs, workload_id="own", **changes
    )


def members_of(jobs: Sequence[Job], workload: Workload, lrs: Sequence[float], seeds: Sequence[int]) -> list[Member]:
    """A trial of each (job, lr, seed), of this workload in place of the job's."""
    made = []
    for job, lr, seed in zip(jobs, lrs, seeds, strict=True):
        cell: Cell = replace(job.cell, workload=workload)
        made.append(Member(cell, cell.trial(lr, seed, Stage.SCORE), *start_of(workload, cell.initializer, seed)))
    return made
