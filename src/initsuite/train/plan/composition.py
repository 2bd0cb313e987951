"""Composition: which trials share a stack, by the trials alone. `placement` says where stacks are trained."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from typing import Any

from initsuite.engine.memory import least_free
from initsuite.engine.workload import Cell
from initsuite.spec import CONTEXT_AXES, Trial
from initsuite.train.task import Pair

FEWEST, LEAST = {"cpu": 2, "cuda": 1}, 12
"""A group is cut into this many stacks at least, if each of them then has so many trials: one stack trains on one core
alone, and there are two nearly everywhere. Measured: from 12 trials on, a wider stack saves less than a second core."""
WIDEST = {"cpu": 64, "cuda": 512}
"""Wider stacks gain nothing and store their results later."""
STACK_BYTES = {"cpu": 256 << 20, "cuda": 8 << 30}
"""What a stack may take, by the estimate of `bytes_a_trial`: measured, larger networks gain nothing from more."""


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

    @functools.cached_property
    def trials(self) -> list[Trial]:
        return [trial for _, trial in self.pairs]

    @functools.cached_property
    def trial_ids(self) -> list[str]:
        return [trial.trial_id for trial in self.trials]

    @property
    def label(self) -> str:
        return "/".join(self.cell.axes[axis] for axis in CONTEXT_AXES)

    def without(self, trial_ids: Collection[str]) -> Group:
        return Group(tuple(pair for pair in self.pairs if pair[1].trial_id not in trial_ids))


def groups_of(pairs: Iterable[Pair]) -> list[Group]:
    """Sort trials into groups, each trial once: by seed, cell and learning rate, whatever order they come in."""
    groups: dict[tuple[str, str], dict[str, Pair]] = {}
    for cell, trial in pairs:
        key = cell.workload.workload_id, cell.optimizer.kind
        groups.setdefault(key, {})[trial.trial_id] = cell, trial
    return [Group(tuple(sorted(group.values(), key=_place))) for group in groups.values()]


def _place(pair: Pair) -> tuple[int, str, float, str]:
    trial = pair[1]
    return trial.seed, trial.cell_id, trial.lr, str(trial.stage)


def compose(trials: Sequence[Trial], width: int, fewest: int = 1) -> list[tuple[str, ...]]:
    """Cut trials into stacks: the same trials and width give the same stacks, on every machine.

    Trials of one seed see the same batches, which a stack reads once. So a stack holds whole seeds, or trials of one
    seed where one has more trials than a stack.

    Args:
        trials: sorted by seed.
        width: that of the widest stack, from 1.
        fewest: stacks that there are to be at least, if each then has `LEAST` trials; see `FEWEST`.

    Returns:
        The ids of the trials of each stack, in their order.
    """
    seeds = [[trial.trial_id for trial in those] for _, those in groupby(trials, key=lambda trial: trial.seed)]
    stacks: list[Sequence[str]] = []
    for is_alone, those in groupby(seeds, key=lambda seed: len(seed) > width):
        if is_alone:
            stacks += chain.from_iterable(_evenly(seed, -(-len(seed) // width)) for seed in those)
        else:
            stacks += [list(chain.from_iterable(part)) for part in _packed(list(those), width, fewest)]
    return list(map(tuple, stacks))


def _packed(seeds: Sequence[Sequence[str]], width: int, fewest: int) -> list[Sequence[Sequence[str]]]:
    """Seeds that fit into a stack each, in as few stacks as may be, and of even width if they can be.

    Example:
        >>> [list(map(len, part)) for part in _packed(["ab", "cd", "ef", "ghi", "j"], 5, fewest=1)]
        [[2], [2, 2], [3, 1]]
    """
    full: list[list[Sequence[str]]] = [[]]
    for seed in seeds:
        if sum(map(len, full[-1])) + len(seed) > width:
            full.append([])
        full[-1].append(seed)
    wanted = min(fewest, sum(map(len, seeds)) // LEAST, len(seeds))
    even = _evenly(seeds, max(len(full), wanted))
    return even if all(0 < sum(map(len, part)) <= width for part in even) else [*full]


def _evenly(items: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """So many parts of even length.

    Example:
        >>> _evenly("abcde", 3)
        ['a', 'bc', 'de']
    """
    bounds = [len(items) * i // count for i in range(count + 1)]
    return [items[low:high] for low, high in pairwise(bounds)]


def width_for(bytes_each: int, device: str) -> int:
    """The width of the stacks of a workload, from its shapes alone.

    Args:
        bytes_each: by `bytes_a_trial`.
        device: cpu or cuda.
    """
    return max(1, min(WIDEST[device], STACK_BYTES[device] // bytes_each))


def widest(devices: Sequence[str], bytes_each: int) -> int:
    """The width that memory allows on any of these: a power of two, so that a rerun finds the same one."""
    return 1 << max(1, memory_limit(devices) // bytes_each).bit_length() - 1


def memory_limit(devices: Iterable[str]) -> int:
    """Memory that stacks may take on any of these, in bytes: half of what is free now where the least is.

    A stack may be given to any GPU. All stacks on the CPU share its memory.
    """
    return least_free(devices)[0] // 2
