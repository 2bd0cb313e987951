"""Building stacks: their members, and the stacked state they start from."""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.utils._pytree import tree_map

from initsuite import rng
from initsuite.data.base import Dataset, Split
from initsuite.engine.step import StackState
from initsuite.engine.workload import Cell, Workload
from initsuite.spec import Initialization, Initializer, Params, Probe, Trial

PROBE_EXAMPLES = 256
"""Enough to know the variance of a layer's outputs to a few per cent."""


@dataclass(frozen=True)
class Member:
    """A trial with the parameters it starts from."""

    cell: Cell
    trial: Trial
    start: Initialization
    setup_s: float


def probe_of(workload: Workload) -> Probe:
    """A few hundred training examples for data-dependent initializers; the same for every trial of a workload."""
    return _probe(weakref.ref(workload))


@functools.lru_cache(maxsize=8)
def _probe(of: weakref.ref[Workload]) -> Probe:
    """Held without its workload, whose data goes with the launch."""
    workload = of()
    assert workload is not None
    train, loss = workload.dataset.train, workload.loss
    chosen = torch.randperm(len(train), generator=rng.generator(0, "probe"))[:PROBE_EXAMPLES]
    return Probe(train.inputs[chosen], train.targets[chosen], lambda outputs, targets: loss(outputs, targets).mean())


def start_of(workload: Workload, initializer: Initializer, seed: int) -> tuple[Initialization, float]:
    """Run an initializer for one seed.

    Returns:
        The initialization, with the model's own values of this seed where it has some, and the seconds it took.

    Raises:
        ConfigError: a parameter that is missing, unknown or of the wrong shape.
    """
    begin = time.perf_counter()
    with rng.float32_on_cpu():
        own = workload.own_values(seed) if workload.own_values else {}
    with _holding(workload.model, own):
        start = initializer(workload.model, workload.specs, seed=seed, probe=probe_of(workload))
    seconds = time.perf_counter() - begin
    start = Initialization.checked(start, workload.specs, type(initializer).__name__)
    return replace(start, params={**start.params, **own}) if own else start, seconds


@contextmanager
def _holding(model: nn.Module, values: Params) -> Iterator[None]:
    """Lend a model other values of some parameters."""
    before = {model.get_parameter(name): model.get_parameter(name).data for name in values}
    try:
        for parameter, value in zip(before, values.values(), strict=True):
            parameter.data = value
        yield
    finally:
        for parameter, value in before.items():
            parameter.data = value


def stack_state(members: Sequence[Member], device: torch.device, dtype: torch.dtype) -> StackState:
    """The state all members start from, with a leading [trial] axis on every tensor."""
    cell = members[0].cell
    params = {
        spec.name: torch.stack([member.start.params[spec.name] for member in members]).to(device, dtype)
        for spec in cell.workload.specs
    }
    for name, parameter in cell.workload.model.named_parameters():
        if name not in params:  # no spec, such as the slope of a PReLU: the model's own value
            own = [member.start.params.get(name, parameter.detach()) for member in members]
            params[name] = torch.stack(own).to(device, dtype)
    buffers = {
        name: torch.stack([value.to(device, dtype if value.is_floating_point() else value.dtype)] * len(members))
        for name, value in cell.workload.model.named_buffers()
    }
    trained = [name for name, parameter in cell.workload.model.named_parameters() if parameter.requires_grad]
    one = {name: params[name][0] for name in trained}
    optimizer = tree_map(lambda tensor: torch.stack([tensor] * len(members)), cell.optimizer.init(one))
    scalars = [{**member.cell.optimizer.scalars, "lr": member.trial.lr} for member in members]
    return StackState(
        params=params,
        buffers=buffers,
        optimizer=optimizer,
        scalars={name: torch.tensor([s[name] for s in scalars], device=device, dtype=dtype) for name in scalars[0]},
        lr_factors=_stacked_factors(members, device, dtype),
    )


def _stacked_factors(members: Sequence[Member], device: torch.device, dtype: torch.dtype) -> Params:
    """Per-tensor lr factors, [trial] each, of the tensors for which any member has one."""
    names = sorted({name for member in members for name in member.start.lr_factors})
    return {
        name: torch.tensor([m.start.lr_factors.get(name, 1.0) for m in members], device=device, dtype=dtype)
        for name in names
    }


@functools.lru_cache(maxsize=2)
def to_device(dataset: Dataset, device: torch.device, dtype: torch.dtype) -> Dataset:
    """The data set on `device`, its numbers in `dtype`, indices as they are; the last two are cached."""

    def move(split: Split) -> Split:
        inputs, targets = (
            tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)
            for tensor in (split.inputs, split.targets)
        )
        return Split(inputs, targets)

    return replace(dataset, train=move(dataset.train), validation=move(dataset.validation), test=move(dataset.test))
