"""The optimizer update of a stack: block by block and in place, the same as one trial's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from initsuite.engine import update
from initsuite.engine.fused_adam import FusedAdam
from initsuite.engine.update import make_update
from initsuite.optim import Adam, AdamW, RmsProp, Sgd
from initsuite.spec import Optimizer, Params

NUM_TRIALS = 5
SHAPES = {"weight": (7, 3), "bias": (3,), "gain": ()}
OPTIMIZERS = [Sgd(weight_decay=0.1), Sgd(0.5, nesterov=True), Adam(weight_decay=0.1), AdamW(), RmsProp(0.9, 1e-8, 0.5)]


class Opaque:
    """An optimizer that the engine knows nothing about but the contract."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner, self.kind, self.scalars = inner, inner.kind, inner.scalars

    def init(self, params: Params, /) -> Any:
        return self.inner.init(params)

    def update(self, grads: Params, state: Any, params: Params, scalars: Mapping[str, Tensor], /) -> Any:
        return self.inner.update(grads, state, params, scalars)


def tensors(seed: int) -> Params:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(NUM_TRIALS, *shape, generator=generator, dtype=torch.float64)
        for name, shape in SHAPES.items()
    }


def one_by_one(optimizer: Optimizer, lrs: Tensor, grads: list[Params]) -> list[Params]:
    """Parameters of each trial after these steps, by the pure update."""
    ends = []
    for trial, lr in enumerate(lrs):
        params = {name: value[trial] for name, value in tensors(0).items()}
        state = optimizer.init(params)
        scalars = {"lr": lr, **{name: torch.full_like(lr, value) for name, value in optimizer.scalars.items()}}
        for step in grads:
            mine = {name: value[trial] for name, value in step.items()}
            params, state = optimizer.update(mine, state, params, scalars)
        ends.append(params)
    return ends


def stacked(optimizer: Optimizer, lrs: Tensor, grads: list[Params], params: Params) -> Params:
    one = {name: value[0] for name, value in params.items()}
    state = tree_map(lambda tensor: torch.stack([tensor] * NUM_TRIALS), optimizer.init(one))
    scalars = {name: torch.full_like(lrs, value) for name, value in optimizer.scalars.items()}
    move = make_update(params, state, {**scalars, "lr": lrs}, optimizer)
    for step in grads:
        move(tree_map(torch.clone, step))
    return params


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, Opaque], ids=["blocks", "mapped"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("block", [1, 4, 21, 50, 1000])
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # the wrapped ones write in place under vmap
def test_a_stack_moves_as_its_trials_one_by_one(monkeypatch, optimizer, wrap, block: int) -> None:
    monkeypatch.setattr(update, "BLOCK", block)
    lrs, grads = torch.logspace(-3, 0, NUM_TRIALS).double(), [tensors(seed) for seed in (1, 2, 3)]
    moved = stacked(wrap(optimizer), lrs, grads, tensors(0))
    for trial, expected in enumerate(one_by_one(optimizer, lrs, grads)):
        mine = {name: value[trial] for name, value in moved.items()}
        tree_map(torch.testing.assert_close, mine, expected)


def test_adam_moves_trials_of_different_betas_as_one_by_one() -> None:
    grads, lrs = [tensors(seed) for seed in (1, 2, 3)], torch.full((NUM_TRIALS,), 0.1).double()
    betas = torch.linspace(0.9, 0.99, NUM_TRIALS).double()
    params = tensors(0)
    state, scalars = state_of(Adam(), params, lrs)
    scalars["beta2"] = betas
    assert FusedAdam.of(Adam(), scalars) is None
    move = make_update(params, state, scalars, Adam())
    for step in grads:
        move(tree_map(torch.clone, step))
    for trial, beta2 in enumerate(betas.tolist()):
        expected = one_by_one(Adam(beta2=beta2), lrs, grads)[trial]
        tree_map(torch.testing.assert_close, {name: value[trial] for name, value in params.items()}, expected)


@pytest.mark.parametrize(("optimizer", "is_fused"), [(Adam(), True), (AdamW(), True), (Sgd(), False)], ids=str)
def test_the_kernel_serves_trials_that_differ_in_lr_and_decay(optimizer, is_fused: bool) -> None:
    _, scalars = state_of(optimizer, tensors(0), torch.logspace(-3, 0, NUM_TRIALS).double())
    scalars["weight_decay"] = torch.linspace(0, 1, NUM_TRIALS).double()
    assert (FusedAdam.of(optimizer, scalars) is not None) is is_fused


def test_gradients_in_another_memory_order_are_copied() -> None:
    lrs, grads = torch.ones(NUM_TRIALS).double(), tensors(1)
    turned = {**grads, "weight": grads["weight"].mT.contiguous().mT}
    assert turned["weight"].stride() != grads["weight"].stride()
    expected = stacked(Sgd(), lrs, [grads], tensors(0))
    params = tensors(0)
    move = make_update(params, *state_of(Sgd(), params, lrs), Sgd())
    move(turned)
    tree_map(torch.testing.assert_close, params, expected)


def test_parameters_that_share_a_gradient_tensor_move_alike() -> None:
    """Autograd gives two biases that are added to each other one tensor; it is used up once for each of them."""
    lrs, shared = torch.ones(NUM_TRIALS).double(), tensors(1)["bias"]
    params = {"one": torch.zeros_like(shared), "other": torch.zeros_like(shared)}
    optimizer = Adam()
    move = make_update(params, *state_of(optimizer, params, lrs), optimizer)
    move({"one": shared, "other": shared})
    assert torch.equal(params["one"], params["other"])


def test_it_is_in_place() -> None:
    params, lrs = tensors(0), torch.ones(NUM_TRIALS).double()
    state, scalars = state_of(Adam(), params, lrs)
    before = [tensor.data_ptr() for tensor in tree_leaves((params, state))]
    make_update(params, state, scalars, Adam())(tensors(1))
    assert [tensor.data_ptr() for tensor in tree_leaves((params, state))] == before


def state_of(optimizer: Optimizer, params: Params, lrs: Tensor) -> tuple[Any, Params]:
    one = {name: value[0] for name, value in params.items()}
    state = tree_map(lambda tensor: torch.stack([tensor] * NUM_TRIALS), optimizer.init(one))
    return state, {"lr": lrs, **{name: torch.full_like(lrs, value) for name, value in optimizer.scalars.items()}}
