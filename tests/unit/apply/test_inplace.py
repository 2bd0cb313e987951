"""The copy of a user's model that initializers see."""

from __future__ import annotations

import threading

import torch
from torch import nn

import initsuite
from initsuite.apply.inplace import stand_in
from initsuite.init import Constant
from support.users import Whole, convnet, mlp


def test_an_initializer_sees_the_model_that_the_contract_promises() -> None:
    model = convnet().to(torch.bfloat16)
    model.register_buffer("table", torch.arange(3))
    seen: list[nn.Module] = []
    initsuite.initialize_(model, Whole(seen.append))
    (given,) = seen
    assert given is not model
    assert all(parameter.is_meta and parameter.dtype is torch.float32 for parameter in given.parameters())
    assert {value.dtype for value in given.buffers()} == {torch.float32, torch.int64}
    assert given.table.tolist() == [0, 1, 2]
    params = {name: torch.zeros(parameter.shape) for name, parameter in given.named_parameters()}
    assert torch.func.functional_call(given, params, torch.ones(2, 3, 8, 8)).shape == (2, 4)


def test_a_stand_in_is_made_of_models_with_results_or_locks() -> None:
    model = mlp()
    model.activity = model[0](torch.ones(1, 64))  # type: ignore[assignment]  # torch refuses to copy it
    assert stand_in(model, {"0.weight"}) is not model
    model.lock = threading.Lock()  # type: ignore[assignment]
    assert stand_in(model, {"0.weight"}) is model
    initsuite.initialize_(model, Constant(1.0))
    assert (model[0].weight == 1).all()  # type: ignore[union-attr]
