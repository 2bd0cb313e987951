"""Composition: which trials share a stack, and how wide it may be. `placement` says where stacks are trained."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import psutil
import torch
from torch import nn

from initsuite.engine.workload import Cell, Workload
from initsuite.train.task import Pair

COPIES = 5
"""Copies of the parameters: themselves, gradients, at most two optimizer moments, the steps of Adam."""
ACTIVATION_COPIES = 3
"""Copies of each layer's output: itself, its gradient, and what the backward pass keeps."""


@dataclass(frozen=True)
class Group:
    """Trials of one workload and one optimizer kind, the only ones that can share a stack, by seed."""

    pairs: tuple[Pair, ...]

    @property
    def cell(self) -> Cell:
        return self.pairs[0][0]

    @property
    def key(self) -> str:
        return f"{self.cell.workload.workload_id}-{self.cell.optimizer.kind}"

    @property
    def cells(self) -> list[Cell]:
        return list({cell.cell_id: cell for cell, _ in self.pairs}.values())

    @property
    def num_steps(self) -> int:
        return self.cell.workload.max_steps

    @functools.cached_property
    def trial_ids(self) -> list[str]:
        return [trial.trial_id for _, trial in self.pairs]

    @property
    def label(self) -> str:
        return "/".join(self.cell.axes[axis] for axis in ("dataset", "model", "activation", "optimizer"))

    def without(self, trial_ids: Collection[str]) -> Group:
        return Group(tuple(pair for pair in self.pairs if pair[1].trial_id not in trial_ids))


def groups_of(pairs: Iterable[Pair]) -> list[Group]:
    """Sort trials into groups, each trial once; those of one seed, which see the same batches, stay together."""
    groups: dict[tuple[str, str], dict[str, Pair]] = {}
    for cell, trial in pairs:
        key = cell.workload.workload_id, cell.optimizer.kind
        groups.setdefault(key, {})[trial.trial_id] = cell, trial
    return [Group(tuple(sorted(group.values(), key=lambda pair: pair[1].seed))) for group in groups.values()]


def compose(trial_ids: Sequence[str], width: int, multiple: int = 1) -> list[tuple[str, ...]]:
    """Cut trials evenly into stacks, in their order: the same trials and arguments give the same stacks.

    Args:
        width: that of the widest stack, from 1.
        multiple: the number of stacks is a multiple of it, if there are enough trials.

    Example:
        >>> compose("abcde", width=2)
        [('a',), ('b', 'c'), ('d', 'e')]
    """
    count = -(-len(trial_ids) // width)
    count = min(len(trial_ids), multiple * -(-count // multiple))
    bounds = [len(trial_ids) * i // count for i in range(count + 1)]
    return [tuple(trial_ids[low:high]) for low, high in pairwise(bounds)]


def widest(device: str, bytes_each: int) -> int:
    """The width that memory allows: a power of two, so that a rerun finds the same one."""
    return 1 << max(1, memory_limit(torch.device(device)) // bytes_each).bit_length() - 1


def bytes_a_trial(workload: Workload) -> int:
    """Memory that a trial of a stack takes, in bytes: state and the activations of one batch, estimated."""
    parameters = sum(parameter.numel() for parameter in workload.model.parameters())
    activations = workload.batch_size * sum(_outputs_of_one_example(workload))
    return 4 * (COPIES * parameters + ACTIVATION_COPIES * activations)


def _outputs_of_one_example(workload: Workload) -> list[int]:
    """How many numbers each layer of a model outputs for one example, found by running it without values."""
    model, sizes = workload.model, list[int]()

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel())

    hooks = [module.register_forward_hook(note) for module in model.modules() if not any(module.children())]
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    shells = {name: torch.empty_like(value, device="meta") for name, value in state.items()}
    was_training = model.training
    try:
        inputs = torch.empty_like(workload.dataset.train.inputs[:1], device="meta")
        torch.func.functional_call(model.eval(), shells, (inputs,))  # in training, BatchNorm refuses one example
    except Exception:  # a model that looks at values; its parameters alone are counted
        return []
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return sizes


def memory_limit(device: torch.device) -> int:
    """Memory that all stacks together may take, in bytes: half of what is free now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return psutil.virtual_memory().available // 2
