"""Losses by name against their definitions."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch.func import vmap

from initsuite.errors import ConfigError
from initsuite.losses import FUNCTIONS, chance_loss, loss_function

RTOL = 1e-12
"""Float64 rounding of a handful of operations."""


def test_cross_entropy_is_minus_the_log_of_the_softmax() -> None:
    outputs = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 4, 2, 2, 1, 3, 0])
    shares = outputs.exp() / outputs.exp().sum(1, keepdim=True)
    expected = -shares[torch.arange(7), targets].log()
    torch.testing.assert_close(loss_function("cross_entropy")(outputs, targets), expected, rtol=RTOL, atol=0)


def test_cross_entropy_of_equal_outputs_is_the_chance_loss() -> None:
    loss = loss_function("cross_entropy")(torch.zeros(3, 10, dtype=torch.float64), torch.tensor([0, 5, 9]))
    assert loss.tolist() == pytest.approx([chance_loss("cross_entropy", 10)] * 3, rel=RTOL)
    assert chance_loss("cross_entropy", 10) == pytest.approx(math.log(10), rel=RTOL)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_losses_map_over_trials(name: str) -> None:
    outputs, targets = torch.randn(3, 4, 5), torch.randint(0, 5, (3, 4))
    mapped = vmap(loss_function(name))(outputs, targets)
    alone = torch.stack([loss_function(name)(one, target) for one, target in zip(outputs, targets, strict=True)])
    torch.testing.assert_close(mapped, alone)


def test_an_unknown_loss_is_refused() -> None:
    message = "`name`='cross_entrophy'. Expected one of: cross_entropy. Did you mean `cross_entropy`?"
    with pytest.raises(ConfigError, match=re.escape(message)):
        loss_function("cross_entrophy")
    with pytest.raises(ConfigError, match=re.escape(message)):
        chance_loss("cross_entrophy", 10)


def test_a_loss_without_outputs_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("`num_outputs`=0. Expected a number of classes from 1")):
        chance_loss("cross_entropy", 0)
