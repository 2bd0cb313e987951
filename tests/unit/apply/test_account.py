"""The table that `initialize_` returns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

import initsuite
from initsuite.apply.account import account, declared_gain, declared_std
from initsuite.init import Constant
from initsuite.init.base.compose import PerTensor
from initsuite.models.describe.describe import Description
from initsuite.spec import ParamSpec, Role
from support.users import mlp


def test_the_table_says_what_was_done() -> None:
    model = mlp()
    table = initsuite.initialize_(model, "he", seed=3)
    assert list(table.columns) == [
        "tensor", "shape", "role", "parts", "fan_in", "fan_out", "nonlinearity", "described_by", "factor", "gain",
        "expected_std", "realised_mean", "realised_std", "how", "why",
    ]  # fmt: skip
    assert list(table["tensor"]) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    first, bias, head = table.iloc[0], table.iloc[1], table.iloc[2]
    assert (first["shape"], first["role"], first["fan_in"], first["fan_out"]) == ((256, 64), "weight", 64, 256)
    assert (first["nonlinearity"], head["nonlinearity"]) == ("relu", "")
    assert first["gain"] == pytest.approx(math.sqrt(2))
    assert math.isnan(bias["gain"])
    values = model[0].weight.detach().numpy().astype(np.float64)  # type: ignore[union-attr]
    assert first["realised_mean"] == pytest.approx(values.mean(), abs=1e-7)
    assert first["realised_std"] == pytest.approx(values.std(), rel=1e-5)
    assert bias["realised_std"] == bias["realised_mean"] == 0
    assert set(table["how"]) == {"drawn"}
    assert set(table["why"]) == {""}
    assert set(table["factor"]) == {1.0}
    assert set(table["described_by"]) <= {"graph", "order"}


def test_the_law_declares_its_std() -> None:
    table = initsuite.initialize_(mlp(), "he").set_index("tensor")
    assert table.loc["0.weight", "expected_std"] == pytest.approx(math.sqrt(2 / 64))
    assert table.loc["0.bias", "expected_std"] == 0
    table = initsuite.initialize_(mlp(), "orthogonal", gain="auto").set_index("tensor")
    assert table.loc["0.weight", "expected_std"] == pytest.approx(math.sqrt(2 / 256))
    assert table.loc["2.weight", "expected_std"] == pytest.approx(math.sqrt(1 / 256))
    table = initsuite.initialize_(mlp(), "normal", std=0.3).set_index("tensor")
    assert list(table["expected_std"]) == pytest.approx([0.3] * 4)


@pytest.mark.filterwarnings("ignore:initialize_. Mup is half of a law")
@pytest.mark.parametrize("name", ["torch_default", "keras_default", "flax_default", "gpt2", "mup", "guideline", "he"])
def test_initializers_of_a_whole_model_declare_the_std_of_each_tensor(name: str) -> None:
    """50,000 entries and more: the realised std is within 2 % of the declared one."""
    layer = torch.nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    table = initsuite.initialize_(layer, name)
    weights = table[table["role"] == "weight"]
    assert len(weights) == 4
    assert list(weights["realised_std"]) == pytest.approx(list(weights["expected_std"]), rel=0.02)
    assert table["expected_std"].notna().all()


def test_the_std_of_fused_matrices_is_that_of_their_blocks() -> None:
    @dataclass(frozen=True)
    class ByPart:
        gain: str = "my own word"

        def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
            return torch.zeros(spec.shape)

        def declared_std(self, spec: ParamSpec) -> float:
            assert not spec.blocks
            return {"query": 3.0, "value": 1.0}[spec.parts[0]] * spec.shape[0]

    spec = ParamSpec("w", (4, 5), Role.WEIGHT, 5, 2, None, 0, 2, blocks=(1, 3), parts=("query", "value"))
    assert declared_std(ByPart(), spec) == pytest.approx(math.sqrt((1 * (3 * 1) ** 2 + 3 * (1 * 3) ** 2) / 4))
    assert math.isnan(declared_gain(ByPart(), spec))
    assert math.isnan(declared_std(lambda spec, generator: torch.zeros(spec.shape), spec))


def test_values_are_those_of_the_product_where_the_model_multiplies() -> None:
    """As with an equalised learning rate: the law speaks of factor x tensor."""
    layer = torch.nn.Linear(5, 4, bias=False)
    torch.nn.init.constant_(layer.weight, 8.0)
    spec = ParamSpec("weight", (4, 5), Role.WEIGHT, 5, 4, None, 0, 1, factor=-0.25)
    table = account(layer, Description([spec], {}, None, {}), PerTensor(weight=Constant(-2.0)), {"weight"})
    assert table[["factor", "realised_mean", "realised_std"]].values.tolist() == [[-0.25, -2.0, 0.0]]
