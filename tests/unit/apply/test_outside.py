"""Weights that a model holds outside of its parameters."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import initsuite
from initsuite.apply.outside import weights_outside
from initsuite.errors import ConfigError, InitsuiteError
from support.users import convnet, mlp


def quantized(model: nn.Module) -> nn.Module:
    engines = torch.backends.quantized.supported_engines
    if "qnnpack" not in engines:
        pytest.skip("needs qnnpack")
    torch.backends.quantized.engine = "qnnpack"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of torchao
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


class InLists(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.rest = [(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 4)]
        self.named = {"factor": torch.ones(3, requires_grad=True), "sizes": [4, 4], "again": self.first}
        self.mask = torch.ones(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest[1](self.first(x))


def test_they_are_found_where_they_are() -> None:
    assert weights_outside(InLists()) == ["`rest`, a Linear in a list", "`named`, a tensor of shape (3,) in a dict"]
    assert [each.rpartition(", ")[2] for each in weights_outside(quantized(mlp()))] == ["packed weights"] * 2


@pytest.mark.parametrize("make", [mlp, convnet, lambda: nn.LSTM(3, 4), lambda: nn.Transformer(8, 2, 1, 1, 16)])
def test_an_ordinary_model_has_none(make: type[nn.Module]) -> None:
    assert weights_outside(make()) == []
    pruned = prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5)
    for normed in (nn.utils.spectral_norm, nn.utils.parametrizations.weight_norm):
        pruned = nn.Sequential(pruned, normed(nn.Linear(4, 4)))
    assert weights_outside(pruned) == []


def test_they_are_told_and_with_strict_refused() -> None:
    model = InLists()
    with pytest.warns(match=r"weights that are no parameters: `rest`, a Linear in a list.*Keep layers in nn.ModuleLi"):
        initsuite.initialize_(model, "he")
    with pytest.raises(InitsuiteError, match="weights that are no parameters: `rest`"):
        initsuite.initialize_(model, "he", strict=True)
    with pytest.raises(ConfigError, match=r"has no parameters, but weights that are none: `0._packed.*is quantized"):
        initsuite.initialize_(quantized(mlp()), "he")
