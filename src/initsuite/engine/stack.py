"""Building stacks: which trials may share one, and the stacked state they start from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch.utils._pytree import tree_map

from initsuite.data.base import Dataset, Split
from initsuite.engine.step import StackState
from initsuite.engine.workload import Cell, Workload
from initsuite.errors import ConfigError
from initsuite.spec import Initialization, Initializer, Params, Trial


@dataclass(frozen=True)
class Member:
    """A trial with the parameters it starts from."""

    cell: Cell
    trial: Trial
    start: Initialization
    setup_s: float


def start_of(workload: Workload, initializer: Initializer, seed: int) -> tuple[Initialization, float]:
    """Run an initializer for one seed.

    Returns:
        The initialization, and the seconds it took.

    Raises:
        ConfigError: a parameter is missing, unknown or of another shape.
    """
    begin = time.perf_counter()
    start = initializer(workload.model, workload.specs, seed=seed)
    seconds = time.perf_counter() - begin
    expected = {spec.name: spec.shape for spec in workload.specs}
    got = {name: tuple(tensor.shape) for name, tensor in start.params.items()}
    if got != expected:
        wrong = sorted(name for name in got.keys() | expected.keys() if got.get(name) != expected.get(name))
        raise ConfigError(
            f"{type(initializer).__name__}: bad parameters `{wrong[0]}`={got.get(wrong[0])}. Expected shape "
            f"{expected.get(wrong[0])}. An initializer returns every parameter of the model and no other."
        )
    return start, seconds


def pack(pairs: Iterable[tuple[Cell, Trial]], width: Callable[[Workload], int]) -> list[list[tuple[Cell, Trial]]]:
    """Sort trials into stacks of at most `width(workload)`: one workload and one optimizer kind each.

    The split is even, and keeps the order of the trials: the same trials and widths give the same stacks.
    """
    groups: dict[tuple[str, str], list[tuple[Cell, Trial]]] = {}
    for cell, trial in pairs:
        groups.setdefault((cell.workload.workload_id, cell.optimizer.kind), []).append((cell, trial))
    stacks = []
    for group in groups.values():
        count = -(-len(group) // width(group[0][0].workload))
        bounds = [len(group) * i // count for i in range(count + 1)]
        stacks += [group[low:high] for low, high in pairwise(bounds)]
    return stacks


def stack_state(members: Sequence[Member], device: torch.device, dtype: torch.dtype) -> StackState:
    """The state all members start from, with a leading [trial] axis on every tensor."""
    cell = members[0].cell
    params = {
        spec.name: torch.stack([member.start.params[spec.name] for member in members]).to(device, dtype)
        for spec in cell.workload.specs
    }
    buffers = {
        name: value.to(device, dtype if value.is_floating_point() else value.dtype).expand(len(members), *value.shape)
        for name, value in cell.workload.model.named_buffers()
    }
    one = tree_map(lambda tensor: tensor[0], params)
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


def to_device(dataset: Dataset, device: torch.device, dtype: torch.dtype) -> Dataset:
    """The data set with its inputs in `dtype`, all of it resident on `device`."""

    def move(split: Split) -> Split:
        return Split(split.inputs.to(device, dtype), split.targets.to(device))

    return replace(dataset, train=move(dataset.train), validation=move(dataset.validation), test=move(dataset.test))
