"""The gradients of a stack whose model draws random numbers: seed by seed, since the trials of a seed share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from initsuite.data.base import Split, Tree
from initsuite.engine.draws import drawing
from initsuite.engine.manner import Manner
from initsuite.engine.step import Gradients, StackState, map_gradients
from initsuite.engine.workload import Workload
from initsuite.spec import Params


@dataclass(frozen=True)
class Seat:
    """A trial of a stack: its place, that of its seed among the batches, and the seed."""

    trial: int
    batch: int
    seed: int


def gradients_by_seed(
    workload: Workload, stack: StackState, seats: Sequence[Seat], manner: Manner, step: Callable[[], int]
) -> Gradients:
    """The gradients of a stack, one pass for the trials of each seed.

    Args:
        seats: of all trials, in their order.
        step: the number of updates made.

    Returns:
        (inputs [seed, example, ...], targets [seed, example]) -> what a pass for all trials returns.
    """
    mapped = map_gradients(workload, is_shared=True, randomness="same")
    groups: dict[tuple[int, int], list[int]] = {}
    for seat in seats:
        groups.setdefault((seat.batch, seat.seed), []).append(seat.trial)
    device = stack.scalars["lr"].device
    order = torch.tensor(list(chain.from_iterable(groups.values())), device=device).argsort()

    def gradients(inputs: Tree, targets: Tree) -> tuple[Params, Tensor, Params]:
        parts = []
        for (index, seed), trials in groups.items():
            batch = Split(inputs, targets).map(lambda tensor, index=index: tensor[index])
            params, buffers = stack.of_trials(trials)
            with drawing(manner, seed, str(step()), device):
                parts.append(mapped(params, buffers, batch.inputs, batch.targets))
        grads, losses, buffers = zip(*parts, strict=True)
        return _joined(grads, order), torch.cat(losses)[order], _joined(buffers, order)

    return gradients


def _joined(parts: Sequence[Params], order: Tensor) -> Params:
    """The tensors of the groups as those of the stack."""
    return {name: torch.cat([part[name] for part in parts])[order] for name in parts[0]}
