"""Building stacks: their members, and the stacked state they start from."""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from initsuite import rng
from initsuite.data.base import Dataset, Split, Tree
from initsuite.engine.passes import picked
from initsuite.engine.step import StackState
from initsuite.engine.workload import Cell, Workload
from initsuite.errors import exits_are_errors
from initsuite.spec import Initialization, Initializer, Params, Probe, Trial

PROBE_EXAMPLES = 256
"""Enough to know the variance of a layer's outputs to a few per cent."""


@dataclass(frozen=True)
class Member:
    """A trial with the parameters it starts from.

    Attributes:
        setup_s: seconds spent in the initializer.
        signal: what was measured of the start, for the result.
    """

    cell: Cell
    trial: Trial
    start: Initialization
    setup_s: float
    signal: Mapping[str, float | str] = field(default_factory=dict)


def probe_of(workload: Workload) -> Probe:
    """A few hundred training examples for data-dependent initializers; the same for every trial of a workload."""
    return _probe(weakref.ref(workload))


@functools.lru_cache(maxsize=8)
def _probe(of: weakref.ref[Workload]) -> Probe:
    """Held without its workload, whose data goes with the launch."""
    workload = of()
    assert workload is not None
    train, loss, output = workload.dataset.train, workload.loss, workload.output
    chosen = torch.randperm(len(train), generator=rng.generator(0, "probe"))[:PROBE_EXAMPLES]
    batch = train.complete().map(lambda tensor: tensor[chosen])

    def mean_loss(outputs: Any, targets: Tree) -> Tensor:
        return loss(picked(outputs, output), targets).mean()

    return Probe(batch.inputs, batch.targets, mean_loss)


def start_of(workload: Workload, initializer: Initializer, seed: int) -> tuple[Initialization, float]:
    """Run an initializer for one seed.

    Returns:
        The initialization, with the model's own values of this seed where it has some, and the seconds it took.

    Raises:
        ConfigError: a parameter that is missing, unknown, of the wrong shape or not finite.
    """
    begin = time.perf_counter()
    with rng.float32_on_cpu(), exits_are_errors():
        own = workload.own_values(seed) if workload.own_values else {}
    with _holding(workload.model, own), exits_are_errors():
        start = initializer(workload.model, workload.specs, seed=seed, probe=probe_of(workload))
    seconds = time.perf_counter() - begin
    name = type(initializer).__name__
    start = Initialization.checked(start, workload.specs, name).finite(name)
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


def stack_state(
    members: Sequence[Member], device: torch.device, dtype: torch.dtype, *, keeps_types: bool = False
) -> StackState:
    """The state all members start from, with a leading [trial] axis on every tensor.

    Args:
        keeps_types: whether what is not float32 in the model stays so, such as a layer that computes in float64;
            otherwise all parameters get `dtype`, as do the buffers that are no whole numbers.
    """
    cell = members[0].cell
    values = dict(cell.workload.model.named_parameters())
    order = [*(spec.name for spec in cell.workload.specs), *values]
    params = {}
    for name in dict.fromkeys(order):  # those without a spec, such as the slope of a PReLU, have the model's own value
        own = [member.start.params.get(name, values[name].detach()) for member in members]
        is_kept = keeps_types and values[name].dtype != torch.float32
        params[name] = torch.stack(own).to(device, values[name].dtype if is_kept else dtype)
    buffers = {}
    for name, value in cell.workload.model.named_buffers():
        is_cast = value.dtype == torch.float32 if keeps_types else value.is_floating_point()
        buffers[name] = torch.stack([value.to(device, dtype if is_cast else value.dtype)] * len(members))
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
    """The data set on `device`, its numbers in `dtype`, indices as they are; targets that it lacks are its inputs. The
    last two are cached."""

    def move(split: Split) -> Split:
        moved = split.map(lambda tensor: tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype))
        return moved.complete()

    return replace(dataset, train=move(dataset.train), validation=move(dataset.validation), test=move(dataset.test))
