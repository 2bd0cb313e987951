"""What `initialize_` did to a model, remembered as long as the model lives, so that later changes can be told."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

SAMPLED = 256
"""Entries of a tensor that are remembered."""


@dataclass(frozen=True)
class Done:
    """The table of `initialize_`, and some entries of each tensor as they were right after."""

    table: pd.DataFrame
    samples: Mapping[str, Tensor]


_DONE: weakref.WeakKeyDictionary[nn.Module, Done] = weakref.WeakKeyDictionary()


def remember(network: nn.Module, table: pd.DataFrame) -> None:
    """Keep what was done to a network."""
    samples = {name: _sample(each) for name, each in network.named_parameters() if not each.is_meta}
    _DONE[network] = Done(table.copy(), samples)


def remembered(network: nn.Module) -> Done | None:
    """What was done to a network last; None where nothing was."""
    return _DONE.get(network)


def changed_since(network: nn.Module, done: Done) -> dict[str, bool]:
    """Whether each tensor differs from what it was right after, by the entries that were kept."""
    return {
        name: name in done.samples and not torch.equal(_sample(each), done.samples[name])
        for name, each in network.named_parameters()
    }


def _sample(parameter: Tensor) -> Tensor:
    flat = parameter.detach().flatten()
    return flat[torch.linspace(0, len(flat) - 1, min(SAMPLED, len(flat))).long()].cpu().clone()
