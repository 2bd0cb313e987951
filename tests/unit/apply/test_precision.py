"""Units that a cast makes equal."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

import initsuite
from initsuite.errors import ConfigError
from initsuite.spec import Initialization, Probe, Specs


class Whole:
    """A law for the model as a whole."""

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        return Initialization({spec.name: torch.full(spec.shape, 7e4) for spec in specs})


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


@pytest.mark.parametrize("init", ["normal", Whole()], ids=["by laws", "a whole model"])
def test_values_that_a_cast_makes_infinite_are_refused(init: Any) -> None:
    """float16 ends at 65504; of 1,344 normal numbers of std 1e5, a half is beyond."""
    model = widening(torch.float16)
    before = [parameter.clone() for parameter in model.parameters()]
    options = {"std": 1e5} if init == "normal" else {}
    with pytest.raises(ConfigError, match=r"`\d\.weight`: too large for float16\. Expected at most 65504"):
        initsuite.initialize_(model, init, **options)
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    initsuite.initialize_(widening(torch.float16), "constant", value=65504.0)
    initsuite.initialize_(widening(torch.bfloat16), "normal", std=1e5)
