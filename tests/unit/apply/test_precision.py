"""Units that a cast makes equal."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

import initsuite


def widening(dtype: torch.dtype) -> nn.Module:
    return nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_units_that_a_cast_makes_equal_are_told(dtype: torch.dtype) -> None:
    model = widening(dtype)
    with pytest.warns(
        UserWarning, match=r"units that IdInit draws different .*`0.weight` \(48 in .*float16\).*looseness"
    ):
        initsuite.initialize_(model, "idinit")
    assert len(torch.unique(model.get_parameter("0.weight").float(), dim=0)) == 16


@pytest.mark.parametrize(
    ("dtype", "init", "options"),
    [
        (torch.float32, "idinit", {}),
        (torch.float64, "idinit", {}),
        (torch.bfloat16, "idinit", {"looseness": 0.1}),
        (torch.bfloat16, "identity", {}),  # equal as drawn: the law's own choice
        (torch.bfloat16, "he", {}),
        (torch.bfloat16, "zero", {}),
    ],
    ids=str,
)
def test_others_are_not(dtype: torch.dtype, init: str, options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        initsuite.initialize_(widening(dtype), init, **options)
